import numpy as np
import pytest
from matplotlib.figure import Figure

from convlstm.evaluation.bootstrap import Estimate
from convlstm.report import eval_plots
from tests.report.pictures import decode, keep_figures, texts

NAN = float("nan")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were made into PNG files."""
    return keep_figures(monkeypatch, eval_plots)


def test_roc_curves_start_at_zero_and_name_their_areas(figures: list[Figure]) -> None:
    decode(eval_plots.roc_curves({"model_$x$": ([0.0, 0.5, 1.0], [0.6, 0.9, 1.0], 0.875), "KNN": ([], [], NAN)}))
    first, second, diagonal = figures[0].axes[0].lines
    np.testing.assert_array_equal(first.get_xydata(), [[0, 0], [0, 0.6], [0.5, 0.9], [1, 1]])
    assert len(np.asarray(second.get_xdata())) == 0 and diagonal.get_linestyle() == "--"
    assert {"model_$x$, area 0.875", "KNN, undefined: one class only"} <= set(texts(figures[0]))


def test_long_roc_curves_keep_both_ends(figures: list[Figure]) -> None:
    rates = np.linspace(0, 1, 50_000)
    decode(eval_plots.roc_curves({"model": (rates, rates**0.5, 0.7)}))
    points = np.asarray(figures[0].axes[0].lines[0].get_xydata())
    assert 1000 < len(points) <= 2000
    assert points[0].tolist() == [0, 0] and points[-1].tolist() == [1, 1]


def test_no_roc_curve_says_so(figures: list[Figure]) -> None:
    decode(eval_plots.roc_curves({"model": ([], [], NAN)}))
    decode(eval_plots.roc_curves({}))
    assert "undefined: one class only" in texts(figures[0]) and "nothing was measured" in texts(figures[1])


def test_a_histogram_counts_both_kinds(figures: list[Figure]) -> None:
    decode(eval_plots.score_histogram([0.01, 0.012, 0.99], [0, 1, 7], [100, 20, 0], 0.25, what="windows"))
    axes = figures[0].axes[0]
    heights = [patch.get_data().values for patch in axes.patches if hasattr(patch, "get_data")]
    assert heights[0][0] == 1 and heights[0][-1] == 7 and heights[2][0] == 120
    assert {"truly dynamic", "truly static", "threshold 0.25", "windows"} <= set(texts(figures[0]))
    assert axes.get_yscale() == "log"


def test_a_histogram_of_nothing_says_so(figures: list[Figure]) -> None:
    decode(eval_plots.score_histogram([0.5], [0], [0], 0.5))
    assert "no cells with a known truth" in texts(figures[0])


def test_bars_stand_by_kind_and_method_with_their_intervals(figures: list[Figure]) -> None:
    shares = {
        "rain $x$": {"model": Estimate(0.2, 0.1, 0.4), "KNN": Estimate(0.9)},
        "night": {"model": Estimate(0.0, 0.0, 0.1), "KNN": Estimate(NAN)},
    }
    decode(eval_plots.shares_by_kind(shares, "False windows", "share"))
    axes = figures[0].axes[0]
    widths = [[bar.get_width() for bar in container] for container in axes.containers]
    np.testing.assert_array_equal(widths, [[0.2, 0.0], [0.9, NAN]])
    segments = [segment.tolist() for lines in axes.collections for segment in lines.get_segments()]  # type: ignore[attr-defined]
    assert [[point[0] for point in segment] for segment in segments] == [[0.1, 0.4], [0.0, 0.1]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["rain $x$", "night"]
    assert {"model", "KNN", "share"} <= set(texts(figures[0]))
    assert axes.yaxis_inverted()


def test_no_kinds_say_so(figures: list[Figure]) -> None:
    decode(eval_plots.shares_by_kind({}, "False windows", "share"))
    assert "no kinds: the manifest has no column kind" in texts(figures[0])
