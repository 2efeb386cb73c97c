import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from convlstm.report import plots
from tests.report.pictures import decode, keep_figures, texts

NAN = float("nan")
ROWS = [
    {"epoch": 1, "train_loss": 0.9, "val_loss": 1.0, "lr": 1e-4, "cell_ap": 0.4, "window_f1": 0.5},
    {"epoch": 2, "train_loss": 0.6, "val_loss": NAN, "lr": 1e-4, "cell_ap": 0.6, "window_auc": NAN},
    {"epoch": 3, "train_loss": 0.5, "val_loss": float("inf"), "lr": 5e-5},
]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were made into PNG files."""
    return keep_figures(monkeypatch, plots)


def test_training_curves_draw_what_there_is(figures: list[Figure]) -> None:
    picture = decode(plots.training_curves(ROWS))
    assert picture.shape == (1008, 1440, 3)
    loss, ranking, f1, rate = figures[0].axes
    assert [line.get_label() for line in loss.lines] == ["train_loss", "val_loss"]
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), [1.0, NAN, NAN])
    assert [line.get_label() for line in ranking.lines] == ["cell_ap"]
    assert [line.get_label() for line in f1.lines] == ["window_f1"]
    assert [line.get_label() for line in rate.lines] == ["lr"]
    assert {axes.get_xlabel() for axes in figures[0].axes} == {"epoch"}


def test_one_epoch_shows_a_marker(figures: list[Figure]) -> None:
    with_value = decode(plots.training_curves([{"epoch": 1, "train_loss": 0.5}]))
    assert figures[0].axes[0].lines[0].get_marker() == "o"
    assert (np.abs(with_value.astype(int) - (31, 97, 172)).sum(axis=2) == 0).sum() > 20


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "no epoch done yet"), ([{"epoch": 1}], "undefined: no value in any epoch"), ([{"lr": NAN}], "undefined")],
)
def test_training_without_values_says_so(figures: list[Figure], rows: list[dict[str, float]], message: str) -> None:
    decode(plots.training_curves(rows))
    assert sum(message in text for text in texts(figures[0])) == 4


def test_confusion_matrix_gives_counts_and_shares_of_the_true_class(figures: list[Figure]) -> None:
    decode(plots.confusion_matrix([[90, 10], [1, 3]], ["static", "dynamic"]))
    shown = texts(figures[0])
    assert {"90\n90.0%", "10\n10.0%", "1\n25.0%", "3\n75.0%", "static", "dynamic", "true", "predicted"} <= set(shown)
    cells = {text.get_text(): text.get_position() for text in figures[0].axes[0].texts}
    assert cells["10\n10.0%"] == (1, 0)  # column = predicted, row = true


def test_confusion_matrix_without_samples(figures: list[Figure]) -> None:
    decode(plots.confusion_matrix([[0, 0], [0, 0]], ["static", "dynamic"]))
    assert "undefined: no samples" in texts(figures[0])
    decode(plots.confusion_matrix([[5, 0], [0, 0]], ["static", "dynamic"]))
    assert texts(figures[1]).count("0\nno samples") == 2


def test_confusion_matrix_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(3, 3\) for 3 classes, got \(2, 2\)"):
        plots.confusion_matrix([[1, 0], [0, 1]], ["a", "b", "c"])


def test_pr_curves_step_over_the_average_precision(figures: list[Figure]) -> None:
    curves = {"cells": ([0.5, 0.8, 1.0], [1.0, 0.6, 0.2], 0.72), "windows": ([1.0, 0.8], [0.5, 1.0], 0.9)}
    decode(plots.pr_curves(curves))
    for line, (_, _, average) in zip(figures[0].axes[0].lines, curves.values(), strict=True):
        recall, precision = (np.asarray(data, dtype=float) for data in line.get_data())
        assert line.get_drawstyle() == "steps-pre"
        assert float((np.diff(recall) * precision[1:]).sum()) == pytest.approx(average)
    assert {"cells, AP 0.720", "windows, AP 0.900"} <= set(texts(figures[0]))


def test_long_pr_curves_are_thinned_without_changing_shape(figures: list[Figure]) -> None:
    recall = np.linspace(0, 1, 300_000)
    plots.pr_curves({"cells": (1 - recall**2, recall, 2 / 3)})
    x, y = (np.asarray(data, dtype=float) for data in figures[0].axes[0].lines[0].get_data())
    assert len(x) <= 2002
    assert float((np.diff(x) * y[1:]).sum()) == pytest.approx(2 / 3, abs=1e-3)


def test_undefined_curves_say_why(figures: list[Figure]) -> None:
    decode(plots.pr_curves({"cells": ([NAN], [NAN], NAN)}))
    assert {"undefined: one class only", "cells, undefined: one class only"} <= set(texts(figures[0]))
    decode(plots.pr_curves({"cells": ([1.0], [1.0], 1.0), "windows": ([], [], NAN)}))
    assert {"cells, AP 1.000", "windows, undefined: one class only"} <= set(texts(figures[1]))
    decode(plots.pr_curves({}))
    assert "nothing was measured" in texts(figures[2])


def test_reliability_leaves_out_empty_bins(figures: list[Figure]) -> None:
    decode(plots.reliability([0.1, NAN, 0.9], [0.0, NAN, 0.8], [1000, 0, 10], 0.1, what="windows"))
    upper, lower = figures[0].axes
    np.testing.assert_array_equal(upper.lines[1].get_xdata(), [0.1, 0.9])
    assert (lower.get_yscale(), lower.get_ylabel()) == ("log", "windows")
    assert "model, ECE 0.100" in texts(figures[0])


def test_reliability_of_nothing_says_so(figures: list[Figure]) -> None:
    decode(plots.reliability([], [], [], NAN))
    decode(plots.reliability([NAN, NAN], [NAN, NAN], [0, 0], NAN))
    assert all("undefined: no cells with a known truth" in texts(figure) for figure in figures)


@pytest.mark.parametrize(
    "name", ["$a_{", "$x$", "_hidden", "a\nb", "日本 🔥", "\x00\udcff", "<b>", "x" * 900, "%s {0}"]
)
def test_any_name_is_drawn_as_it_is(name: str) -> None:
    decode(plots.confusion_matrix([[1, 0], [0, 1]], [name, "other"]))
    decode(plots.pr_curves({name: ([1.0, 0.5], [0.5, 1.0], 0.75)}))


def test_plots_are_repeatable_and_leave_matplotlib_alone() -> None:
    before = dict(mpl.rcParams)
    assert plots.training_curves(ROWS) == plots.training_curves(ROWS)
    assert dict(mpl.rcParams) == before
