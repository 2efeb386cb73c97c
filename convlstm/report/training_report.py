"""The report of an evaluation: report.html, predictions.csv and heatmaps/*.png in one folder."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from convlstm.atomic import atomic_write, atomic_write_text
from convlstm.errors import DataError
from convlstm.evaluation.evaluate import Evaluation, WindowPrediction
from convlstm.report.overlay import encode_png, frame_beside_overlay
from convlstm.report.page import Figure, GalleryItem, ReportPage, render
from convlstm.report.plots import confusion_matrix, pr_curves, reliability, training_curves
from convlstm.report.results import csv_text, file_name
from convlstm.utils.data.dataset import WindowDataset

GALLERY_SIZE = 12

Curve = tuple[ArrayLike, ArrayLike, float]

METRIC_NAMES = {
    "val_loss": "loss",
    "cell_ap": "cell average precision",
    "cell_f1": "cell F1",
    "cell_ece": "cell calibration error",
    "window_ap": "window average precision",
    "window_auc": "window AUC",
    "window_f1": "window F1",
    "sequence_auc": "sequence AUC",
}


def write_report(
    folder: Path,
    evaluation: Evaluation,
    data: WindowDataset,
    *,
    title: str,
    subtitle: str,
    history: Sequence[Mapping[str, float]] = (),
    settings: Mapping[str, str] | None = None,
) -> Path:
    """Write everything about `evaluation` into `folder` and return the path of report.html."""
    (folder / "heatmaps").mkdir(parents=True, exist_ok=True)
    _write_predictions(folder / "predictions.csv", evaluation)
    page = ReportPage(
        title=title,
        subtitle=subtitle,
        summary=_summary(evaluation),
        notes=evaluation.notes(),
        figures=_figures(evaluation, history),
        gallery=_gallery(folder / "heatmaps", evaluation, data),
        details=settings or {},
    )
    atomic_write_text(folder / "report.html", render(page))
    return folder / "report.html"


def _summary(evaluation: Evaluation) -> dict[str, str]:
    metrics = evaluation.metrics()
    summary = {METRIC_NAMES[name]: f"{value:.4g}" for name, value in metrics.items() if not math.isnan(value)}
    confusion = evaluation.confusion()
    mistakes = int(confusion.sum() - confusion.trace())
    return {**summary, "mistaken windows": f"{mistakes} of {len(evaluation)}"}


def _figures(evaluation: Evaluation, history: Sequence[Mapping[str, float]]) -> list[Figure]:
    undefined: Curve = ([], [], math.nan)
    curves: dict[str, Curve] = {
        name: (*scores.precision_recall(), scores.average_precision()) if scores.is_defined else undefined
        for name, scores in (("cells", evaluation.cells), ("windows", evaluation.windows))
    }
    has_cells = evaluation.cells.num_positives + evaluation.cells.num_negatives > 0
    what, counted = ("cells", evaluation.cells) if has_cells else ("windows", evaluation.windows)
    figures = [
        Figure(
            "Confusion matrix",
            confusion_matrix(evaluation.confusion(), evaluation.classes),
            f"Windows, at threshold {evaluation.threshold:g}.",
        ),
        Figure(
            "Precision and recall",
            pr_curves(curves),
            "Every threshold; the area below is the average precision.",
        ),
        Figure(
            "Reliability",
            reliability(*counted.reliability(), counted.calibration_error(), what=what),
            f"How often {what} with a given probability are dynamic in truth.",
        ),
    ]
    if history:
        caption = "Loss on training and validation windows, scores on validation, learning rate."
        figures.insert(0, Figure("Learning curves", training_curves(history), caption))
    return figures


def _gallery(folder: Path, evaluation: Evaluation, data: WindowDataset) -> list[GalleryItem]:
    taken: set[str] = set()
    items = []
    for prediction, heatmap in evaluation.worst[:GALLERY_SIZE]:
        try:
            pixels = data.read_clip(prediction.window)[-1].numpy()
            picture = encode_png(frame_beside_overlay(pixels, heatmap, evaluation.threshold))
        except DataError:
            continue  # the file went away since it was scored
        name = file_name(f"{prediction.sequence}_{prediction.first_frame:06d}.png", taken)
        with atomic_write(folder / f"{name}.png") as file:
            file.write(picture)
        items.append(GalleryItem(picture, _describe(prediction, evaluation.classes), prediction.is_mistake))
    return items


def _describe(prediction: WindowPrediction, classes: Sequence[str]) -> str:
    return (
        f"{prediction.sequence}, frames {prediction.first_frame}-{prediction.last_frame}: "
        f"truly {classes[prediction.label]}, dynamic with probability {prediction.probability:.3f}"
    )


def _write_predictions(path: Path, evaluation: Evaluation) -> None:
    header = ["sequence", "first_frame", "last_frame", "type", "prediction", "probability", "error"]
    rows = [
        [
            prediction.sequence,
            prediction.first_frame,
            prediction.last_frame,
            evaluation.classes[prediction.label],
            evaluation.classes[prediction.prediction],
            round(prediction.probability, 6),
            round(prediction.error, 6),
        ]
        for prediction in sorted(evaluation.predictions, key=lambda prediction: -prediction.error)
    ]
    atomic_write_text(path, csv_text(header, rows))
