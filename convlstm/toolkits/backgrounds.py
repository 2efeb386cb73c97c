"""What is shown around the things that are kept."""

import cv2
import numpy as np

from convlstm.config.yolo_tools import Background
from convlstm.types import UInt8Array

_BLUR_SHARE = 1 / 16  # of the frame's longer side: no shape is left


def replace_background(pixels: UInt8Array, mask: UInt8Array, background: Background) -> UInt8Array:
    """The frame (H, W, 3) as it is where `mask` (H, W) is not 0, elsewhere black, blurred or kept.

    The blur mixes background with background only: of what is kept, nothing glows into it.
    """
    if background == "keep":
        return pixels
    outside = mask == 0
    shown = pixels.copy()
    shown[outside] = 0 if background == "black" else _blurred(pixels, outside)[outside]
    return shown


def _blurred(pixels: UInt8Array, outside: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> UInt8Array:
    side = int(max(pixels.shape) * _BLUR_SHARE) | 1
    weights = outside.astype(np.float32)
    total = cv2.stackBlur(pixels * weights[..., None], (side, side))
    share = np.maximum(cv2.stackBlur(weights, (side, side)), 1e-6)
    return np.asarray(np.clip(np.rint(total / share[..., None]), 0, 255), dtype=np.uint8)
