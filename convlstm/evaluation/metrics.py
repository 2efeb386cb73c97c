"""Scores of a binary decision from two histograms, so that totals of batches, shards and ranks simply add up.

Probabilities are counted in bins of equal width in the logit, 1/256 wide from -16 to 16: average precision and area
under the ROC curve differ from the exact ones only by ties within a bin.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOGIT_LIMIT = 16
BINS_PER_UNIT = 256
NUM_BINS = 2 * LOGIT_LIMIT * BINS_PER_UNIT

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


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
        if not self.is_defined:
            return math.nan
        precision, recall = self.precision_recall()
        return float(np.sum(np.diff(recall, prepend=0.0) * precision))

    def auc(self) -> float:
        """Area under the ROC curve: how often a positive scores higher than a negative, ties counting half."""
        if not self.is_defined:
            return math.nan
        negatives_below = np.cumsum(self.negatives) - self.negatives
        wins = np.sum(self.positives * (negatives_below + self.negatives / 2.0))
        return float(wins / (self.num_positives * self.num_negatives))

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
        edge = int(_bins(np.array([threshold]))[0])
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
        if not self.num_positives:
            return math.nan
        (_, false_positives), (false_negatives, true_positives) = self.confusion(threshold).tolist()
        return float(2 * true_positives / (2 * true_positives + false_positives + false_negatives))

    def reliability(self, num_bins: int = 10) -> tuple[Floats, Floats, Counts]:
        """Mean probability, share of positives and count in bins of equal width in probability; NaN where empty."""
        probability = 1 / (1 + np.exp(-_bin_centres()))
        group = np.minimum((probability * num_bins).astype(int), num_bins - 1)
        totals = self.positives + self.negatives
        count = np.bincount(group, weights=totals, minlength=num_bins)
        safe = np.where(count > 0, count, np.nan)
        mean = np.bincount(group, weights=totals * probability, minlength=num_bins) / safe
        share = np.bincount(group, weights=self.positives, minlength=num_bins) / safe
        return mean, share, count.astype(np.int64)

    def calibration_error(self, num_bins: int = 10) -> float:
        """Expected calibration error: mean distance of probability and share of positives, by count."""
        mean, share, count = self.reliability(num_bins)
        if not count.sum():
            return math.nan
        return float(np.nansum(np.abs(mean - share) * count) / count.sum())


def _bins(probabilities: Floats) -> NDArray[np.intp]:
    clipped = np.clip(probabilities, 1e-12, 1 - 1e-12)
    logits = np.log(clipped) - np.log1p(-clipped)
    # The small offset keeps a float32 probability that equals a threshold in the bin at and over it.
    positions = np.floor((logits + LOGIT_LIMIT) * BINS_PER_UNIT + 1e-4)
    return np.clip(positions, 0, NUM_BINS - 1).astype(np.intp)


def _bin_centres() -> Floats:
    return (np.arange(NUM_BINS) + 0.5) / BINS_PER_UNIT - LOGIT_LIMIT
