"""What tells the classes of a data set apart without a look at what moves: a model learns that instead."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np

_MIN_SEQUENCES = 5
"""Of each class; of fewer, chance alone tells them apart."""
_SUSPICIOUS = 0.85
"""Share of right guesses, by one property alone, each class weighing the same, from which on it is named."""


@dataclass(frozen=True)
class Look:
    """What is known of a sequence besides its content; `bytes_per_pixel` on disk, `fps` None where nobody knows."""

    kind: str
    resolution: str
    format: str
    fps: float | None
    num_frames: int
    bytes_per_pixel: float


def find_shortcuts(looks: Sequence[Look]) -> list[str]:
    """A line for each property by which classes can be guessed, with how often that is right."""
    counts = Counter(look.kind for look in looks)
    large = [kind for kind, count in counts.items() if count >= _MIN_SEQUENCES]
    known = [look for look in looks if look.kind in large]
    if len(large) < 2:
        return []
    return [
        *_by_value(known, "resolution", lambda look: look.resolution, "bring all to one size"),
        *_by_value(known, "format", lambda look: look.format, "save all in one format"),
        *_by_value(known, "fps", lambda look: _number(look.fps), "bring all to one frame rate"),
        *_by_rank(known, "compression (bytes per pixel)", lambda look: look.bytes_per_pixel, "compress all alike"),
        *_by_rank(known, "length (frames)", lambda look: look.num_frames, "cut all to about one length"),
    ]


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _by_value(looks: Sequence[Look], name: str, value_of: Callable[[Look], str], advice: str) -> list[str]:
    """For values that are alike or not: each sequence is guessed from the others of its value."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for look in looks:
        counts[value_of(look)][look.kind] += 1
    sizes = Counter(look.kind for look in looks)
    right: Counter[str] = Counter()
    for look in looks:
        others = counts[value_of(look)].copy()
        others[look.kind] -= 1
        if not others.total():
            continue  # seen once only: nothing to guess from
        shares = {kind: others[kind] / (sizes[kind] - (kind == look.kind)) for kind in sizes}
        right[look.kind] += max(shares, key=lambda kind: shares[kind]) == look.kind
    score = sum(right[kind] / size for kind, size in sizes.items()) / len(sizes)
    if score < _SUSPICIOUS or len(counts) < 2:
        return []
    usual = {kind: max(counts, key=lambda value: counts[value][kind]) for kind in sizes}
    shown = ", ".join(f"{kind} {usual[kind]} ({counts[usual[kind]][kind]} of {sizes[kind]})" for kind in sizes)
    return [f"{name} alone tells the classes apart (right for {score:.0%}): {shown}: {advice}"]


def _by_rank(looks: Sequence[Look], name: str, value_of: Callable[[Look], float], advice: str) -> list[str]:
    """For numbers: how often, of two sequences of different classes, the same class has the greater one (the AUC)."""
    values: dict[str, list[float]] = defaultdict(list)
    for look in looks:
        values[look.kind].append(value_of(look))
    lines = []
    for first, second in combinations(values, 2):
        score = _area(values[first], values[second])
        if score >= _SUSPICIOUS:
            shown = ", ".join(f"{kind} {median(values[kind]):.3g} at the median" for kind in (first, second))
            lines.append(f"{name} differs between classes (in {score:.0%} of pairs the same way): {shown}: {advice}")
    return lines


def _area(first: Sequence[float], second: Sequence[float]) -> float:
    """Area under the ROC curve, from 0.5 (nothing to be told) to 1; near ties count half."""
    own, other = np.asarray(first), np.sort(second)
    num_below = np.searchsorted(other, own / 1.02).sum()
    num_above = (len(other) - np.searchsorted(other, own * 1.02, side="right")).sum()
    area = 0.5 + float(num_below - num_above) / (2 * len(own) * len(other))
    return max(area, 1 - area)
