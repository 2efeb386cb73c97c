"""The report of an evaluation: the model beside the baselines, curves, and the worst windows as pictures."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from convlstm.atomic import atomic_write_text
from convlstm.clips import resize_frame
from convlstm.evaluation.comparison import METRICS, UNDEFINED, Comparison, KindFigures
from convlstm.evaluation.metrics import BinaryScores, bin_probabilities
from convlstm.evaluation.scoring import MODEL
from convlstm.evaluation.worst import WorstWindow
from convlstm.report.eval_plots import roc_curves, score_histogram, shares_by_kind
from convlstm.report.overlay import encode_png, frame_beside_overlay
from convlstm.report.page import Figure, GalleryItem, ReportPage, Table, render
from convlstm.report.plots import pr_curves, reliability

METHOD_NAMES = {
    MODEL: "model",
    "frame_difference": "frame difference",
    "mog2": "MOG2",
    "knn": "KNN",
    "optical_flow": "optical flow",
}

MODEL_BY_KIND = {
    "found_windows": "found: model",
    "cell_recall": "cells found: model",
    "cell_false_positive_rate": "cells false: model",
}

SUMMARY = ("cell_ap", "cell_f1", "window_auc", "sequence_auc", "false_windows", "found_windows", "seconds_to_detection")

_PANEL_SIDE = 420
"""Longer side of a gallery panel in pixels: two dozen of them make a page of some megabytes."""

NEAR_MISSES = 2
"""Windows that were decided rightly, but only just, in place of false alarms or missed ones where there are none."""

GALLERY_NOTE = (
    "The last frame of a window, and the heatmap over it. White: cells over the threshold. Green: cells that are "
    "dynamic in truth."
)

_MAX_NOTES = 30


def write_eval_report(
    path: Path,
    comparison: Comparison,
    *,
    subtitle: str,
    notes: Sequence[str],
    false_alarms: Sequence[WorstWindow],
    missed: Sequence[WorstWindow],
    settings: Mapping[str, str],
) -> None:
    """Write report.html, which holds all its pictures."""
    all_notes = [*notes, *comparison.notes()]
    if len(all_notes) > _MAX_NOTES:
        all_notes = [*all_notes[:_MAX_NOTES], f"and {len(all_notes) - _MAX_NOTES} more"]
    figures = _summary(comparison)
    page = ReportPage(
        title="Evaluation",
        subtitle=subtitle,
        summary={label: value for label, (value, _) in figures.items()},
        small_print={label: interval for label, (_, interval) in figures.items() if interval},
        notes=all_notes,
        tables=_tables(comparison),
        figures=_figures(comparison),
        gallery=_gallery(comparison, false_alarms, missed),
        gallery_note=GALLERY_NOTE,
        details=settings,
    )
    atomic_write_text(path, render(page))


def summary_line(comparison: Comparison) -> str:
    """The key figures of the model in one line; undefined ones are left out."""
    estimates = comparison.estimates[MODEL]
    parts = [f"{METRICS[name].label} {METRICS[name].text(estimates[name])}" for name in SUMMARY]
    return "; ".join(part for part, name in zip(parts, SUMMARY, strict=True) if not math.isnan(estimates[name].value))


def _summary(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """Key figures of the model by their label, and their intervals, empty where undefined."""
    estimates = comparison.estimates[MODEL]
    texts = {METRICS[name].label: METRICS[name].text(estimates[name]) for name in SUMMARY}
    parts = {label: text.partition(" (") for label, text in texts.items() if text != UNDEFINED}
    return {label: (value, (start + rest).strip()) for label, (value, start, rest) in parts.items()}


def _tables(comparison: Comparison) -> list[Table]:
    names = [METHOD_NAMES[method] for method in comparison.methods]
    rows: list[list[str]] = []
    strong: set[tuple[int, int]] = set()
    for name, metric in METRICS.items():
        estimates = [comparison.estimates[method][name] for method in comparison.methods]
        values = [estimate.value for estimate in estimates if not math.isnan(estimate.value)]
        if not values:
            continue
        best = max(values) if metric.higher_is_better else min(values)
        strong |= {
            (len(rows), column)
            for column, estimate in enumerate(estimates, start=1)
            if estimate.value == best and len(values) > 1
        }
        label = f"{metric.label} {comparison.at_recall:g}" if name.endswith("at_recall") else metric.label
        rows.append([label, *(metric.text(estimate) for estimate in estimates)])
    thresholds = ", ".join(
        f"{METHOD_NAMES[method]} {threshold:.3g}" for method, threshold in comparison.thresholds.items()
    )
    intervals = f"In brackets: 95 % intervals, from resampling {comparison.num_groups} sequences or groups of them. "
    caption = (intervals if comparison.num_groups > 1 else "") + (
        f"F1, IoU and everything about found and false windows hold at the thresholds: {thresholds}. A window in which "
        f"nothing moves is called dynamic where {comparison.false_cells} or more of its cells are hot; one in which "
        "something moves is found where any is, unless the truth is static just there."
    )
    title = "Model and baselines" if len(names) > 1 else "Figures"
    tables = [Table(title, ["", *names], rows, caption, frozenset(strong))]
    return tables + ([_kind_table(comparison)] if comparison.by_kind else [])


def _kind_table(comparison: Comparison) -> Table:
    names = [f"false: {METHOD_NAMES[method]}" for method in comparison.methods]
    rows = [
        [
            kind,
            str(figures.num_static),
            *(_kind_share(figures, method, "false_windows") for method in comparison.methods),
            str(figures.num_dynamic),
            *(_kind_share(figures, MODEL, name) for name in MODEL_BY_KIND),
        ]
        for kind, figures in comparison.by_kind.items()
    ]
    caption = (
        "false: share of the static windows that are called dynamic; found: share of the dynamic ones that are; of "
        "cells: share of the dynamic ones that are hot, and of the static ones."
    )
    header = ["kind", "static windows", *names, "dynamic windows", *MODEL_BY_KIND.values()]
    return Table("By kind", header, rows, caption)


def _kind_share(figures: KindFigures, method: str, name: str) -> str:
    return METRICS[name].text(figures.shares[method][name])


def _figures(comparison: Comparison) -> list[Figure]:
    has_cells = comparison.cells(MODEL).is_defined
    what = "cells" if has_cells else "windows"
    scores = {
        method: comparison.cells(method) if has_cells else comparison.windows(method) for method in comparison.methods
    }
    model, threshold = scores[MODEL], comparison.thresholds[MODEL]
    figures = [
        Figure(
            "Precision and recall",
            pr_curves({METHOD_NAMES[name]: _pr_curve(item) for name, item in scores.items()}),
            f"Of {what}, at every threshold; the area below is the average precision.",
        ),
        Figure(
            "ROC",
            roc_curves({METHOD_NAMES[name]: (*item.roc(), item.auc()) for name, item in scores.items()}),
            f"Of {what}, at every threshold.",
        ),
        Figure(
            "Reliability",
            reliability(*model.reliability(), model.calibration_error(), what=what),
            f"How often {what} with a given probability are dynamic in truth; --calibrate mends what is off.",
        ),
        Figure(
            "Histogram",
            score_histogram(bin_probabilities(), model.positives, model.negatives, threshold, what=what),
            f"Probabilities of truly dynamic and truly static {what}.",
        ),
    ]
    return figures + _kind_figures(comparison)


def _pr_curve(scores: BinaryScores) -> tuple[Sequence[float], Sequence[float], float]:
    if not scores.is_defined:
        return [], [], math.nan
    precision, recall = scores.precision_recall()
    return precision.tolist(), recall.tolist(), scores.average_precision()


def _kind_figures(comparison: Comparison) -> list[Figure]:
    shares = {
        kind: {METHOD_NAMES[method]: shares["false_windows"] for method, shares in figures.shares.items()}
        for kind, figures in comparison.by_kind.items()
        if figures.num_static
    }
    if not shares:
        return []
    picture = shares_by_kind(shares, "False windows by kind", "share of static windows called dynamic")
    return [Figure("False windows by kind", picture, "Windows in which nothing moves; lines are 95 % intervals.")]


def _gallery(
    comparison: Comparison, false_alarms: Sequence[WorstWindow], missed: Sequence[WorstWindow]
) -> list[GalleryItem]:
    kinds = {sequence.name: sequence.kind for sequence in comparison.sequences}
    return [
        _gallery_item(window, comparison, badge, kinds.get(window.sequence, ""))
        for windows, badge in ((false_alarms, "false alarm"), (missed, "missed"))
        for window in [window for window in windows if window.is_mistake] or windows[:NEAR_MISSES]
    ]


def _gallery_item(window: WorstWindow, comparison: Comparison, badge: str, kind: str) -> GalleryItem:
    threshold, heatmap = comparison.thresholds[MODEL], window.heatmap
    scale = _PANEL_SIDE / max(window.size)
    pixels = resize_frame(window.pixels, (max(1, round(window.size[0] * scale)), max(1, round(window.size[1] * scale))))
    truth = window.truth.cells == 1
    picture = frame_beside_overlay(pixels, heatmap.probabilities, threshold, truth if truth.any() else None)
    num_hot = int((heatmap.probabilities >= threshold).sum())
    what = "something moves" if window.truth.is_dynamic else "nothing moves"
    caption = (
        f"{window.sequence}{f' ({kind})' if kind else ''}, frames {heatmap.first_frame}-{heatmap.last_frame}: {what}; "
        f"highest probability {heatmap.probabilities.max():.3f}, {num_hot} hot cells"
    )
    return GalleryItem(encode_png(picture), caption, window.is_mistake, badge if window.is_mistake else "")
