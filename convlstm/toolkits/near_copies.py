"""Near-identical sequences: small grey pictures of some frames, compared without comparing each with each.

Two pictures are alike where they differ by little after brightness and contrast are taken out: re-encoded, resized and
brightened copies do, and so does an empty room at two times. So what changes within the sequences must be alike too:
a fixed camera's view of one place at two times is not taken for a copy, as long as anything happens in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.types import UInt8Array

NUM_SAMPLES = 8
"""Frames of each sequence that are looked at, spread evenly."""
_SIDE = 32
_MIN_CONTRAST = 8.0
"""Grey levels; the noise of darker or emptier pictures is not blown up beyond."""
MAX_DISTANCE = 0.06
"""In standard deviations of the picture, RMS. Measured on real footage: copies as JPEG of quality 30 to 95, at half the
size, brightened by a tenth or with noise of 8 levels differ by 0.002 to 0.08, nearly all by less than 0.05; frames of
one camera a second apart by 0.14 to 1.0 at the median, but by 0.01 where nothing moves."""
_MIN_CORRELATION = 0.5
_NOTHING_CHANGES = 0.002
_NUM_PROJECTIONS = 12
_ROWS, _COLUMNS = 256, 4096

FloatArray = NDArray[np.float32]
SmallArray = NDArray[np.float16]
IndexArray = NDArray[np.intp]


@dataclass(frozen=True)
class NearCopy:
    """Two sequences, by index; `distance` is the median of the pairs of frames that are alike."""

    first: int
    second: int
    distance: float


def sample_places(num_frames: int) -> list[int]:
    """Which frames of a sequence are looked at, first and last among them."""
    places = np.linspace(0, num_frames - 1, min(NUM_SAMPLES, num_frames)).round()
    return [int(place) for place in places]


def thumbnail(pixels: UInt8Array) -> SmallArray:
    """RGB pixels (H, W, 3) as float16 (1024,), mean 0 and length up to 1: distances are RMS in standard deviations."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    contrast = max(float(small.std()), _MIN_CONTRAST)
    return np.asarray((small - small.mean()) / (contrast * _SIDE), dtype=np.float16).reshape(-1)


def find_near_copies(thumbnails: Sequence[SmallArray], groups: Sequence[str]) -> list[NearCopy]:
    """Pairs of sequences of different groups; `thumbnails` (n, 1024) of each sequence, n may be 0.

    At least half of the sampled frames of the shorter one must be alike.
    """
    owner = np.repeat(np.arange(len(thumbnails)), [len(own) for own in thumbnails])
    if not len(owner):
        return []
    pictures = np.concatenate(thumbnails)
    group = np.unique(np.asarray(groups), return_inverse=True)[1][owner]
    first, second = _alike_pairs(pictures, group)
    if not len(first):
        return []
    swap = owner[first] > owner[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    return list(_judged(pictures, owner, first, second, [len(own) for own in thumbnails]))


def _alike_pairs(pictures: SmallArray, group: IndexArray) -> tuple[IndexArray, IndexArray]:
    """Pairs of pictures of different groups that differ by no more than MAX_DISTANCE.

    No projection of two pictures differs by more than they do themselves. So, sorted by the one that spreads them most,
    each is compared with the few next to it; in blocks, since products of matrices are what machines do fastest.
    """
    projections = _projections(pictures)
    key = projections[:, projections.var(axis=0).argmax()]
    order = np.argsort(key)
    key, group = key[order], group[order]
    firsts, seconds = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for row in range(0, len(order), _ROWS):
        rows = order[row : row + _ROWS]
        end = int(np.searchsorted(key, key[row + len(rows) - 1] + MAX_DISTANCE, side="right"))
        for column in range(row, end, _COLUMNS):
            columns = order[column : min(column + _COLUMNS, end)]
            is_later = np.arange(column, column + len(columns)) > np.arange(row, row + len(rows))[:, None]
            is_other = group[column : column + len(columns)] != group[row : row + len(rows), None]
            is_alike = _squared_distances(pictures[rows], pictures[columns]) <= MAX_DISTANCE**2
            first, second = np.nonzero(is_alike & is_other & is_later)
            firsts.append(rows[first].astype(np.int32))
            seconds.append(columns[second].astype(np.int32))
    return np.concatenate(firsts).astype(np.intp), np.concatenate(seconds).astype(np.intp)


def _squared_distances(rows: SmallArray, columns: SmallArray) -> FloatArray:
    """(R, 1024) and (C, 1024) to (R, C)."""
    a, b = rows.astype(np.float32), columns.astype(np.float32)
    return np.asarray((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, dtype=np.float32)


def _projections(pictures: SmallArray) -> FloatArray:
    """(N, 1024) to (N, 12): low frequencies of the cosine transform, orthonormal, which spread pictures most."""
    positions = (np.arange(_SIDE) + 0.5) * np.pi / _SIDE
    waves = np.stack([np.cos(k * positions) * np.sqrt((2 - (k == 0)) / _SIDE) for k in range(5)])
    pairs = sorted(((y, x) for y in range(5) for x in range(5) if y + x), key=lambda pair: (sum(pair), pair))
    basis = np.stack([np.outer(waves[y], waves[x]).reshape(-1) for y, x in pairs[:_NUM_PROJECTIONS]]).astype(np.float32)
    portions = [pictures[start : start + 4096] @ basis.T for start in range(0, len(pictures), 4096)]
    return np.concatenate(portions)


def _distances(pictures: SmallArray, first: IndexArray, second: IndexArray) -> FloatArray:
    difference = pictures[first].astype(np.float32) - pictures[second]
    return np.asarray(np.linalg.norm(difference, axis=1), dtype=np.float32)


def _judged(
    pictures: SmallArray, owner: IndexArray, first: IndexArray, second: IndexArray, num_samples: Sequence[int]
) -> Iterator[NearCopy]:
    """Sequences of which enough pictures are alike, and change alike."""
    pairs = owner[first].astype(np.int64) * len(num_samples) + owner[second]
    order = np.argsort(pairs, kind="stable")
    starts = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        rows = order[start:end]
        a, b = int(owner[first[rows[0]]]), int(owner[second[rows[0]]])
        num_alike = min(len(np.unique(first[rows])), len(np.unique(second[rows])))
        num_frames = min(num_samples[a], num_samples[b])
        if num_alike < max(num_frames / 2, min(2, num_frames)):
            continue
        distance = _distance_of_copies(pictures, first[rows], second[rows])
        if distance is not None:
            yield NearCopy(a, b, distance)


def _distance_of_copies(pictures: SmallArray, first: IndexArray, second: IndexArray) -> float | None:
    """Median distance of frames, each with the one most like it; None where the two change in different ways."""
    distances = _distances(pictures, first, second)
    order = np.lexsort((distances, first))
    nearest = order[np.unique(first[order], return_index=True)[1]]
    own, other = (pictures[side[nearest]].astype(np.float32) for side in (first, second))
    own_change, other_change = own - own.mean(axis=0), other - other.mean(axis=0)
    norms = [float(np.sqrt((change**2).sum(axis=1).mean())) for change in (own_change, other_change)]
    median = float(np.median(distances[nearest]))
    if max(norms) < _NOTHING_CHANGES:  # copies of a photograph, or single frames: all that there is is alike
        return median
    correlation = float((own_change * other_change).sum()) / max(norms[0] * norms[1] * len(nearest), 1e-12)
    return median if correlation >= _MIN_CORRELATION else None
