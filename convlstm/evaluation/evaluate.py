"""Run a model over labelled windows and keep what reports and decisions need.

Shapes: B windows, T frames per window, M encoded frames, K output channels, GH GW cells.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convlstm.config import ModelConfig
from convlstm.evaluation.metrics import BinaryScores
from convlstm.heatmap import window_score
from convlstm.models.temporal_classifier import TemporalClassifier, clip_logits
from convlstm.types import Float32Array
from convlstm.utils.data.batch import IGNORED, Batch, cell_shares, targets_of
from convlstm.utils.data.dataset import WindowDataset

LossFunction = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Logits (B, K, GH, GW), labels (B,), cells (B, GH, GW) to the weighted sum of the losses and the sum of weights."""


@dataclass(frozen=True)
class WindowPrediction:
    """One window: `label` and `prediction` are class indices, `probability` that anything in it is dynamic.

    `error` in [0, 1] is how far the probability lies from the truth.
    """

    sequence: str
    first_frame: int
    last_frame: int
    label: int
    prediction: int
    probability: float
    error: float
    window: int

    @property
    def is_mistake(self) -> bool:
        """Whether the predicted class is not the true one."""
        return self.prediction != self.label


@dataclass
class Tally:
    """What scoring some windows leaves; `+` joins the tallies of several processes.

    `worst` holds for a sequence's place its worst window: error, window, heatmap.
    """

    loss_sum: float = 0.0
    weight_sum: float = 0.0
    cells: BinaryScores = field(default_factory=BinaryScores)
    windows: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    worst: dict[int, tuple[float, int, Float32Array]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def __add__(self, other: "Tally") -> "Tally":
        joined = Tally(
            loss_sum=self.loss_sum + other.loss_sum,
            weight_sum=self.weight_sum + other.weight_sum,
            cells=self.cells + other.cells,
            windows=self.windows + other.windows,
            labels=self.labels + other.labels,
            probabilities=self.probabilities + other.probabilities,
            classes=self.classes + other.classes,
            worst=dict(self.worst),
            damaged=list(dict.fromkeys(self.damaged + other.damaged)),
        )
        for sequence, (error, window, heatmap) in other.worst.items():
            joined.note_worst(sequence, error, window, heatmap)
        return joined

    def note_worst(self, sequence: int, error: float, window: int, heatmap: Float32Array) -> None:
        """Keep the window if it is the sequence's worst so far."""
        if sequence not in self.worst or error > self.worst[sequence][0]:
            self.worst[sequence] = (error, window, heatmap)


class Evaluation:
    """Scores of one pass over the windows of `dataset`, computed when they are asked for."""

    def __init__(self, config: ModelConfig, dataset: WindowDataset, threshold: float, tally: Tally) -> None:
        self.config = config
        self.dataset = dataset
        self.threshold = threshold
        self.tally = tally

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return self.config.classes

    @property
    def loss(self) -> float:
        """Weighted mean over all windows; NaN where none was scored or no loss was asked for."""
        return self.tally.loss_sum / self.tally.weight_sum if self.tally.weight_sum else math.nan

    @property
    def cells(self) -> BinaryScores:
        """Over all cells whose truth is known."""
        return self.tally.cells

    @property
    def damaged(self) -> list[str]:
        """What could not be read."""
        return self.tally.damaged

    def __len__(self) -> int:
        return len(self.tally.windows)

    @cached_property
    def windows(self) -> BinaryScores:
        """Over windows."""
        return BinaryScores.of(self.tally.probabilities, [self.config.is_dynamic(i) for i in self.tally.labels])

    @cached_property
    def sequences(self) -> BinaryScores:
        """Over sequences; one counts by its highest window."""
        highest: dict[int, tuple[float, int]] = {}
        for window, probability, label in zip(
            self.tally.windows, self.tally.probabilities, self.tally.labels, strict=True
        ):
            sequence = self.dataset.place(window).sequence
            highest[sequence] = (max(highest.get(sequence, (0.0, label))[0], probability), label)
        return BinaryScores.of(
            [probability for probability, _ in highest.values()],
            [self.config.is_dynamic(label) for _, label in highest.values()],
        )

    @cached_property
    def predictions(self) -> list[WindowPrediction]:
        """All scored windows."""
        return [self._prediction(i) for i in range(len(self))]

    @cached_property
    def worst(self) -> list[tuple[WindowPrediction, Float32Array]]:
        """The worst window of each sequence with its heatmap, worst first."""
        place = {window: i for i, window in enumerate(self.tally.windows)}
        items = [(self._prediction(place[window]), heatmap) for _, window, heatmap in self.tally.worst.values()]
        return sorted(items, key=lambda item: -item[0].error)

    def confusion(self) -> NDArray[np.int64]:
        """Windows (classes, classes): rows truth, columns prediction."""
        matrix = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        for label, probability, best_class in zip(
            self.tally.labels, self.tally.probabilities, self.tally.classes, strict=True
        ):
            matrix[label, self._decide(probability, best_class)] += 1
        return matrix

    def metrics(self) -> dict[str, float]:
        """Key figures by name; NaN where undefined."""
        return {
            "val_loss": self.loss,
            "cell_ap": self.cells.average_precision(),
            "cell_f1": self.cells.f1(self.threshold),
            "cell_ece": self.cells.calibration_error(),
            "window_ap": self.windows.average_precision(),
            "window_auc": self.windows.auc(),
            "window_f1": self.windows.f1(self.threshold),
            "sequence_auc": self.sequences.auc(),
        }

    def notes(self) -> list[str]:
        """What is undefined or was left out, in plain words."""
        notes = []
        if not self.windows.is_defined:
            seen = sorted({self.classes[label] for label in set(self.tally.labels)})
            notes.append(
                f"validation holds only {', '.join(seen) or 'no'} windows: AP and AUC are undefined, add the other"
            )
        if not self.cells.num_positives + self.cells.num_negatives:
            notes.append("no validation sequence has masks: scores per cell are undefined")
        elif not self.cells.is_defined:
            notes.append("the validation masks are all dynamic or all static: scores per cell are undefined")
        notes += [f"left out: {line}" for line in self.damaged[:20]]
        return notes

    def _decide(self, probability: float, best_class: int) -> int:
        return int(probability >= self.threshold) if len(self.classes) == 2 else best_class

    def _prediction(self, i: int) -> WindowPrediction:
        window, label, probability = self.tally.windows[i], self.tally.labels[i], self.tally.probabilities[i]
        place = self.dataset.place(window)
        return WindowPrediction(
            sequence=self.dataset.sequences[place.sequence].row.folder_name,
            first_frame=place.start,
            last_frame=min(place.start + self.dataset.config.seq_length, place.run.stop) - 1,
            label=label,
            prediction=self._decide(probability, self.tally.classes[i]),
            probability=probability,
            error=_error(self.config, probability, label),
            window=window,
        )


def evaluate(
    model: TemporalClassifier,
    batches: Iterable[Batch],
    dataset: WindowDataset,
    *,
    threshold: float,
    device: torch.device | None = None,
    loss_function: LossFunction | None = None,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    gather: Callable[[Tally], Iterable[Tally]] = lambda tally: [tally],
) -> Evaluation:
    """Score every window of `dataset`, given in `batches` of an `eval_loader`; each frame is encoded once.

    `autocast` is the precision to compute in; `gather` hands the tallies of all processes to each of them.
    """
    tally = Tally()
    stream = _Stream(model)
    with torch.inference_mode():
        for batch in batches:
            tally.damaged += [line for line in batch.damaged if line not in tally.damaged]
            on_device = batch.to(device) if device is not None else batch
            with autocast():
                logits, shares, readable = stream.logits(on_device)
            kept = on_device.with_windows(readable)
            if not len(kept):
                continue
            cells = targets_of(shares[readable.to(shares.device)], kept.labels, dataset.config.mask_min_share)
            logits = logits[readable].float()
            if loss_function is not None:
                loss, weight = loss_function(logits, kept.labels, cells)
                tally.loss_sum += float(loss)
                tally.weight_sum += float(weight)
            _count(tally, model, logits, kept, cells, dataset)
    joined, *others = gather(tally)
    for other in others:
        joined += other
    return Evaluation(model.config, dataset, threshold, joined)


class _Stream:
    """Encodes frames batch by batch, and keeps what windows of the next batch share with this one."""

    def __init__(self, model: TemporalClassifier) -> None:
        self.model = model
        self.greys: Tensor | None = None
        self.gates = torch.empty(0)
        self.shares = torch.empty(0)
        self.bad_frames = torch.empty(0, dtype=torch.bool)
        self.bad = torch.empty(0, dtype=torch.bool)

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, K, GH, GW), highest mask shares (B, GH, GW), and whether all frames were readable, bool (B,)."""
        carried_frames, carried = batch.num_carried_frames, batch.num_carried
        earlier = _tail(self.greys, carried_frames) if self.greys is not None and carried_frames else None
        gates, self.greys = self.model.encode_frames(
            batch.frames.permute(0, 3, 1, 2), batch.encode, batch.lagged, earlier
        )
        shares = cell_shares(batch.shares)[batch.encode - carried_frames]
        self.bad_frames = torch.cat([_tail(self.bad_frames, carried_frames), batch.unreadable])
        encode, lagged, windows = batch.encode.cpu(), batch.lagged.cpu(), batch.windows.cpu()
        bad = self.bad_frames[encode] | self.bad_frames[lagged].any(dim=1)
        self.bad = torch.cat([_tail(self.bad, carried), bad])
        self.gates = torch.cat([_tail(self.gates, carried), gates]) if carried else gates
        self.shares = torch.cat([_tail(self.shares, carried), shares]) if carried else shares
        logits = self.model.window_head(self.gates, batch.windows)
        return logits, self.shares[batch.windows].amax(dim=1), ~self.bad[windows].any(dim=1)


def _tail(values: Tensor, count: int) -> Tensor:
    return values[len(values) - count :]


def _count(
    tally: Tally, model: TemporalClassifier, logits: Tensor, batch: Batch, cells: Tensor, dataset: WindowDataset
) -> None:
    config = model.config
    heatmaps = model.dynamic_probability(logits).cpu().numpy()
    targets = cells.cpu().numpy()
    truth = targets == config.dynamic_index if config.dynamic_index is not None else targets > 0
    known = targets != IGNORED
    tally.cells += BinaryScores.of(heatmaps[known], truth[known])
    tally.classes += clip_logits(logits).argmax(dim=1).tolist()
    for heatmap, window, label in zip(heatmaps, batch.ids.tolist(), batch.labels.tolist(), strict=True):
        probability = window_score(heatmap)
        tally.windows.append(window)
        tally.labels.append(label)
        tally.probabilities.append(probability)
        error = _error(config, probability, label)
        tally.note_worst(dataset.place(window).sequence, error, window, heatmap.copy())


def _error(config: ModelConfig, probability: float, label: int) -> float:
    return 1 - probability if config.is_dynamic(label) else probability


def describe_metrics(metrics: Mapping[str, float]) -> str:
    """Metrics as one line; undefined ones are left out."""
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if not math.isnan(value))
