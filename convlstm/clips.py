"""Frames to clips: resizing, window arithmetic, short sequences. Training and detection share this module.

frames   0 1 2 3 4 5 6 7 8 9 . . .        seq_length 10, stride 3
window 0 [-----------------]
window 1       [-----------------]
context of window 1 with lags (1, 3, 9): frames 0-2, and frame 0 again for what lies before the start
"""

from collections.abc import Sequence

import cv2
import numpy as np

from convlstm.errors import DataError
from convlstm.types import Float32Array, UInt8Array


def resize_frame(pixels: UInt8Array, size: tuple[int, int], downsample: int = 1) -> UInt8Array:
    """Stretch an RGB image (H, W, 3) to `size` = (height, width), by linear interpolation, and shrink it from there.

    No pass shrinks a side to less than its half, so that every pixel counts: nearly averages over areas, in a third to
    a sixth of the time that cv2.INTER_AREA takes.
    """
    height, width = pixels.shape[:2]
    doublings = 0
    while height > size[0] << (doublings + 1) or width > size[1] << (doublings + 1):
        doublings += 1
    for doubling in range(doublings, 0, -1):
        pixels = _stretch(pixels, (min(height, size[0] << doubling), min(width, size[1] << doubling)))
    return shrink_frame(_stretch(pixels, size), downsample)


def shrink_frame(pixels: UInt8Array, downsample: int) -> UInt8Array:
    """Means over `downsample` x `downsample` pixels, 1 or 2 each way, rounded half up; (H, W, 3)."""
    if downsample == 1:
        return pixels
    size = pixels.shape[1] // downsample, pixels.shape[0] // downsample
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _stretch(pixels: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    if pixels.shape[:2] == tuple(size):
        return pixels
    return np.asarray(cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def mask_share(mask: UInt8Array, grid: tuple[int, int]) -> Float32Array:
    """Share of non-zero pixels of a mask (H, W) in each cell of `grid` = (GH, GW); float32 in [0, 1]."""
    moving = (mask > 0).astype(np.float32)
    return np.asarray(cv2.resize(moving, (grid[1], grid[0]), interpolation=cv2.INTER_AREA), dtype=np.float32)


def window_starts(num_frames: int, seq_length: int, stride: int) -> range:
    """First frames of all whole windows in `num_frames` consecutive frames; empty where there are too few."""
    return range(0, max(0, num_frames - seq_length + 1), stride)


def count_windows(num_frames: int, seq_length: int, stride: int) -> int:
    """(num_frames - seq_length) // stride + 1, or 0 where there are too few frames."""
    return len(window_starts(num_frames, seq_length, stride))


def window_frames(start: int, seq_length: int, num_context: int, run: range) -> list[int]:
    """Frame indices of a window inside the gapless `run`, with `num_context` earlier ones in front.

    Where the run has no earlier frame its first one stands in, so that lags are clamped at the start of the run. Where
    the run ends inside the window (a short sequence padded on purpose) its last frame is repeated.
    """
    return [min(max(i, run.start), run.stop - 1) for i in range(start - num_context, start + seq_length)]


def consecutive_runs(indices: Sequence[int]) -> list[range]:
    """Gapless stretches of increasing frame indices: [0, 1, 2, 5, 6] gives ranges 0-2 and 5-6."""
    runs: list[range] = []
    for index in indices:
        if runs and index == runs[-1].stop:
            runs[-1] = range(runs[-1].start, index + 1)
        else:
            runs.append(range(index, index + 1))
    return runs


def too_short(name: str, longest_run: int, seq_length: int, *, remedies: str) -> DataError:
    """The error for a sequence that holds no whole window; one wording for training and detection."""
    return DataError(f"{name}: {longest_run} consecutive frames, but a window needs {seq_length}: {remedies}")
