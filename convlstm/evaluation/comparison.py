"""The model beside the baselines: every figure with its interval, from the scores of all sequences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add

import numpy as np

from convlstm.evaluation.baselines import THRESHOLDS
from convlstm.evaluation.bootstrap import Bootstrap, Estimate, Measure
from convlstm.evaluation.metrics import (
    BinaryScores,
    average_precision,
    bin_of,
    bin_probabilities,
    calibration_error,
    f1_score,
    intersection_over_union,
    precision_at_recall,
    roc_auc,
)
from convlstm.evaluation.scoring import MODEL, MethodScores, SequenceScores


@dataclass(frozen=True)
class Metric:
    """How a figure is called, which direction is better, and its unit: nothing, % for shares, s."""

    label: str
    higher_is_better: bool = True
    unit: str = ""

    def text(self, estimate: Estimate) -> str:
        """The figure with its interval, as in "3.1 % (1.0-6.2)"; a dash where it is undefined."""
        if math.isnan(estimate.value):
            return UNDEFINED
        value = self._number(estimate.value)
        unit = f" {self.unit}" if self.unit and value != NEVER else ""
        interval = f" ({self._number(estimate.low)}-{self._number(estimate.high)})" if estimate.has_interval else ""
        return f"{value}{unit}{interval}"

    def _number(self, value: float) -> str:
        if math.isinf(value):
            return NEVER
        return f"{100 * value:.1f}" if self.unit == "%" else f"{value:.2f}" if self.unit else f"{value:.3f}"


NEVER, UNDEFINED = "never", "-"


METRICS = {
    "cell_ap": Metric("cells: average precision"),
    "cell_auc": Metric("cells: area under ROC"),
    "cell_f1": Metric("cells: F1"),
    "cell_iou": Metric("cells: IoU"),
    "cell_precision_at_recall": Metric("cells: precision at recall"),
    "cell_ece": Metric("cells: calibration error", higher_is_better=False),
    "cell_recall": Metric("dynamic cells found", unit="%"),
    "cell_false_positive_rate": Metric("static cells called dynamic", higher_is_better=False, unit="%"),
    "window_ap": Metric("windows: average precision"),
    "window_auc": Metric("windows: area under ROC"),
    "window_f1": Metric("windows: F1"),
    "window_precision_at_recall": Metric("windows: precision at recall"),
    "false_windows": Metric("static windows called dynamic", higher_is_better=False, unit="%"),
    "found_windows": Metric("dynamic windows found", unit="%"),
    "sequence_ap": Metric("sequences: average precision"),
    "sequence_auc": Metric("sequences: area under ROC"),
    "seconds_to_detection": Metric("time to first detection", higher_is_better=False, unit="s"),
    "never_detected": Metric("dynamic sequences never detected", higher_is_better=False, unit="%"),
}


@dataclass(frozen=True)
class KindFigures:
    """One kind of sequence: how many static and dynamic windows it has, and by method what became of them.

    `shares` holds the metrics false_windows, found_windows, cell_recall and cell_false_positive_rate.
    """

    num_static: int
    num_dynamic: int
    shares: Mapping[str, Mapping[str, Estimate]]


class Comparison:
    """Figures of all methods on the same windows, of which there must be one; computed when first asked for.

    A window in which nothing moves is false where at least `false_cells` cells are hot; one in which something moves is
    found where any cell is, at a place that may be right. `threshold` is the model's; baselines have their own.
    """

    def __init__(
        self,
        sequences: Sequence[SequenceScores],
        *,
        threshold: float,
        at_recall: float,
        false_cells: int,
        num_resamples: int,
    ) -> None:
        self.sequences = [sequence for sequence in sequences if len(sequence)]
        self.methods = list(self.sequences[0].methods)
        all_thresholds: dict[str, float] = {**THRESHOLDS, MODEL: threshold}
        self.thresholds = {name: all_thresholds[name] for name in self.methods}
        self.at_recall = at_recall
        self.false_cells = false_cells
        self.bootstrap = Bootstrap([sequence.group for sequence in self.sequences], num_resamples)

    @property
    def num_windows(self) -> int:
        """All windows, those of unknown truth too."""
        return sum(map(len, self.sequences))

    @property
    def num_groups(self) -> int:
        """How many groups the bootstrap draws from."""
        return len({sequence.group for sequence in self.sequences})

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """By method and metric, in the order of METRICS; NaN where undefined."""
        return {method: self._estimates(method) for method in self.methods}

    @cached_property
    def by_kind(self) -> dict[str, KindFigures]:
        """By the kind of the sequences, kinds in order; empty where no sequence has one."""
        kinds = sorted({sequence.kind for sequence in self.sequences})
        return {kind or "(no kind)": self._of_kind(kind) for kind in kinds} if any(kinds) else {}

    def cells(self, method: str) -> BinaryScores:
        """All cells of known truth."""
        return reduce(add, (sequence.methods[method].cells for sequence in self.sequences), BinaryScores())

    def windows(self, method: str) -> BinaryScores:
        """All windows of known truth."""
        return reduce(add, self._window_scores(method), BinaryScores())

    def is_false(self, method: MethodScores, sequence: SequenceScores, window: int) -> bool:
        """Whether nothing moves in a window, but the method says so."""
        return sequence.truths[window] is False and method.num_hot[window] >= self.false_cells

    def notes(self) -> list[str]:
        """What is undefined, in plain words."""
        notes = []
        if self.num_groups < 2:
            notes.append("one sequence or group only: intervals are undefined, since they come from resampling those")
        cells = self.cells(MODEL)
        if not cells.num_positives + cells.num_negatives:
            notes.append("no truth per cell: figures per cell are undefined")
        elif not cells.is_defined:
            missing = "static" if cells.num_positives else "dynamic"
            notes.append(f"the truth per cell holds nothing {missing}: figures per cell that need both are undefined")
        truths = [truth for sequence in self.sequences for truth in sequence.truths]
        if unknown := truths.count(None):
            notes.append(f"{unknown} of {len(truths)} windows have no clear truth and count in no figure per window")
        for truth, name in ((False, "static"), (True, "dynamic")):
            if truth not in truths:
                notes.append(f"no {name} window: what is said of both kinds is undefined per window")
        return notes

    def _estimates(self, method: str) -> dict[str, Estimate]:
        ranking: dict[str, Measure] = {
            "ap": lambda positives, negatives, bins: average_precision(positives, negatives),
            "auc": lambda positives, negatives, bins: roc_auc(positives, negatives),
        }
        edge = bin_of(self.thresholds[method])
        decisions: dict[str, Measure] = {
            **ranking,
            "f1": lambda positives, negatives, bins: f1_score(positives, negatives, int(np.searchsorted(bins, edge))),
            "precision_at_recall": lambda positives, negatives, bins: precision_at_recall(
                positives, negatives, self.at_recall
            ),
        }
        per_cell: dict[str, Measure] = {
            **decisions,
            "iou": lambda positives, negatives, bins: intersection_over_union(
                positives, negatives, int(np.searchsorted(bins, edge))
            ),
        }
        if method == MODEL:  # the others' scores are no probabilities
            per_cell["ece"] = lambda positives, negatives, bins: calibration_error(
                positives, negatives, bin_probabilities()[bins]
            )
        levels = (
            ("cell", [sequence.methods[method].cells for sequence in self.sequences], per_cell),
            ("window", self._window_scores(method), decisions),
            ("sequence", self._sequence_scores(method), ranking),
        )
        found = self._shares(method)
        for level, scores, measures in levels:
            if reduce(add, scores, BinaryScores()).is_defined:
                found |= {f"{level}_{name}": item for name, item in self.bootstrap.scores(scores, measures).items()}
        found |= self._delays(method)
        return {name: found.get(name, Estimate(math.nan)) for name in METRICS}

    def _window_scores(self, method: str) -> list[BinaryScores]:
        return [_known_scores(sequence.methods[method].probabilities, sequence.truths) for sequence in self.sequences]

    def _sequence_scores(self, method: str) -> list[BinaryScores]:
        return [
            _known_scores([max(sequence.methods[method].probabilities)], [sequence.is_dynamic])
            for sequence in self.sequences
        ]

    def _shares(self, method: str, kind: str | None = None) -> dict[str, Estimate]:
        """Of all sequences, or of those of one kind."""
        false, static, found, dynamic = np.zeros((4, len(self.sequences)))
        cells = np.zeros((len(self.sequences), 2, 2))  # truth, prediction
        for place, sequence in enumerate(self.sequences):
            if kind is not None and sequence.kind != kind:
                continue
            scores = sequence.methods[method]
            cells[place] = scores.cells.confusion(self.thresholds[method])
            static[place], dynamic[place] = sequence.truths.count(False), sequence.truths.count(True)
            false[place] = sum(self.is_false(scores, sequence, window) for window in range(len(sequence)))
            found[place] = sum(hit for hit, truth in zip(scores.found, sequence.truths, strict=True) if truth)
        return {
            "false_windows": self.bootstrap.share(false, static),
            "found_windows": self.bootstrap.share(found, dynamic),
            "cell_false_positive_rate": self.bootstrap.share(cells[:, 0, 1], cells[:, 0].sum(axis=1)),
            "cell_recall": self.bootstrap.share(cells[:, 1, 1], cells[:, 1].sum(axis=1)),
        }

    def _of_kind(self, kind: str) -> KindFigures:
        truths = [truth for sequence in self.sequences if sequence.kind == kind for truth in sequence.truths]
        shares = {method: self._shares(method, kind) for method in self.methods}
        return KindFigures(num_static=truths.count(False), num_dynamic=truths.count(True), shares=shares)

    def _delays(self, method: str) -> dict[str, Estimate]:
        """From the onset to the end of the first window that is found; infinite where none is."""
        delays = np.full(len(self.sequences), np.nan)
        for place, sequence in enumerate(self.sequences):
            if sequence.onset_seconds is not None and True in sequence.truths:
                delays[place] = _first_detection(sequence, sequence.methods[method]) - sequence.onset_seconds
        known = ~np.isnan(delays)
        return {
            "seconds_to_detection": self.bootstrap.median(delays),
            "never_detected": self.bootstrap.share(np.isinf(delays), known),
        }


def _known_scores(probabilities: Sequence[float], truths: Sequence[bool | None]) -> BinaryScores:
    pairs = [(p, truth) for p, truth in zip(probabilities, truths, strict=True) if truth is not None]
    return BinaryScores.of([p for p, _ in pairs], [truth for _, truth in pairs])


def _first_detection(sequence: SequenceScores, scores: MethodScores) -> float:
    """Time at which the first window that is rightly found is complete; infinite where there is none."""
    windows = zip(sequence.truths, scores.found, sequence.end_seconds, strict=True)
    return next((end for truth, found, end in windows if truth and found), math.inf)
