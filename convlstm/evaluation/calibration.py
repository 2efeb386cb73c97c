"""Probabilities that mean what they say: one scale and one offset for all logits, folded into the last layer.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599) with Platt's offset (Platt 1999), fitted to counts of cells by
logit, with the targets of Platt, so that scores that separate perfectly have a finite answer too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from convlstm.errors import DataError
from convlstm.evaluation.metrics import LOGIT_LIMIT, NUM_BINS, BinaryScores, Floats, bin_logits, bins_of_logits

_MAX_STEPS = 100
_CLOSE_ENOUGH = 1e-10

HEAD = "final_classifier"


@dataclass(frozen=True)
class Calibration:
    """What a logit becomes: logit / temperature + offset."""

    temperature: float
    offset: float

    def apply(self, scores: BinaryScores) -> BinaryScores:
        """Counts by the calibrated logits, as far as bins tell."""
        bins = bins_of_logits(bin_logits() / self.temperature + self.offset)
        positives, negatives = (
            np.bincount(bins, weights=counts, minlength=NUM_BINS).astype(np.int64)
            for counts in (scores.positives, scores.negatives)
        )
        return BinaryScores(positives, negatives)

    def threshold(self, probability: float) -> float:
        """Where a threshold on the probabilities of before lies now."""
        logit = math.log(probability) - math.log1p(-probability)
        return 1 / (1 + math.exp(-(logit / self.temperature + self.offset)))

    def fold(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights whose network gives calibrated logits: exact for two classes, whose last layer has one channel."""
        folded = dict(weights)
        folded[f"{HEAD}.weight"] = weights[f"{HEAD}.weight"] / self.temperature
        folded[f"{HEAD}.bias"] = weights[f"{HEAD}.bias"] / self.temperature + self.offset
        return folded


def fit_calibration(scores: BinaryScores, *, with_offset: bool = True) -> Calibration:
    """The temperature and offset of least negative log-likelihood; without offset it is 0.

    Raises DataError where only one kind of cell is there, or where dynamic cells do not score higher than static ones.
    """
    if not scores.is_defined:
        raise DataError("calibration needs dynamic and static cells whose truth is known: add sequences with masks")
    scale, offset = _newton(scores, with_offset)
    if scale <= 0:
        raise DataError("calibration found that dynamic cells score no higher than static ones: train the model first")
    return Calibration(1 / scale, offset)


def _newton(scores: BinaryScores, with_offset: bool) -> tuple[float, float]:
    """Scale and offset at the minimum, which is the only one: the loss is convex."""
    logits, counts = bin_logits(), (scores.positives + scores.negatives).astype(np.float64)
    high = (scores.num_positives + 1) / (scores.num_positives + 2)  # Platt's targets, in place of 1 and 0
    low = 1 / (scores.num_negatives + 2)
    target_sum = high * scores.positives + low * scores.negatives
    inputs = np.stack([logits, np.full(NUM_BINS, float(with_offset))])  # (2, NUM_BINS)
    solution, loss = np.array([1.0, 0.0]), math.inf
    step = np.zeros(2)
    for _ in range(_MAX_STEPS):
        tried = solution + step
        tried_loss = _loss(tried @ inputs, counts, target_sum)
        if tried_loss > loss:  # too far: half of it
            step /= 2
            if np.abs(step).max() < _CLOSE_ENOUGH:
                break
            continue
        solution, loss = tried, tried_loss
        probability = 1 / (1 + np.exp(-(solution @ inputs)))
        gradient = inputs @ (counts * probability - target_sum)
        curvature = (inputs * (counts * probability * (1 - probability))) @ inputs.T
        curvature += 1e-9 * np.eye(2) * max(1.0, float(np.trace(curvature)))
        step = -np.linalg.solve(curvature, gradient)
        step = np.clip(step, -LOGIT_LIMIT, LOGIT_LIMIT)
        if np.abs(step).max() < _CLOSE_ENOUGH:
            break
    return float(solution[0]), float(solution[1])


def _loss(logits: Floats, counts: Floats, target_sum: Floats) -> float:
    """Negative log-likelihood, summed."""
    return float((counts * np.logaddexp(0, logits) - target_sum * logits).sum())
