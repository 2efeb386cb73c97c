"""Curves and tables of a training or an evaluation as PNG files.

Every function returns the bytes of one PNG, touches no global state of matplotlib, and where there is nothing to draw
says why in the picture. NaN and missing values are left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from convlstm.report.axes import COLORS, GREY, INK, add_legend, drawable, new_figure, say, style_axes, to_png

_MAX_CURVE_POINTS = 2000

Row = Mapping[str, float]


def training_curves(rows: Sequence[Row]) -> bytes:
    """Loss, ranking quality, F1 and learning rate over epochs.

    `rows` are those of `results.csv`; of their columns epoch, train_loss, val_loss, lr, cell_ap, cell_f1, window_ap,
    window_auc, window_f1 and sequence_auc any may be missing.
    """
    figure = new_figure(10, 7)
    loss, ranking, f1, rate = figure.subplots(2, 2).flat
    _epoch_panel(loss, rows, "Loss", "loss", ("train_loss", "val_loss"))
    _epoch_panel(
        ranking,
        rows,
        "Ranking: average precision, area under ROC",
        "score",
        ("cell_ap", "window_ap", "window_auc", "sequence_auc"),
    )
    _epoch_panel(f1, rows, "F1 at the threshold", "F1", ("cell_f1", "window_f1"))
    _epoch_panel(rate, rows, "Learning rate", "learning rate", ("lr",))
    for axes in (ranking, f1):
        axes.set_ylim(-0.03, 1.03)
    rate.set_ylim(bottom=0)
    rate.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    return to_png(figure)


def _epoch_panel(axes: Axes, rows: Sequence[Row], title: str, ylabel: str, columns: Sequence[str]) -> None:
    style_axes(axes, title, "epoch", ylabel)
    epochs = _column(rows, "epoch")
    epochs = np.where(np.isnan(epochs), np.arange(len(rows)) + 1, epochs)
    drawn = 0
    for column, color in zip(columns, COLORS, strict=False):
        values = _column(rows, column)
        if np.isnan(values).all():
            continue
        marker_size = 4 if len(rows) <= 60 else 1.5  # a lone epoch has no line, only its marker
        axes.plot(epochs, values, color=color, linewidth=1.8, marker="o", markersize=marker_size, label=column)
        drawn += 1
    if not drawn:
        say(axes, "no epoch done yet" if not rows else "undefined: no value in any epoch")
        return
    axes.set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    add_legend(axes)


def _column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    """Values (N,) of one column, NaN where they are missing or infinite."""
    values = np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def confusion_matrix(matrix: ArrayLike, classes: Sequence[str]) -> bytes:
    """Counts and shares of each true class; `matrix` is int (K, K) with the truth in rows, `classes` its K names."""
    counts = np.asarray(matrix, dtype=np.int64)
    num_classes = len(classes)
    if counts.shape != (num_classes, num_classes):
        raise ValueError(f"matrix must be ({num_classes}, {num_classes}) for {num_classes} classes, got {counts.shape}")
    side = min(10.0, 3.6 + 0.9 * num_classes)
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    if counts.sum() == 0:
        style_axes(axes, "Confusion matrix", "", "")
        say(axes, "undefined: no samples")
        return to_png(figure)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, format=PercentFormatter(1.0))
    bar.ax.tick_params(colors=GREY, labelsize=9.5)
    bar.outline.set_visible(False)
    bar.set_label("share of the true class", color=GREY)
    style_axes(axes, "Confusion matrix", "predicted", "true")
    axes.grid(visible=False)
    names = [drawable(name, 24) for name in classes]
    axes.set_xticks(range(num_classes), names, rotation=0 if num_classes <= 3 else 40, parse_math=False)
    axes.set_yticks(range(num_classes), names, parse_math=False)
    for (row, column), count in np.ndenumerate(counts):
        share = f"{shares[row, column]:.1%}" if totals[row, 0] else "no samples"
        color = "white" if shares[row, column] > 0.55 else INK
        size = max(5.0, min(12.0, 75 / num_classes))
        axes.text(column, row, f"{count:,}\n{share}", ha="center", va="center", color=color, fontsize=size)
    return to_png(figure)


def pr_curves(curves: Mapping[str, tuple[ArrayLike, ArrayLike, float]]) -> bytes:
    """Precision over recall; `curves` gives each name its precision (N,), recall (N,) and average precision.

    The arrays may run in either direction. The lines are steps, whose area is the average precision.
    """
    figure = new_figure(6.6, 5.6)
    axes = figure.subplots()
    style_axes(axes, "Precision and recall", "recall", "precision")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.03))
    labels, drawn = [], False
    for number, (name, (precision, recall, average)) in enumerate(curves.items()):
        x, y = _recall_order(recall, precision)
        is_defined = len(x) > 0 and bool(np.isfinite(average))
        drawn |= is_defined
        axes.plot(
            x if is_defined else [],
            y if is_defined else [],
            color=COLORS[number % len(COLORS)],
            linewidth=2,
            drawstyle="steps-pre",
            label=f"curve {number}",
        )
        score = f"AP {average:.3f}" if is_defined else "undefined: one class only"
        labels.append(f"{drawable(name, 40)}, {score}")
    if curves:
        add_legend(axes, labels)
    if not drawn:
        say(axes, "undefined: one class only" if curves else "nothing was measured")
    return to_png(figure)


def _recall_order(recall: ArrayLike, precision: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both arrays by increasing recall from 0 on, without NaN, thinned to what a picture can show."""
    x, y = np.asarray(recall, dtype=np.float64).ravel(), np.asarray(precision, dtype=np.float64).ravel()
    usable = np.isfinite(x) & np.isfinite(y)
    x, y = x[usable], y[usable]
    if len(x) and x[0] > x[-1]:
        x, y = x[::-1], y[::-1]
    if len(x) and x[0] > 0:
        x, y = np.insert(x, 0, 0.0), np.insert(y, 0, y[0])
    if len(x) > _MAX_CURVE_POINTS:
        _, kept = np.unique(np.floor(x * _MAX_CURVE_POINTS), return_index=True)
        x, y = x[kept], y[kept]
    return x, y


def reliability(
    bin_probability: ArrayLike, bin_frequency: ArrayLike, bin_count: ArrayLike, ece: float, *, what: str = "cells"
) -> bytes:
    """Whether a probability means what it says: share that is dynamic over the probability given, and counts.

    For K bins of equal width over [0, 1]: mean probability, observed frequency (both NaN where a bin is empty) and
    count, each (K,); `ece` is the expected calibration error; `what` was counted: cells or windows.
    """
    probability = np.asarray(bin_probability, dtype=np.float64)
    frequency = np.asarray(bin_frequency, dtype=np.float64)
    count = np.nan_to_num(np.asarray(bin_count, dtype=np.float64))
    figure = new_figure(6.6, 7)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    style_axes(upper, "Reliability", "", f"observed share of dynamic {what}")
    style_axes(lower, "", "predicted probability", what)
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    usable = np.isfinite(probability) & np.isfinite(frequency)
    if not usable.any() or not count.any():
        say(upper, f"undefined: no {what} with a known truth")
        say(lower, "")
        return to_png(figure)
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1.2, linestyle="--", label="perfectly calibrated")
    label = f"model, ECE {ece:.3f}" if np.isfinite(ece) else "model, ECE undefined"
    upper.plot(
        probability[usable], frequency[usable], color=COLORS[0], linewidth=2, marker="o", markersize=5, label=label
    )
    add_legend(upper)
    edges = np.linspace(0, 1, len(count) + 1)
    lower.bar(edges[:-1], count, width=np.diff(edges), align="edge", color=COLORS[0], edgecolor="white", linewidth=0.6)
    lower.set_yscale("log")
    lower.set_ylim(0.7, count.max() * 2)
    return to_png(figure)
