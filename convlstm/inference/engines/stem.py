"""What the encoder sees of a frame, as models/stem.py, but by OpenCV, frame by frame: on a CPU several times as fast.

Shapes: C features, H W pixels, both sides divided by `downsample`.
"""

from collections import deque
from itertools import product

import cv2
import numpy as np

from convlstm.config import Differences, ModelConfig
from convlstm.types import Float32Array, UInt8Array

CONTRAST_FLOOR = 0.05 * 255
NEIGHBOURHOOD = 16
LOCAL_FLOOR = 0.2
"""These three as in models/stem.py, the first for pixels from 0 to 255."""

Greys = tuple[Float32Array, ...]
"""(H, W) of each kind that differences are taken of; later frames need them again."""


class FrameStem:
    """Frames uint8 of `frame_size` to features float32 (C, H, W), times `amplify`; not for two threads at once."""

    def __init__(self, config: ModelConfig, frame_size: tuple[int, int], *, amplify: float = 1.0) -> None:
        size = (frame_size[0] // config.downsample, frame_size[1] // config.downsample)
        self._neighbourhood = NEIGHBOURHOOD // config.downsample
        self._differences: Differences | None = config.differences if config.stem == "motion" else None
        self._lags = config.lags
        self._amplify = amplify
        self._planes = [np.empty(size, dtype=np.uint8) for _ in range(3)]
        self._unshrunk = [np.empty(frame_size, dtype=np.uint8) for _ in range(3)] if config.downsample > 1 else []
        self._total, self._gain, self._offset = (np.empty(size, dtype=np.float32) for _ in range(3))
        num_blocks = (size[0] // self._neighbourhood, size[1] // self._neighbourhood)
        self._num_around = _sum_around(np.ones(num_blocks, np.float32))

    def __call__(self, frame: UInt8Array, earlier: deque[Greys], features: Float32Array) -> None:
        """Write the features of a frame, and append its greys to those of `earlier` frames, the latest last.

        Lags that reach too far end at the first of them, or at the frame itself.
        """
        self._split(frame)
        if self._differences is None:
            for plane, feature in zip(self._planes, features, strict=True):
                _scale(plane, self._amplify / 255, 0, feature)
            return
        for plane, feature in zip(self._planes, features, strict=False):
            mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(plane))
            gain = self._amplify / (deviation + CONTRAST_FLOOR)
            _scale(plane, gain, -mean * gain, feature)
        greys = self._greys(self._differences, features)
        others = [earlier[max(0, len(earlier) - lag)] if earlier else greys for lag in self._lags]
        for difference, (kind, other) in zip(features[3:], product(range(len(greys)), others), strict=True):
            cv2.subtract(greys[kind], other[kind], difference)
        earlier.append(greys)

    def _split(self, frame: UInt8Array) -> None:
        """Planes of what `clips.shrink_frame` gives: OpenCV shrinks planes in half the time of interleaved colours."""
        if not self._unshrunk:
            cv2.split(frame, self._planes)
            return
        cv2.split(frame, self._unshrunk)
        for unshrunk, plane in zip(self._unshrunk, self._planes, strict=True):
            cv2.resize(unshrunk, plane.shape[::-1], plane, interpolation=cv2.INTER_AREA)

    def _greys(self, differences: Differences, features: Float32Array) -> Greys:
        total = self._total
        cv2.add(features[0], features[1], total)
        cv2.add(total, features[2], total)
        greys = []
        if differences != "local":
            greys.append(total / np.float32(3))
        if differences != "frame":
            greys.append(self._take_out_local_light(total))
        return tuple(greys)

    def _take_out_local_light(self, total: Float32Array) -> Float32Array:
        """As in models/stem.py, from three times the amplified grey: only the floor knows of it."""
        height, width = total.shape
        rows = total.reshape(height // self._neighbourhood, self._neighbourhood, width)
        mean = self._mean_around(rows.sum(axis=1))
        square = self._mean_around(np.einsum("rnx,rnx->rx", rows, rows))
        deviation = np.sqrt(np.maximum(square - mean * mean, 0))
        scale = np.float32(self._amplify) / (deviation + np.float32(3 * LOCAL_FLOOR * self._amplify))
        for field, enlarged in ((scale, self._gain), (mean * scale, self._offset)):
            cv2.resize(field, (width, height), enlarged, interpolation=cv2.INTER_LINEAR)
        grey = cv2.multiply(total, self._gain)
        return np.asarray(cv2.subtract(grey, self._offset, grey), dtype=np.float32)

    def _mean_around(self, column_sums: Float32Array) -> Float32Array:
        """Sums of columns (H / 16, W) to means over blocks of 16 x 16 and the eight around them, (H / 16, W / 16)."""
        side = self._neighbourhood
        num_rows, width = column_sums.shape
        blocks = column_sums.reshape(num_rows, width // side, side).mean(axis=2) / side
        return np.asarray(_sum_around(blocks) / self._num_around, dtype=np.float32)


def _sum_around(blocks: Float32Array) -> Float32Array:
    """Each block and the up to eight around it."""
    summed = cv2.boxFilter(blocks, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(summed, dtype=np.float32)


def _scale(plane: UInt8Array, gain: float, offset: float, scaled: Float32Array) -> None:
    """In one pass; `cv2.multiply` and `cv2.add` take three times as long."""
    cv2.addWeighted(plane, gain, plane, 0, offset, scaled, cv2.CV_32F)
