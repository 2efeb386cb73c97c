"""A crop that follows a thing so that the thing stands still in it: what then moves is not the thing as a whole.

Shapes: H W pixels of the frame, S pixels of the crop's side.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.types import UInt8Array

Matrix = NDArray[np.float64]
"""An affine map (2, 3) of points x, y."""

MAX_ZOOM = 4.0
"""Small boxes are enlarged no further: a crop would show little but noise."""

_MAX_FEATURES = 120
_MIN_INLIERS = 8
_MIN_INLIER_SHARE = 0.3
_MAX_SCALE_STEP = 0.15
_MIN_OVERLAP = 0.5
_MARGIN = 0.05  # of the box's sides
_SMOOTHING = 2.0  # pixels of the frame: noise stays where it is while the thing moves, and is enlarged with it


class SteadyCrop:
    """A square crop around a box, which follows what is inside the box from frame to frame.

    Shift, rotation and scale between neighbouring frames are those that most corners in the box agree on (pyramidal
    Lucas-Kanade, RANSAC). Where too few agree, as on a flat or a boiling surface, the crop stays where it is. What lies
    around the box, and moves against it, is painted over evenly; then all is smoothed.
    """

    def __init__(self, box: NDArray[np.float64], side: int, context: float) -> None:
        """`box` x1 y1 x2 y2 in pixels of the frame; the crop is `side` pixels large, `context` times the box's side."""
        self.side = side
        self.context = context
        self.to_crop = _centred_on(box, side, context)
        self._previous: UInt8Array | None = None
        self._anchor: UInt8Array | None = None
        self._inside = self._area(box)
        self._surroundings: NDArray[np.uint8] | None = None
        self._centre = _centre(box)

    def cut(self, pixels: UInt8Array, box: NDArray[np.float64] | None) -> UInt8Array:
        """The crop (S, S, 3) of the next frame (H, W, 3); `box`, where it was found, helps if steps are large."""
        if self._previous is not None:
            guesses = [self.to_crop]
            if box is not None:
                step = _centre(box) - self._centre
                if np.abs(self.to_crop[:, :2] @ step).max() > 1:
                    guesses.append(_moved(self.to_crop, step))
            self.to_crop = self._follow(pixels, guesses)
        if box is not None:
            self._centre = _centre(box)
        crop = self._anchored(pixels)
        self._previous = _grey(crop)
        if self._surroundings is None:
            self._surroundings = crop[self._inside].mean(axis=(0, 1)).astype(np.uint8)
        shown = np.empty_like(crop)
        shown[:] = self._surroundings
        shown[self._inside] = crop[self._inside]
        return np.asarray(cv2.GaussianBlur(shown, (0, 0), _SMOOTHING * _scale_of(self.to_crop)), dtype=np.uint8)

    def box_in_crop(self, box: NDArray[np.float64]) -> tuple[float, float, float, float]:
        """A box of the frame as it lies in the crop, normalised to the crop and cut to it."""
        corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]])
        inside = (corners @ self.to_crop[:, :2].T + self.to_crop[:, 2]) / self.side
        low, high = np.clip(inside.min(axis=0), 0, 1), np.clip(inside.max(axis=0), 0, 1)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def has_lost(self, box: NDArray[np.float64]) -> bool:
        """Whether so little of `box` is left in the crop, or it became so small there, that a new one is needed."""
        fresh = _centred_on(box, self.side, self.context)
        scale = _scale_of(self.to_crop) / _scale_of(fresh)
        offset = np.abs(self.to_crop[:, :2] @ _centre(box) + self.to_crop[:, 2] - self.side / 2).max() / self.side
        return bool(not _MIN_OVERLAP <= scale <= 1 / _MIN_OVERLAP or offset > (1 - _MIN_OVERLAP) / 2)

    def _follow(self, pixels: UInt8Array, guesses: list[Matrix]) -> Matrix:
        """The map, near the best of the guesses, under which the frame looks most like the crop before."""
        assert self._previous is not None
        greys = [_grey(self._warp(pixels, guess)) for guess in guesses]
        costs = [float(np.mean(np.square(self._middle(grey) - self._middle(self._previous)))) for grey in greys]
        best = int(np.argmin(costs))
        step = self._step(self._previous, greys[best])
        return guesses[best] if step is None else _compose(step, guesses[best])

    def _anchored(self, pixels: UInt8Array) -> UInt8Array:
        """The crop, laid onto an earlier one: steps from frame to frame add up their errors."""
        crop = self._warp(pixels, self.to_crop)
        step = self._step(self._anchor, _grey(crop)) if self._anchor is not None else None
        if step is None:
            self._anchor = _grey(crop)
            return crop
        self.to_crop = _compose(step, self.to_crop)
        return self._warp(pixels, self.to_crop)

    def _step(self, before: UInt8Array, grey: UInt8Array) -> Matrix | None:
        """The map (2, 3) of points of the new crop to an earlier one; None where too few corners agree on any."""
        mask = np.zeros_like(before)
        mask[self._inside] = 255
        corners = cv2.goodFeaturesToTrack(before, _MAX_FEATURES, 0.01, 4, mask=mask)
        if corners is None or len(corners) < _MIN_INLIERS:
            return None
        found, status, _ = cv2.calcOpticalFlowPyrLK(before, grey, corners, corners.copy(), winSize=(15, 15))
        good = status.ravel() == 1
        if int(good.sum()) < _MIN_INLIERS:
            return None
        step, inliers = cv2.estimateAffinePartial2D(
            found[good], corners[good], method=cv2.RANSAC, ransacReprojThreshold=1.0
        )
        if step is None or int(inliers.sum()) < max(_MIN_INLIERS, _MIN_INLIER_SHARE * len(corners)):
            return None
        return np.asarray(step, dtype=np.float64) if abs(_scale_of(step) - 1) <= _MAX_SCALE_STEP else None

    def _area(self, box: NDArray[np.float64]) -> tuple[slice, slice]:
        """Rows and columns of the crop that a box and a little around it take."""
        margin = _MARGIN * np.tile(box[2:] - box[:2], 2) * (-1, -1, 1, 1)
        x1, y1, x2, y2 = (round(self.side * share) for share in self.box_in_crop(box + margin))
        return slice(y1, max(y2, y1 + 1)), slice(x1, max(x2, x1 + 1))

    def _middle(self, grey: UInt8Array) -> NDArray[np.float32]:
        return grey[self._inside].astype(np.float32)

    def _warp(self, pixels: UInt8Array, to_crop: Matrix) -> UInt8Array:
        scale = _scale_of(to_crop)
        if scale < 0.5:  # averaged first: a warp alone would pick pixels and flicker
            shrink = max(scale, 1 / 16)
            size = max(1, round(pixels.shape[1] * shrink)), max(1, round(pixels.shape[0] * shrink))
            factors = np.array([size[0] / pixels.shape[1], size[1] / pixels.shape[0]])
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
            to_crop = np.column_stack([to_crop[:, :2] / factors, to_crop[:, 2]])
        warped = cv2.warpAffine(
            pixels, to_crop, (self.side, self.side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(warped, dtype=np.uint8)


def _grey(pixels: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _centre(box: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((box[:2] + box[2:]) / 2)


def _centred_on(box: NDArray[np.float64], side: int, context: float) -> Matrix:
    longest = max(float((box[2:] - box[:2]).max()), 1.0)
    scale = min(side / (context * longest), MAX_ZOOM)
    centre = _centre(box)
    return np.array([[scale, 0, side / 2 - scale * centre[0]], [0, scale, side / 2 - scale * centre[1]]])


def _scale_of(matrix: Matrix) -> float:
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _moved(to_crop: Matrix, step: NDArray[np.float64]) -> Matrix:
    """The map for a thing that made `step` pixels in the frame."""
    return np.column_stack([to_crop[:, :2], to_crop[:, 2] - to_crop[:, :2] @ step])


def _compose(second: Matrix, first: Matrix) -> Matrix:
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])
