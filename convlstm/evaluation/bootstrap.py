"""How far figures may be chance: percentile bootstrap over groups of sequences (Efron 1979).

Windows of one video resemble each other, so not windows are drawn with replacement but whole groups of sequences, as
often as there are. A group is what the manifest calls one; without that, each sequence is its own.

Shapes: S sequences, R resamples, N occupied bins of scores.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convlstm.evaluation.metrics import BinaryScores, Floats, Values

CONFIDENCE = 0.95
SEED = 0
_RESAMPLES_AT_ONCE = 128  # keeps what is in memory at once to some tens of megabytes

Measure = Callable[[Values, Values, NDArray[np.intp]], Floats]
"""Counts (..., N) of positives and of negatives and the bins (N,) that they lie in, to one figure each (...)."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; NaN where undefined. A time that never comes is infinite."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        """Whether there were groups enough to draw from."""
        return not math.isnan(self.low)


class Bootstrap:
    """Draws groups once, so that all figures of all methods are resampled alike.

    `groups` (S,) names the group of each sequence, at least one. With fewer than two groups, intervals are undefined.
    """

    def __init__(self, groups: Sequence[str], num_resamples: int) -> None:
        names, self.group_of = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        share = np.full(len(names), 1 / len(names))
        draws = np.random.default_rng(SEED).multinomial(len(names), share, size=num_resamples)
        self.weights: NDArray[np.int64] = draws[:, self.group_of]  # (R, S): how often each sequence counts

    def scores(self, scores: Sequence[BinaryScores], measures: Mapping[str, Measure]) -> dict[str, Estimate]:
        """Every measure of the sum of the scores (S) of all sequences."""
        totals = [item.positives + item.negatives for item in scores]
        bins = np.flatnonzero(np.sum(totals, axis=0))
        positives = np.array([item.positives[bins] for item in scores], dtype=np.float64)  # (S, N)
        negatives = np.array([item.negatives[bins] for item in scores], dtype=np.float64)
        resampled: dict[str, list[Floats]] = {name: [] for name in measures}
        for begin in range(0, len(self.weights), _RESAMPLES_AT_ONCE):
            weights = self.weights[begin : begin + _RESAMPLES_AT_ONCE].astype(np.float64)
            drawn = weights @ positives, weights @ negatives
            for name, measure in measures.items():
                resampled[name].append(measure(*drawn, bins))
        counted = np.array([total.any() for total in totals], dtype=bool)
        return {
            name: self._estimate(
                float(measure(positives.sum(axis=0), negatives.sum(axis=0), bins)), resampled[name], counted
            )
            for name, measure in measures.items()
        }

    def share(self, parts: ArrayLike, wholes: ArrayLike) -> Estimate:
        """The sum of `parts` (S,) over the sum of `wholes` (S,)."""
        part, whole = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
        return self._estimate(
            float(_ratio(part.sum(), whole.sum())), [_ratio(self.weights @ part, self.weights @ whole)], whole > 0
        )

    def median(self, values: ArrayLike) -> Estimate:
        """The median of `values` (S,), which may be infinite; NaN ones do not count."""
        given = np.asarray(values, dtype=np.float64)
        counted = ~np.isnan(given)
        order = np.flatnonzero(counted)[np.argsort(given[counted], kind="stable")]
        ones = np.ones((1, len(order)), dtype=np.int64)
        point = float(_weighted_median(given[order], ones)[0])
        return self._estimate(point, [_weighted_median(given[order], self.weights[:, order])], counted)

    def _estimate(self, value: float, resampled: Sequence[Floats], counted: NDArray[np.bool_]) -> Estimate:
        """`counted` (S,) says which sequences the figure rests on."""
        values = np.concatenate([np.ravel(part) for part in resampled])
        values = np.sort(values[~np.isnan(values)])
        if math.isnan(value) or len(np.unique(self.group_of[counted])) < 2 or not len(values):
            return Estimate(value)
        tail = (1 - CONFIDENCE) / 2 * (len(values) - 1)
        return Estimate(value, float(values[math.floor(tail)]), float(values[len(values) - 1 - math.floor(tail)]))


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    divisor = np.asarray(whole, dtype=np.float64)
    return np.asarray(np.divide(part, divisor, out=np.full(divisor.shape, np.nan), where=divisor > 0))


def _weighted_median(ordered: Floats, weights: NDArray[np.int64]) -> Floats:
    """Medians (R,) of increasing values (N,), each counted `weights` (R, N) times; NaN where none counts."""
    below = np.cumsum(weights, axis=1)
    if not below.size:
        return np.full(len(weights), np.nan)
    half = below[:, -1:] / 2
    lower = ordered[np.minimum((below < half).sum(axis=1), len(ordered) - 1)]
    upper = ordered[np.minimum((below <= half).sum(axis=1), len(ordered) - 1)]
    return np.where(below[:, -1] > 0, (lower + upper) / 2, np.nan)
