"""Pure functions on heatmaps: pooling to one score, cells to pixels, hot cells, regions."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.types import Float32Array, UInt8Array

Box = tuple[float, float, float, float]


def window_score(heatmap: Float32Array) -> float:
    """The probability that anything in the window is dynamic: the highest cell, as in the training loss."""
    return float(heatmap.max())


def hot_cells(heatmap: Float32Array, threshold: float) -> NDArray[np.bool_]:
    """Cells (GH, GW) at or over the threshold."""
    return heatmap >= np.float32(threshold)


def cells_to_pixels(heatmap: Float32Array, size: tuple[int, int], *, smooth: bool = False) -> Float32Array:
    """A heatmap (GH, GW) enlarged to `size` = (height, width) of the frame it belongs to, aligned cell by cell."""
    method = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST_EXACT
    enlarged = cv2.resize(heatmap, (size[1], size[0]), interpolation=method)
    return np.asarray(enlarged, dtype=np.float32)


def cell_box(rows: tuple[int, int], columns: tuple[int, int], grid: tuple[int, int]) -> Box:
    """The normalised box (x1, y1, x2, y2) around cells rows[0]..rows[1], columns[0]..columns[1], all inclusive."""
    grid_height, grid_width = grid
    return (
        columns[0] / grid_width,
        rows[0] / grid_height,
        (columns[1] + 1) / grid_width,
        (rows[1] + 1) / grid_height,
    )


def hot_regions(heatmap: Float32Array, threshold: float) -> list[tuple[Box, float]]:
    """Regions of touching hot cells (corners count): normalised box and highest probability of each."""
    hot = hot_cells(heatmap, threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    regions = []
    for label in range(1, count):  # label 0 is what is not hot
        left, top, width, height = (int(value) for value in stats[label][:4])
        box = cell_box((top, top + height - 1), (left, left + width - 1), (heatmap.shape[0], heatmap.shape[1]))
        regions.append((box, float(heatmap[labels == label].max())))
    return regions


def box_score(heatmap: Float32Array, box: Box, top_share: float = 0.25) -> float:
    """The probability (0 to 1) that what lies in a normalised box is dynamic: the mean of the highest cells under it.

    `top_share` of the cells count, at least one, so that neither one stray cell nor the still corners of a box decide.
    A cell is under the box where the two share a quarter of the smaller one's area; where none is, the cell that
    shares most.
    """
    rows, columns = heatmap.shape
    across = _overlap(box[0] * columns, box[2] * columns, columns)
    down = _overlap(box[1] * rows, box[3] * rows, rows)
    shared = np.outer(down, across)  # in cells
    area = (box[2] - box[0]) * columns * (box[3] - box[1]) * rows
    under = shared >= 0.25 * min(1.0, area) - 1e-9
    if area <= 0 or not under.any():
        return float(heatmap.flat[int(shared.argmax())]) if shared.any() else 0.0
    highest = np.sort(heatmap[under])[::-1]
    return float(highest[: max(1, math.ceil(top_share * len(highest) - 1e-9))].mean())


def _overlap(start: float, end: float, count: int) -> NDArray[np.float64]:
    """Length that start..end shares with each of `count` cells, in cells."""
    places = np.arange(count)
    shared = np.clip(np.minimum(end, places + 1) - np.maximum(start, places), 0, None)
    return np.asarray(shared, dtype=np.float64)


def to_uint8(heatmap: Float32Array) -> UInt8Array:
    """Probabilities to 0-255, on the fixed scale [0, 1], never rescaled to the heatmap's own range."""
    return np.asarray(np.rint(np.clip(heatmap, 0.0, 1.0) * 255), dtype=np.uint8)
