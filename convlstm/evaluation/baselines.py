"""What comes without training: frame difference, MOG2, KNN and dense optical flow, scored per cell.

A cell's score in a frame is the share of its pixels that the method calls foreground; in a window it is the highest of
the frames'. Foreground is: for `frame_difference`, a grey level that differs by more than DIFFERENCE_LEVELS from the
frame before; for `mog2` (Zivkovic 2004) and `knn` (Zivkovic and van der Heijden 2006), what OpenCV's subtractors with
their own defaults say, shadows not counted. `optical_flow` (Farneback 2003) is computed at a quarter of the size; its
score is the mean speed m of the cell, in pixels a frame of that small picture, as m / (1 + m).

Shapes: H W pixels of the resized frame, GH GW cells.
"""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.config import BaselineName
from convlstm.types import CELL_SIZE, Float32Array, UInt8Array

DIFFERENCE_LEVELS = 25
"""Grey levels of 255 over which a pixel counts as changed."""

HOT_SHARE = 0.02
"""From this share of foreground on a cell is hot."""

FLOW_SHRINK = 4
HOT_SPEED = 0.5
"""Pixels a frame, in the small picture, from which on a cell is hot."""

WARM_UP_FRAMES = 5
"""KNN calls everything foreground until it has seen so many frames: a background model says nothing before."""

THRESHOLDS: dict[str, float] = {
    "frame_difference": HOT_SHARE,
    "mog2": HOT_SHARE,
    "knn": HOT_SHARE,
    "optical_flow": HOT_SPEED / (1 + HOT_SPEED),
}
"""The score from which on a cell is hot."""

_FOREGROUND = 255  # shadows are 127


class Baseline(Protocol):
    """One method on one sequence."""

    def process(self, pixels: UInt8Array, *, follows: bool) -> Float32Array:
        """The next resized frame, uint8 RGB (H, W, 3), to scores of its cells, float32 (GH, GW) in [0, 1].

        `follows` says that the frame directly before was given, too; 0 everywhere where a method needs that.
        """


class FrameDifference:
    """Greys against those of the frame before."""

    def __init__(self) -> None:
        self._before: UInt8Array | None = None

    def process(self, pixels: UInt8Array, *, follows: bool) -> Float32Array:
        """As `Baseline.process`."""
        grey, before = _grey(pixels), self._before
        self._before = grey
        if before is None or not follows:
            return _zeros(pixels)
        return _cell_means(cv2.absdiff(grey, before) > DIFFERENCE_LEVELS, CELL_SIZE)


class BackgroundModel:
    """One of OpenCV's background subtractors, which learns from every frame of the sequence."""

    def __init__(self, subtractor: cv2.BackgroundSubtractor) -> None:
        self._subtractor = subtractor
        self._num_frames = 0

    def process(self, pixels: UInt8Array, *, follows: bool) -> Float32Array:
        """As `Baseline.process`."""
        foreground = self._subtractor.apply(pixels)
        self._num_frames += 1
        if self._num_frames <= WARM_UP_FRAMES:
            return _zeros(pixels)
        return _cell_means(foreground == _FOREGROUND, CELL_SIZE)


class OpticalFlow:
    """Farneback's dense flow from the frame before."""

    def __init__(self) -> None:
        self._before: UInt8Array | None = None

    def process(self, pixels: UInt8Array, *, follows: bool) -> Float32Array:
        """As `Baseline.process`."""
        small = (pixels.shape[1] // FLOW_SHRINK, pixels.shape[0] // FLOW_SHRINK)
        grey: UInt8Array = np.asarray(cv2.resize(_grey(pixels), small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        before, self._before = self._before, grey
        if before is None or not follows:
            return _zeros(pixels)
        # The values of OpenCV's documentation: pyramid scale, levels, window, iterations, neighbourhood and its sigma.
        flow = cv2.calcOpticalFlowFarneback(
            before, grey, np.zeros((*grey.shape, 2), np.float32), 0.5, 3, 15, 3, 5, 1.2, 0
        )
        speed = _cell_means(np.hypot(flow[..., 0], flow[..., 1]), CELL_SIZE // FLOW_SHRINK)
        return speed / (1 + speed)


def start_baseline(name: BaselineName) -> Baseline:
    """A method by its name, for a new sequence."""
    if name == "frame_difference":
        return FrameDifference()
    if name == "optical_flow":
        return OpticalFlow()
    if name == "mog2":
        return BackgroundModel(cv2.createBackgroundSubtractorMOG2())
    cv2.setRNGSeed(0)  # KNN draws which samples it forgets: the same figures again need the same draws
    return BackgroundModel(cv2.createBackgroundSubtractorKNN())


def _grey(pixels: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _zeros(pixels: UInt8Array) -> Float32Array:
    return np.zeros((pixels.shape[0] // CELL_SIZE, pixels.shape[1] // CELL_SIZE), dtype=np.float32)


def _cell_means(values: NDArray[np.bool_] | Float32Array, side: int) -> Float32Array:
    """Means over squares of `side` pixels: (H, W) to (H / side, W / side)."""
    height, width = values.shape
    squares = values.reshape(height // side, side, width // side, side)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float32), dtype=np.float32)
