"""Scores of a binary decision from two histograms, so that totals of batches, shards and ranks simply add up.

Probabilities are counted in bins of equal width in the logit, 1/256 wide from -16 to 16: average precision and area
under the ROC curve differ from the exact ones only by ties within a bin.

The functions take counts (..., N) of positives and of negatives by score, the lowest score first, and give one figure
per leading index, NaN where it is undefined: `BinaryScores` asks for one, the bootstrap for that of every resample.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOGIT_LIMIT = 16
BINS_PER_UNIT = 256
NUM_BINS = 2 * LOGIT_LIMIT * BINS_PER_UNIT

_SLACK = 1e-4
"""Of a bin: keeps a float32 probability that equals a threshold in the bin at and over it."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Values = NDArray[Any]
"""Counts, or sums of counts with weights."""


def _zeros() -> Counts:
    return np.zeros(NUM_BINS, dtype=np.int64)


@dataclass(frozen=True, repr=False)
class BinaryScores:
    """Counts of positives and negatives by predicted probability; `+` joins two."""

    positives: Counts = field(default_factory=_zeros)
    negatives: Counts = field(default_factory=_zeros)

    @classmethod
    def of(cls, probabilities: ArrayLike, truth: ArrayLike) -> "BinaryScores":
        """From probabilities in [0, 1] and truth (bool), of any equal shape."""
        bins = _bins(np.asarray(probabilities, dtype=np.float64).ravel())
        positive = np.asarray(truth, dtype=bool).ravel()
        return cls(
            np.bincount(bins[positive], minlength=NUM_BINS).astype(np.int64),
            np.bincount(bins[~positive], minlength=NUM_BINS).astype(np.int64),
        )

    def __add__(self, other: "BinaryScores") -> "BinaryScores":
        return BinaryScores(self.positives + other.positives, self.negatives + other.negatives)

    def __repr__(self) -> str:
        return f"BinaryScores({self.num_positives} positives, {self.num_negatives} negatives)"

    @property
    def num_positives(self) -> int:
        """How many are dynamic in truth."""
        return int(self.positives.sum())

    @property
    def num_negatives(self) -> int:
        """How many are static in truth."""
        return int(self.negatives.sum())

    @property
    def is_defined(self) -> bool:
        """Whether both kinds occur; ranking scores are NaN otherwise."""
        return self.num_positives > 0 and self.num_negatives > 0

    def average_precision(self) -> float:
        """Area under the precision-recall curve, by steps."""
        return float(average_precision(self.positives, self.negatives))

    def auc(self) -> float:
        """Area under the ROC curve: how often a positive scores higher than a negative, ties counting half."""
        return float(roc_auc(self.positives, self.negatives))

    def precision_at_recall(self, recall: float) -> float:
        """Precision at the highest threshold that finds at least the share `recall` of the positives."""
        return float(precision_at_recall(self.positives, self.negatives, recall))

    def threshold_at_recall(self, recall: float) -> float:
        """That threshold, a probability; 0 where only all bins together hold so many, NaN where nothing is positive."""
        if not self.num_positives:
            return math.nan
        edge = int(_first_over_recall(self.positives, recall))
        return threshold_of_bin(edge) if edge else 0.0

    def roc(self) -> tuple[Floats, Floats]:
        """False and true positive rate at every threshold that something lies over, from the highest down."""
        occupied = (self.positives + self.negatives)[::-1] > 0
        false_positives, true_positives = np.cumsum(self.negatives[::-1]), np.cumsum(self.positives[::-1])
        return (
            false_positives[occupied] / max(1, self.num_negatives),
            true_positives[occupied] / max(1, self.num_positives),
        )

    def precision_recall(self) -> tuple[Floats, Floats]:
        """Precision and recall at every threshold that something lies over, from the highest down."""
        true_positives = np.cumsum(self.positives[::-1])
        selected = true_positives + np.cumsum(self.negatives[::-1])
        occupied = (self.positives + self.negatives)[::-1] > 0
        precision = true_positives[occupied] / selected[occupied]
        recall = true_positives[occupied] / max(1, self.num_positives)
        return precision, recall

    def confusion(self, threshold: float) -> Counts:
        """Counts (2, 2), rows truth, columns prediction, static first; the threshold is rounded to its bin."""
        edge = bin_of(threshold)
        false_negatives, true_negatives = int(self.positives[:edge].sum()), int(self.negatives[:edge].sum())
        return np.array(
            [
                [true_negatives, self.num_negatives - true_negatives],
                [false_negatives, self.num_positives - false_negatives],
            ],
            dtype=np.int64,
        )

    def f1(self, threshold: float) -> float:
        """Harmonic mean of precision and recall at the threshold; NaN where nothing is positive in truth."""
        return float(f1_score(self.positives, self.negatives, bin_of(threshold)))

    def iou(self, threshold: float) -> float:
        """Intersection over union of prediction and truth at the threshold; NaN where nothing is positive in truth."""
        return float(intersection_over_union(self.positives, self.negatives, bin_of(threshold)))

    def reliability(self, num_bins: int = 10) -> tuple[Floats, Floats, Counts]:
        """Mean probability, share of positives and count in bins of equal width in probability; NaN where empty."""
        probability_sum, positives, count = _by_probability(
            self.positives, self.negatives, bin_probabilities(), num_bins
        )
        safe = np.where(count > 0, count, np.nan)
        return probability_sum / safe, positives / safe, count.astype(np.int64)

    def calibration_error(self, num_bins: int = 10) -> float:
        """Expected calibration error: mean distance of probability and share of positives, by count."""
        return float(calibration_error(self.positives, self.negatives, bin_probabilities(), num_bins))


def average_precision(positives: Values, negatives: Values) -> Floats:
    """Area under the precision-recall curve, by steps. Counts (..., N) to (...)."""
    true_positives = _from_above(positives)
    precision = true_positives / np.maximum(true_positives + _from_above(negatives), 1)
    return _ratio((positives * precision).sum(axis=-1), positives.sum(axis=-1), where=_both(positives, negatives))


def roc_auc(positives: Values, negatives: Values) -> Floats:
    """How often a positive scores higher than a negative, ties counting half. Counts (..., N) to (...)."""
    negatives_below = np.cumsum(negatives, axis=-1) - negatives / 2.0
    wins = (positives * negatives_below).sum(axis=-1)
    num_pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    return _ratio(wins, num_pairs, where=num_pairs > 0)


def precision_at_recall(positives: Values, negatives: Values, recall: float) -> Floats:
    """Precision at the highest score over which lies at least the share `recall` of positives. (..., N) to (...)."""
    edge = _first_over_recall(positives, recall)[..., None]
    true_positives = np.take_along_axis(_from_above(positives), edge, axis=-1)[..., 0]
    false_positives = np.take_along_axis(_from_above(negatives), edge, axis=-1)[..., 0]
    return _ratio(true_positives, true_positives + false_positives, where=_both(positives, negatives))


def f1_score(positives: Values, negatives: Values, edge: int) -> Floats:
    """Harmonic mean of precision and recall where places from `edge` on are called positive. (..., N) to (...)."""
    true_positives, mistakes = _decide(positives, negatives, edge)
    return _ratio(2 * true_positives, 2 * true_positives + mistakes, where=positives.sum(axis=-1) > 0)


def intersection_over_union(positives: Values, negatives: Values, edge: int) -> Floats:
    """Jaccard index of prediction and truth, as `f1_score`."""
    true_positives, mistakes = _decide(positives, negatives, edge)
    return _ratio(true_positives, true_positives + mistakes, where=positives.sum(axis=-1) > 0)


def calibration_error(positives: Values, negatives: Values, probabilities: Floats, num_bins: int = 10) -> Floats:
    """Expected calibration error over bins of equal width in probability (Naeini et al. 2015).

    Counts (..., N), and the probability (N,) that each place stands for, to (...).
    """
    probability_sum, found, count = _by_probability(positives, negatives, probabilities, num_bins)
    total = count.sum(axis=-1)
    return _ratio(np.abs(probability_sum - found).sum(axis=-1), total, where=total > 0)


def bin_of(probability: float) -> int:
    """The bin that a probability is counted in."""
    return int(_bins(np.array([probability]))[0])


def threshold_of_bin(edge: int) -> float:
    """The threshold, a probability, at and over which the bins from `edge` on lie."""
    return 1 / (1 + math.exp(LOGIT_LIMIT - edge / BINS_PER_UNIT))


def bin_probabilities() -> Floats:
    """The probability (NUM_BINS,) at the middle of each bin."""
    return np.asarray(1 / (1 + np.exp(-bin_logits())))


def bin_logits() -> Floats:
    """The logit (NUM_BINS,) at the middle of each bin."""
    return (np.arange(NUM_BINS) + 0.5) / BINS_PER_UNIT - LOGIT_LIMIT


def _from_above(counts: Values) -> Values:
    """At each place, what lies there or higher."""
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


def _both(positives: Values, negatives: Values) -> NDArray[np.bool_]:
    return np.asarray((positives.sum(axis=-1) > 0) & (negatives.sum(axis=-1) > 0))


def _first_over_recall(positives: Values, recall: float) -> NDArray[np.intp]:
    """The highest place over which at least the share `recall` of the positives lies. (..., N) to (...)."""
    found = _from_above(positives)
    needed = np.maximum(recall * found[..., :1] * (1 - 1e-12), np.finfo(float).tiny)
    return np.asarray(np.maximum((found >= needed).sum(axis=-1) - 1, 0))


def _decide(positives: Values, negatives: Values, edge: int) -> tuple[Values, Values]:
    """True positives, and mistakes of both kinds, where places from `edge` on are called positive."""
    true_positives = positives[..., edge:].sum(axis=-1)
    return true_positives, positives[..., :edge].sum(axis=-1) + negatives[..., edge:].sum(axis=-1)


def _by_probability(
    positives: Values, negatives: Values, probabilities: Floats, num_bins: int
) -> tuple[Floats, Floats, Floats]:
    """Sum of probabilities, positives and count in `num_bins` bins of equal width: (..., N) to (..., num_bins)."""
    group = np.minimum((probabilities * num_bins).astype(int), num_bins - 1)
    member = (group[:, None] == np.arange(num_bins)).astype(np.float64)
    totals = (positives + negatives).astype(np.float64)
    return totals * probabilities @ member, positives.astype(np.float64) @ member, totals @ member


def _ratio(numerator: Values, denominator: Values, *, where: NDArray[np.bool_] | np.bool_) -> Floats:
    is_defined = np.asarray(where)
    undefined = np.full(is_defined.shape, np.nan)
    return np.asarray(np.divide(numerator, denominator, out=undefined, where=is_defined))


def _bins(probabilities: Floats) -> NDArray[np.intp]:
    clipped = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return bins_of_logits(np.log(clipped) - np.log1p(-clipped))


def bins_of_logits(logits: Floats) -> NDArray[np.intp]:
    """The bins that logits, of any shape, are counted in."""
    positions = np.floor((logits + LOGIT_LIMIT) * BINS_PER_UNIT + _SLACK)
    return np.clip(positions, 0, NUM_BINS - 1).astype(np.intp)
