"""An image in a frame of another shape: with bars, cut to it, or stretched."""

import numpy as np

from convlstm.clips import resize_frame
from convlstm.config.toolkits import Fit
from convlstm.types import UInt8Array


def fit_frame(pixels: UInt8Array, size: tuple[int, int], fit: Fit) -> UInt8Array:
    """An RGB image (H, W, 3) as one of `size` = (height, width).

    letterbox: whole, centred, with black bars; crop: the largest part of that shape, from the middle; stretch.
    """
    if fit == "stretch" or pixels.shape[:2] == tuple(size):
        return resize_frame(pixels, size)
    return _letterbox(pixels, size) if fit == "letterbox" else resize_frame(_middle(pixels, size), size)


def _letterbox(pixels: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    scale = min(size[0] / pixels.shape[0], size[1] / pixels.shape[1])
    height, width = (min(full, max(1, round(side * scale))) for full, side in zip(size, pixels.shape[:2], strict=True))
    framed = np.zeros((*size, 3), dtype=np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    framed[top : top + height, left : left + width] = resize_frame(pixels, (height, width))
    return framed


def _middle(pixels: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """The largest part with the shape of `size`, from the middle, as a view."""
    height, width = pixels.shape[:2]
    scale = min(height / size[0], width / size[1])
    part = min(height, max(1, round(size[0] * scale))), min(width, max(1, round(size[1] * scale)))
    top, left = (height - part[0]) // 2, (width - part[1]) // 2
    return pixels[top : top + part[0], left : left + part[1]]
