"""Plots of an evaluation that a training has no use for; in the style of `plots.py`, and as harmless."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from convlstm.evaluation.bootstrap import Estimate
from convlstm.report.axes import COLORS, GREY, INK, add_legend, drawable, new_figure, say, style_axes, to_png

_NUM_BINS = 40
_MAX_CURVE_POINTS = 2000
_BAR_INCHES = 0.1


def roc_curves(curves: Mapping[str, tuple[ArrayLike, ArrayLike, float]]) -> bytes:
    """True over false positive rate; `curves` gives each name both, false first, increasing, (N,), and the area."""
    figure = new_figure(6.6, 5.6)
    axes = figure.subplots()
    style_axes(axes, "ROC", "share of static called dynamic", "share of dynamic found")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.03))
    labels = []
    for number, (name, (false_rate, true_rate, area)) in enumerate(curves.items()):
        x = np.concatenate([[0.0], np.asarray(false_rate, dtype=np.float64)])
        y = np.concatenate([[0.0], np.asarray(true_rate, dtype=np.float64)])
        kept = np.unique(np.linspace(0, len(x) - 1, _MAX_CURVE_POINTS).astype(int))
        is_defined = bool(np.isfinite(area))
        axes.plot(
            x[kept] if is_defined else [],
            y[kept] if is_defined else [],
            color=COLORS[number % len(COLORS)],
            linewidth=2,
            label=f"curve {number}",
        )
        labels.append(f"{drawable(name, 40)}, " + (f"area {area:.3f}" if is_defined else "undefined: one class only"))
    if not any(np.isfinite(area) for _, _, area in curves.values()):
        say(axes, "undefined: one class only" if curves else "nothing was measured")
    else:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.2, linestyle="--")
    if curves:
        add_legend(axes, labels)
    return to_png(figure)


def score_histogram(
    probability: ArrayLike, positives: ArrayLike, negatives: ArrayLike, threshold: float, *, what: str = "cells"
) -> bytes:
    """How many dynamic and static `what` there are by probability, for counts (N,) at each probability (N,)."""
    figure = new_figure(6.6, 5.6)
    axes = figure.subplots()
    style_axes(axes, "Histogram", "predicted probability", what)
    edges = np.linspace(0, 1, _NUM_BINS + 1)
    counts = [np.histogram(np.asarray(probability), edges, weights=np.asarray(c))[0] for c in (positives, negatives)]
    if not sum(part.sum() for part in counts):
        say(axes, f"no {what} with a known truth")
        return to_png(figure)
    for part, color, name in zip(counts, (COLORS[4], COLORS[0]), ("truly dynamic", "truly static"), strict=True):
        axes.stairs(part, edges, color=color, linewidth=1.8, fill=False, label=name)
        axes.stairs(part, edges, color=color, alpha=0.18, fill=True)
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set_yscale("log")
    axes.set_ylim(0.7, max(part.max() for part in counts) * 3)
    axes.set_xlim(-0.02, 1.02)
    add_legend(axes)
    return to_png(figure)


def shares_by_kind(shares: Mapping[str, Mapping[str, Estimate]], title: str, xlabel: str) -> bytes:
    """Bars for each kind, one per method, with their intervals; `shares` in [0, 1] by kind and method."""
    methods = list(dict.fromkeys(name for row in shares.values() for name in row))
    figure = new_figure(8.5, 2.2 + _BAR_INCHES * max(1, len(shares)) * (len(methods) + 1))
    axes = figure.subplots()
    style_axes(axes, title, xlabel, "")
    if not shares:
        say(axes, "no kinds: the manifest has no column kind")
        return to_png(figure)
    height = 1 / (len(methods) + 1)
    for number, method in enumerate(methods):
        rows = [shares[kind].get(method, Estimate(np.nan)) for kind in shares]
        places = np.arange(len(rows)) + (number - (len(methods) - 1) / 2) * height
        values = np.array([row.value for row in rows])
        axes.barh(places, values, height * 0.92, color=COLORS[number % len(COLORS)], label=f"bars {number}")
        _draw_intervals(axes, places, rows)
    axes.set_yticks(range(len(shares)), [drawable(kind, 32) for kind in shares], parse_math=False)
    axes.set(xlim=(0, 1.02), ylim=(len(shares) - 0.45, -0.55))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(visible=False, axis="y")
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.75 / figure.get_figheight() - 0.02), "ncols": 3}
    add_legend(axes, [drawable(method, 40) for method in methods], **below)
    return to_png(figure)


def _draw_intervals(axes: Axes, places: ArrayLike, rows: Sequence[Estimate]) -> None:
    known = [(place, row) for place, row in zip(np.asarray(places), rows, strict=True) if row.has_interval]
    lows, highs = [row.low for _, row in known], [row.high for _, row in known]
    axes.hlines([place for place, _ in known], lows, highs, color=INK, linewidth=1)
