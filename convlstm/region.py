"""Where in the picture to look: polygons to cells."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from convlstm.errors import ConfigError
from convlstm.types import Heatmap

Point = tuple[float, float]
Polygon = tuple[Point, ...]

SAMPLES_PER_SIDE = 16
"""A cell's share inside a polygon is counted on so many points across and down."""


class Region:
    """Cells inside any polygon of `roi` (the whole picture where there is none) and outside all of `ignore`.

    Polygons are normalised: x and y from 0, left and top, to 1. A cell counts where at least half of it is inside;
    the others are never hot.
    """

    def __init__(self, roi: Sequence[Polygon] = (), ignore: Sequence[Polygon] = ()) -> None:
        self.roi = tuple(roi)
        self.ignore = tuple(ignore)
        self._cells: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def cells(self, grid: tuple[int, int]) -> NDArray[np.bool_]:
        """Which cells of `grid` = (GH, GW) count, bool (GH, GW)."""
        if grid not in self._cells:
            self._cells[grid] = region_share(grid, self.roi, self.ignore) >= 0.5
        return self._cells[grid]

    def apply(self, heatmap: Heatmap) -> Heatmap:
        """The heatmap with probability 0 in all cells that do not count."""
        if not self.roi and not self.ignore:
            return heatmap
        rows, columns = heatmap.probabilities.shape
        return replace(heatmap, probabilities=heatmap.probabilities * self.cells((rows, columns)))


def parse_polygons(name: str, values: Sequence[str | float]) -> tuple[Polygon, ...]:
    """Polygons from text, "x1 y1 x2 y2 x3 y3" each, commas allowed; single numbers together are one polygon.

    `name` is that of the setting. Raises ConfigError for what is no polygon inside the picture.
    """
    texts = [str(value).strip() for value in values]
    if texts and all(len(_words(text)) == 1 for text in texts):
        texts = [" ".join(texts)]
    return tuple(_polygon(name, text) for text in texts)


def region_share(grid: tuple[int, int], roi: Sequence[Polygon], ignore: Sequence[Polygon]) -> NDArray[np.float64]:
    """Share of each cell of `grid` = (GH, GW) that lies inside `roi` and outside `ignore`, float64 in [0, 1]."""
    rows, columns = (side * SAMPLES_PER_SIDE for side in grid)
    x = (np.arange(columns) + 0.5) / columns
    y = (np.arange(rows) + 0.5) / rows
    inside = np.ones((rows, columns), dtype=bool) if not roi else _inside_any(roi, x, y)
    inside &= ~_inside_any(ignore, x, y)
    shares = inside.reshape(grid[0], SAMPLES_PER_SIDE, grid[1], SAMPLES_PER_SIDE).mean(axis=(1, 3))
    return np.asarray(shares, dtype=np.float64)


def _inside_any(polygons: Sequence[Polygon], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside = np.zeros((len(y), len(x)), dtype=bool)
    for polygon in polygons:
        inside |= _inside(polygon, x, y)
    return inside


def _inside(polygon: Polygon, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The even-odd rule: a ray to the right crosses an odd number of sides. Bool (len(y), len(x))."""
    inside = np.zeros((len(y), len(x)), dtype=bool)
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        crossed = (y1 > y) != (y2 > y)
        crossing_x = x1 + (x2 - x1) * (y[crossed] - y1) / (y2 - y1) if crossed.any() else y[crossed]
        inside[crossed] ^= x < crossing_x[:, None]
    return inside


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", text) if word]


def _polygon(name: str, text: str) -> Polygon:
    try:
        numbers = [float(word) for word in _words(text)]
    except ValueError:
        numbers = []
    points = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    if len(numbers) % 2 or len(set(points)) < 3:
        raise ConfigError(f'{name} must be polygons "x1 y1 x2 y2 x3 y3 ...", at least three corners, got "{text}"')
    outside = [number for number in numbers if not 0 <= number <= 1]
    if outside:
        raise ConfigError(f"{name} must lie in 0..1 (share of the picture's width and height), got {outside[0]:g}")
    return points
