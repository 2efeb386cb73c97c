"""Empty axes in one style, and figures to PNG: what all plots share.

No global state of matplotlib is touched, and names are drawn as they are, whatever they hold.
"""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from convlstm.errors import printable
from convlstm.report.text import shorten

INK, GREY, GRID = "#181b21", "#606670", "#dee2e8"
COLORS = ("#1f61ac", "#e8710a", "#2e8b57", "#8e44ad", "#c8372d", "#00838f", "#8d6e63", "#5f6b7a")
_DPI = 144


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Titles, grid and colours."""
    axes.set_title(title, fontsize=12, color=INK, loc="left", pad=8)
    axes.set_xlabel(xlabel, fontsize=10.5, color=GREY)
    axes.set_ylabel(ylabel, fontsize=10.5, color=GREY)
    axes.tick_params(colors=GREY, labelsize=9.5)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)


def add_legend(axes: Axes, labels: Sequence[str] = (), **place: Any) -> None:
    """A legend; `labels` replace the artists' own afterwards, since there `$` and a leading `_` mean something."""
    legend = axes.legend(fontsize=9.5, framealpha=0.9, edgecolor=GRID, labelcolor=INK, **place)
    for text, label in zip(legend.get_texts(), labels, strict=False):
        text.set_parse_math(False)
        text.set_text(label)


def drawable(name: str, limit: int) -> str:
    """At most `limit` characters of `name`, without those that the plots' font lacks: matplotlib warns of each."""
    font = get_font(findfont(FontProperties()))
    return shorten("".join(c if font.get_char_index(ord(c)) else "?" for c in printable(name)), limit)


def say(axes: Axes, message: str) -> None:
    """Words in place of a plot."""
    axes.set(xticks=[], yticks=[])
    box: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, message, fontsize=12, color=GREY, **box)


def to_png(figure: Figure) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
