"""How far the heatmaps of an engine lie from those of torch in float32.

Shapes: N frames, W windows, H W pixels, GH GW cells.
"""

from collections.abc import Iterable, Iterator
from itertools import tee

import numpy as np

from convlstm.errors import DataError
from convlstm.evaluation.metrics import BinaryScores
from convlstm.inference.engines.base import Engine
from convlstm.inference.stream import FRAMES_PER_CALL, HeatmapStream
from convlstm.types import Frame, Heatmap, UInt8Array

STRIDE = 3
EXTRA_FRAMES = 15
"""Frames of the synthetic clip beyond a window: six windows, the last with all lags inside the clip."""


def synthetic_clip(num_frames: int, size: tuple[int, int]) -> UInt8Array:
    """Frames (N, H, W, 3), always the same: noise, light that swells, and two squares that move."""
    height, width = size
    random = np.random.RandomState(0)
    pattern = np.kron(random.randint(40, 200, (height // 16, width // 16, 3)), np.ones((16, 16, 1), dtype=np.int64))
    frames = np.empty((num_frames, height, width, 3), dtype=np.uint8)
    side = min(height, width) // 5
    for index in range(num_frames):
        light = 1 + 0.2 * np.sin(index / 3)
        frame = pattern * light + random.randint(-6, 7, pattern.shape)
        for place, colour in ((index * side // 4, (255, 120, 20)), (width - index * side // 5, (20, 20, 20))):
            left = place % (width - side)
            top = (height - side) // (2 if colour[0] == 255 else 4)
            frame[top : top + side, left : left + side] = colour
        frames[index] = frame.clip(0, 255)
    return frames


def heatmaps_of(engine: Engine, frames: Iterable[Frame], stride: int = STRIDE) -> Iterator[Heatmap]:
    """Windows of frames, which may be many."""
    stream = HeatmapStream(engine, stride=stride)
    chunk: list[Frame] = []
    for frame in frames:
        chunk.append(frame)
        if len(chunk) == FRAMES_PER_CALL:
            yield from stream.process(chunk)
            chunk = []
    yield from stream.process(chunk)


def measure_parity(reference: Engine, engine: Engine) -> float:
    """The largest difference between two engines' heatmaps of the synthetic clip, in probability."""
    weights = reference.weights
    clip = synthetic_clip(weights.seq_length + EXTRA_FRAMES, weights.target_size)
    frames = [Frame(pixels, index, index / weights.fps) for index, pixels in enumerate(clip)]
    pairs = zip(heatmaps_of(reference, frames), heatmaps_of(engine, frames), strict=True)
    return max(float(np.abs(a.probabilities - b.probabilities).max()) for a, b in pairs)


def measure_ap_loss(reference: Engine, engine: Engine, frames: Iterable[Frame], name: str) -> float:
    """What an engine's average precision falls short of 1, where cells that are hot in the reference are the truth.

    Raises DataError where no cell is hot, or all are: then nothing can be told.
    """
    scores = BinaryScores()
    for wanted, got in zip(*map(heatmaps_of, (reference, engine), tee(frames)), strict=True):
        scores += BinaryScores.of(got.probabilities, wanted.probabilities >= reference.weights.threshold)
    if not scores.is_defined:
        raise DataError(
            f"{name}: {'all' if scores.num_positives else 'no'} cells of it are dynamic to these weights, which cannot "
            "tell the loss of int8: give footage in which something moves, and something does not"
        )
    return 1 - scores.average_precision()
