"""The curve under a result picture: the highest probability of every window over time."""

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convlstm.heatmap import window_score
from convlstm.report.text import font
from convlstm.types import Heatmap

TIMELINE_HEIGHT = 300
"""Pixels that the timeline takes, its own margins included."""

Area = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""

_INK, _GREY, _GRID = (24, 27, 33), (96, 102, 112), (222, 226, 232)
_CURVE, _FILL, _SHOWN = (31, 97, 172), (219, 232, 247), (255, 234, 184)
_THRESHOLD, _PEAK = (200, 55, 45), (247, 130, 20)
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
_DAY = 86400
_LONG = 600
_PADDING = 12  # pixels over 1 and under 0, so that no mark is cut off


class ScoreTimeline:
    """The highest probability of every window over time.

    Where there are more than `capacity` windows, neighbours are taken together and the higher one stays: what is kept
    does not grow with the source.
    """

    def __init__(self, windows: Iterable[Heatmap] = (), *, capacity: int = 1 << 14) -> None:
        self.capacity = capacity
        self.start_seconds = math.inf
        self.end_seconds = -math.inf
        self._points: list[tuple[float, float]] = []  # middle of the window, its score
        self._per_point = 1
        self._num_in_last = 0
        for window in windows:
            self.add(window)

    def add(self, window: Heatmap) -> None:
        """Take the next window, in time order."""
        self.start_seconds = min(self.start_seconds, window.start_seconds)
        self.end_seconds = max(self.end_seconds, window.end_seconds)
        point = (window.start_seconds + window.end_seconds) / 2, window_score(window.probabilities)
        if self._points and self._num_in_last < self._per_point:
            self._points[-1] = _higher(self._points[-1], point)
            self._num_in_last += 1
            return
        if len(self._points) == self.capacity:
            self._points = [_higher(*self._points[i : i + 2]) for i in range(0, self.capacity, 2)]
            self._per_point *= 2
        self._points.append(point)
        self._num_in_last = 1

    def __len__(self) -> int:
        return len(self._points)

    @property
    def middles(self) -> NDArray[np.float64]:
        """Seconds (N,)."""
        return np.array([middle for middle, _ in self._points])

    @property
    def scores(self) -> NDArray[np.float64]:
        """Probabilities (N,)."""
        return np.array([score for _, score in self._points])


def _higher(*points: tuple[float, float]) -> tuple[float, float]:
    return max(points, key=lambda point: point[1])


def format_seconds(seconds: float) -> str:
    """Seconds up to ten minutes, h:mm:ss.ss beyond."""
    if seconds < _LONG:
        return f"{seconds:.2f} s"
    whole, hundredths = divmod(round(seconds * 100), 100)
    return f"{_clock(whole)}.{hundredths:02d}"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def draw_timeline(
    canvas: Image.Image, area: Area, timeline: ScoreTimeline, *, shown: Heatmap, threshold: float
) -> None:
    """Draw into `area` of the RGB `canvas`: a point per window at its middle, threshold, peak, and the shown window.

    `timeline` is not empty. However long it is, each pixel column keeps its highest window only.
    """
    plot = (area[0] + 78, area[1] + 66, area[2] - 12, area[3] - 76)
    start = min(timeline.start_seconds, shown.start_seconds)
    end = max(timeline.end_seconds, shown.end_seconds, start + 1e-3)
    middles, scores = timeline.middles, timeline.scores

    width, height = plot[2] - plot[0], plot[3] - plot[1]
    positions = (middles - start) / (end - start) * (width - 1)
    highest = _highest_per_column(positions, scores, width)
    points = [_pixel_points(segment, highest, height) for segment in _segments(highest, positions)]
    picture = np.full((height, width, 3), 255, dtype=np.uint8)
    band = [round((t - start) / (end - start) * (width - 1)) for t in (shown.start_seconds, shown.end_seconds)]
    _draw_curve(picture, points, (band[0] - 1, band[1] + 2))
    peak = int(scores.argmax())
    _draw_marks(picture, threshold, (round(float(positions[peak])), _row(scores[peak], height)))
    canvas.paste(Image.fromarray(picture), plot[:2])
    _draw_axes(ImageDraw.Draw(canvas), plot, start, end)
    _draw_header(ImageDraw.Draw(canvas), plot, f"peak {scores[peak]:.2f} at {format_seconds(middles[peak])}", threshold)


def _highest_per_column(positions: NDArray[np.float64], scores: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Scores (N,) at `positions` (N,) as one value per pixel column (width,), NaN where no window lies."""
    highest = np.full(width, np.nan)
    np.fmax.at(highest, np.clip(np.rint(positions), 0, width - 1).astype(np.intp), scores)
    return highest


def _segments(highest: NDArray[np.float64], positions: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Columns that a line may join: it breaks where windows are missing, so that a gap never looks like a result."""
    columns = np.flatnonzero(np.isfinite(highest))
    usual_step = float(np.median(np.diff(positions))) if len(positions) > 1 else 0.0
    breaks = np.flatnonzero(np.diff(columns) > 2.5 * usual_step + 2) + 1
    return np.split(columns, breaks)


def _row(score: float, height: int) -> int:
    return _PADDING + round((1 - score) * (height - 1 - 2 * _PADDING))


def _pixel_points(columns: NDArray[np.intp], highest: NDArray[np.float64], height: int) -> NDArray[np.int32]:
    rows = _PADDING + np.rint((1 - highest[columns]) * (height - 1 - 2 * _PADDING))
    return np.stack([columns, rows], axis=1).astype(np.int32)


def _draw_curve(picture: NDArray[np.uint8], segments: list[NDArray[np.int32]], shown: tuple[int, int]) -> None:
    height = picture.shape[0]
    for points in (points for points in segments if len(points) > 1):
        ground = np.array([[points[-1, 0], height - 1], [points[0, 0], height - 1]], dtype=np.int32)
        cv2.fillPoly(picture, [np.concatenate([points, ground])], _FILL)
    band = picture[:, max(0, shown[0]) : shown[1]]
    band[:] = band.astype(np.uint16) * _SHOWN // 255  # tints the filled part too
    for level in (0, 0.25, 0.5, 0.75, 1):
        picture[_row(level, height)] = _GRID
    for points in segments:
        cv2.polylines(picture, [points], False, _CURVE, 2, cv2.LINE_AA)
        if len(points) <= 60:
            for x, y in points.tolist():
                cv2.circle(picture, (x, y), 4, _CURVE, cv2.FILLED, cv2.LINE_AA)


def _draw_marks(picture: NDArray[np.uint8], threshold: float, peak: tuple[int, int]) -> None:
    row = _row(threshold, picture.shape[0])
    for left in range(0, picture.shape[1], 20):
        picture[max(0, row - 1) : row + 1, left : left + 12] = _THRESHOLD
    cv2.circle(picture, peak, 10, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
    cv2.circle(picture, peak, 8, _PEAK, cv2.FILLED, cv2.LINE_AA)


def _draw_axes(draw: ImageDraw.ImageDraw, plot: Area, start: float, end: float) -> None:
    left, top, right, bottom = plot
    draw.rectangle((left - 1, top - 1, right, bottom), outline=_GREY)
    for level in (0, 0.5, 1):
        draw.text((left - 12, top + _row(level, bottom - top)), f"{level:g}", font=font(20), fill=_GREY, anchor="rm")
    step = next((step for step in _STEPS if (end - start) / step <= 10), math.ceil((end - start) / _DAY / 10) * _DAY)
    is_long = end >= _LONG
    for number in range(math.ceil(start / step), math.floor(end / step) + 1):
        seconds = number * step
        x = left + (seconds - start) / (end - start) * (right - left - 1)
        draw.line((x, bottom, x, bottom + 7), fill=_GREY, width=2)
        text = _clock(round(seconds)) if is_long else f"{seconds:g}"
        draw.text((x, bottom + 12), text, font=font(20), fill=_GREY, anchor="ma")
    unit = "time (h:mm:ss)" if is_long else "time (s)"
    draw.text(((left + right) / 2, bottom + 40), unit, font=font(20), fill=_GREY, anchor="ma")


def _draw_header(draw: ImageDraw.ImageDraw, plot: Area, peak: str, threshold: float) -> None:
    middle = plot[1] - 24
    draw.text((plot[0], middle), "Highest cell probability per window", font=font(23), fill=_INK, anchor="lm")
    x: float = plot[2]
    for text, color in ((f"threshold {threshold:.2f}", _THRESHOLD), ("window shown", _SHOWN), (peak, _PEAK)):
        x -= draw.textlength(text, font=font(20))
        draw.text((x, middle), text, font=font(20), fill=_GREY, anchor="lm")
        draw.rounded_rectangle((x - 26, middle - 8, x - 10, middle + 8), 3, fill=color)
        x -= 52
