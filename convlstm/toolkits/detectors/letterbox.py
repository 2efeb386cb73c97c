"""A frame scaled into the network's input and centred on grey, as YOLO models are trained on; and the way back.

frame 1280x720          input 640x640
+------------+          ..............  grey, 140 rows
|            |   --->   [            ]  360 rows
+------------+          ..............
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.types import Float32Array, UInt8Array

GREY = 114
"""Value of all channels around the frame, as in training."""


@dataclass(frozen=True)
class Letterbox:
    """Where a frame of `frame_size` lies in an input of `input_size`; sizes are (height, width)."""

    frame_size: tuple[int, int]
    input_size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Pixels of the input for each pixel of the frame."""
        return min(full / side for full, side in zip(self.input_size, self.frame_size, strict=True))

    @property
    def scaled(self) -> tuple[int, int]:
        """Height and width of the frame in the input."""
        height, width = (max(1, round(side * self.scale)) for side in self.frame_size)
        return height, width

    @property
    def offset(self) -> tuple[int, int]:
        """Rows above and columns left of the frame in the input."""
        # -0.1: a single odd row goes below, as in training
        top, left = (round((full - side) / 2 - 0.1) for full, side in zip(self.input_size, self.scaled, strict=True))
        return top, left

    def apply(self, pixels: UInt8Array) -> UInt8Array:
        """The input, uint8 (H, W, 3), of a frame."""
        height, width = self.scaled
        top, left = self.offset
        framed = np.full((*self.input_size, 3), GREY, dtype=np.uint8)
        resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
        framed[top : top + height, left : left + width] = resized
        return framed

    def boxes_to_frame(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes x1 y1 x2 y2 (N, 4) of the input as those of the frame, cut to it."""
        height, width = self.frame_size
        top, left = self.offset
        moved = (boxes.astype(np.float64) - (left, top, left, top)) / self.scale
        return np.clip(moved, 0, (width, height, width, height))

    def map_to_frame(self, values: Float32Array) -> Float32Array:
        """A map (MH, MW) over the whole input, of whatever resolution, as one (H, W) over the frame."""
        rows, columns = values.shape[0] / self.input_size[0], values.shape[1] / self.input_size[1]
        (top, left), (height, width) = self.offset, self.scaled
        first_row, first_column = round(top * rows), round(left * columns)
        last_row = max(round((top + height) * rows), first_row + 1)
        last_column = max(round((left + width) * columns), first_column + 1)
        inner = values[first_row:last_row, first_column:last_column]
        size = self.frame_size[1], self.frame_size[0]
        return np.asarray(cv2.resize(inner, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
