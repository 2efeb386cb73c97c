from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convlstm.report.timeline import ScoreTimeline, draw_timeline, format_seconds
from convlstm.types import Heatmap

SIZE = (1000, 300)
PEAK, CURVE, THRESHOLD = (247, 130, 20), (31, 97, 172), (200, 55, 45)


def windows(scores: Sequence[float], *, step: float = 1.0, start: float = 0.0) -> list[Heatmap]:
    maps = [np.full((2, 3), score, dtype=np.float32) for score in scores]
    return [
        Heatmap(map_, 3 * i, 3 * i + 9, start + i * step, start + i * step + 0.4 * step) for i, map_ in enumerate(maps)
    ]


def draw(timeline: list[Heatmap], shown: Heatmap | None = None, threshold: float = 0.5) -> NDArray[np.uint8]:
    canvas = Image.new("RGB", SIZE, (255, 255, 255))
    draw_timeline(canvas, (0, 0, *SIZE), ScoreTimeline(timeline), shown=shown or timeline[0], threshold=threshold)
    return np.asarray(canvas)


def plot_pixels(picture: NDArray[np.uint8], color: tuple[int, int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a colour below the header."""
    rows, columns = np.nonzero((picture == color).all(axis=2))
    return rows[rows > 60], columns[rows > 60]


def test_peak_stands_at_its_time() -> None:
    scores = [0.1] * 40
    scores[30] = 0.9
    _, columns = plot_pixels(draw(windows(scores)), PEAK)
    left, right = 78, SIZE[0] - 12
    expected = left + (30 + 0.2) / 39.4 * (right - left)
    assert columns.mean() == pytest.approx(expected, abs=2)


def test_higher_probabilities_and_thresholds_are_higher_up() -> None:
    low, high = (plot_pixels(draw(windows([score] * 5)), PEAK)[0].mean() for score in (0.2, 0.8))
    assert high < low - 50
    low, high = (plot_pixels(draw(windows([0.1] * 5), threshold=t), THRESHOLD)[0].mean() for t in (0.3, 0.7))
    assert high < low - 30


def test_missing_windows_break_the_line() -> None:
    timeline = windows([0.4] * 60)
    _, whole = plot_pixels(draw(timeline), CURVE)
    _, broken = plot_pixels(draw(timeline[:20] + timeline[40:]), CURVE)
    middle = 78 + (SIZE[0] - 90) / 2
    assert np.any(np.abs(whole - middle) < 50)
    assert not np.any(np.abs(broken - middle) < 50)


def test_a_short_peak_among_many_windows_is_not_lost() -> None:
    scores = np.full(20_000, 0.05)
    scores[12_345] = 0.99
    rows, columns = plot_pixels(draw(windows(list(scores), step=0.12)), PEAK)
    assert rows.mean() < 110
    assert columns.mean() == pytest.approx(78 + 0.617 * (SIZE[0] - 90), abs=3)


@pytest.mark.parametrize("start", [0.0, 3600.0, 1.7e9, -5.0])
@pytest.mark.parametrize("step", [0.0, 0.04, 7.0, 40_000.0])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_any_span_can_be_drawn(start: float, step: float, count: int) -> None:
    picture = draw(windows([0.7] * count, step=step, start=start))
    assert len(plot_pixels(picture, PEAK)[0]) > 20


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0.00 s"), (59.996, "60.00 s"), (3599.999, "1:00:00.00"), (7384.5, "2:03:04.50")]
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
