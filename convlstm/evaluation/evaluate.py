"""Run a model over labelled windows and keep what reports and decisions need.

Shapes: B batch, K output channels, GH GW cells.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convlstm.config import ModelConfig
from convlstm.evaluation.metrics import BinaryScores
from convlstm.heatmap import window_score
from convlstm.models.temporal_classifier import TemporalClassifier, clip_logits
from convlstm.types import Float32Array
from convlstm.utils.data.dataset import IGNORED, Batch, WindowDataset

LossFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Logits (B, K, GH, GW), labels (B,), cells (B, GH, GW) to a scalar."""


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
class Evaluation:
    """Scores of one pass. `worst` holds, per sequence, its worst window with its heatmap."""

    classes: tuple[str, ...]
    threshold: float
    loss: float = math.nan
    cells: BinaryScores = field(default_factory=BinaryScores)
    windows: BinaryScores = field(default_factory=BinaryScores)
    sequences: BinaryScores = field(default_factory=BinaryScores)
    predictions: list[WindowPrediction] = field(default_factory=list)
    worst: dict[str, tuple[WindowPrediction, Float32Array]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def confusion(self) -> NDArray[np.int64]:
        """Windows (classes, classes): rows truth, columns prediction."""
        matrix = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        for prediction in self.predictions:
            matrix[prediction.label, prediction.prediction] += 1
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
            seen = sorted({self.classes[p.label] for p in self.predictions})
            notes.append(
                f"validation holds only {', '.join(seen) or 'no'} windows: AP and AUC are undefined, add the other"
            )
        if not self.cells.num_positives + self.cells.num_negatives:
            notes.append("no validation sequence has masks: scores per cell are undefined")
        elif not self.cells.is_defined:
            notes.append("the validation masks are all dynamic or all static: scores per cell are undefined")
        notes += [f"left out: {line}" for line in self.damaged[:20]]
        return notes


def evaluate(
    model: TemporalClassifier,
    batches: Iterable[Batch],
    dataset: WindowDataset,
    *,
    threshold: float,
    loss_function: LossFunction | None = None,
    logits_of: Callable[[Tensor, int], Tensor] | None = None,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Evaluation:
    """Score every window of `dataset`, given in `batches` (uint8 clips).

    `logits_of` runs the network where it has been wrapped for a device or a precision; the model's own is the default.
    """
    result = Evaluation(model.config.classes, threshold)
    run = logits_of or model.logits
    loss_sum = 0.0
    with torch.inference_mode():
        for batch in batches:
            result.damaged += [line for line in dict.fromkeys(batch.damaged) if line not in result.damaged]
            if not len(batch):
                continue
            logits = run(batch.clips.permute(0, 1, 4, 2, 3), dataset.num_context).float()
            if loss_function is not None:
                loss_sum += float(loss_function(logits, batch.labels, batch.cells)) * len(batch)
            _add_batch(result, model, logits, batch, dataset)
            on_batch(len(batch))
    if loss_function is not None and result.predictions:
        result.loss = loss_sum / len(result.predictions)
    result.sequences = _sequence_scores(result.predictions, model.config)
    return result


def _add_batch(
    result: Evaluation, model: TemporalClassifier, logits: Tensor, batch: Batch, dataset: WindowDataset
) -> None:
    config = model.config
    heatmaps = model.dynamic_probability(logits).cpu().numpy()
    classes = clip_logits(logits).argmax(dim=1).tolist()
    cells = batch.cells.cpu().numpy()
    truth = cells == config.dynamic_index if config.dynamic_index is not None else cells > 0
    known = cells != IGNORED
    result.cells += BinaryScores.of(heatmaps[known], truth[known])
    for i, (window, label) in enumerate(zip(batch.windows.tolist(), batch.labels.tolist(), strict=True)):
        prediction = _predict(dataset, window, label, heatmaps[i], classes[i], config, result.threshold)
        result.predictions.append(prediction)
        worst_so_far = result.worst.get(prediction.sequence)
        if worst_so_far is None or prediction.error > worst_so_far[0].error:
            result.worst[prediction.sequence] = (prediction, heatmaps[i].copy())
    probabilities = [p.probability for p in result.predictions[-len(batch) :]]
    result.windows += BinaryScores.of(probabilities, [config.is_dynamic(label) for label in batch.labels.tolist()])


def _predict(
    dataset: WindowDataset,
    window: int,
    label: int,
    heatmap: Float32Array,
    best_class: int,
    config: ModelConfig,
    threshold: float,
) -> WindowPrediction:
    place = dataset.windows[window]
    probability = window_score(heatmap)
    last_frame = min(place.start + dataset.config.seq_length, place.run.stop) - 1
    return WindowPrediction(
        sequence=dataset.sequences[place.sequence].row.folder_name,
        first_frame=place.start,
        last_frame=last_frame,
        label=label,
        prediction=int(probability >= threshold) if len(config.classes) == 2 else best_class,
        probability=probability,
        error=1 - probability if config.is_dynamic(label) else probability,
        window=window,
    )


def _sequence_scores(predictions: Iterable[WindowPrediction], config: ModelConfig) -> BinaryScores:
    """A sequence counts by its highest window."""
    highest: dict[str, tuple[float, int]] = {}
    for prediction in predictions:
        known = highest.get(prediction.sequence, (0.0, prediction.label))
        highest[prediction.sequence] = (max(known[0], prediction.probability), prediction.label)
    return BinaryScores.of(
        [probability for probability, _ in highest.values()],
        [config.is_dynamic(label) for _, label in highest.values()],
    )


def describe_metrics(metrics: Mapping[str, float]) -> str:
    """Metrics as one line; undefined ones are left out."""
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if not math.isnan(value))
