"""Stretches of real recordings by a fixed camera as scenes, with masks of what moves in them.

The masks are found, not known. What differs clearly from the frames before and from those after moves; what does not
differ at all from any of them stands still; between the two nobody knows, and training ignores it.

Shapes: N frames, H W pixels.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.clips import resize_frame
from convlstm.errors import DataError
from convlstm.sources.video import VIDEO_SUFFIXES, VideoSource
from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.textures import Size

STILL, UNKNOWN, MOVING = 0, 1, 2
"""Values of labels."""

_UNKNOWN_STEP = 8
UNKNOWN_SHARE = 1 / _UNKNOWN_STEP**2
"""Share of pixels set in masks where nobody knows: over 0, but below the 2 % that make a cell dynamic."""

_LAGS = (2, 4, 8)
_SURE = 7.0  # times the noise
_LEAST_SURE = 9.0  # grey levels
_MOST_NOISE = 3.0  # grey levels; more, after the blur, is motion everywhere
_POSSIBLE = 0.45  # of what is sure
_FADES = 3.0  # grey levels by which most of a picture changes where one fades, or dissolves into another
_OFF_PACE = 0.15  # of the way from the one to the other
_MARGIN_PIXELS = 21  # around what moves nobody knows
_DETECTION_SIZE = (640, 640)  # at least that, as for detection, is what scenes are cut out of


@dataclass(frozen=True, repr=False)
class Recording:
    """`frames` float32 RGB (N, H, W, 3) in [0, 1]; `labels` uint8 (N, H, W): STILL, UNKNOWN or MOVING; `name`."""

    frames: Float32Array
    labels: UInt8Array
    name: str


@lru_cache(maxsize=1)
def find_recordings(folder: Path) -> tuple[Path, ...]:
    """Video files under `folder`, in the order of their paths. Raises DataError where there is none."""
    paths = tuple(sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES))
    if not paths:
        raise DataError(f"{folder}: no videos: name a folder that holds some, or leave --recordings out")
    return paths


def cut_recording(rng: np.random.Generator, paths: tuple[Path, ...], num_frames: int, size: Size) -> Recording:
    """A stretch of a random recording, a random part of its picture, mirrored or not.

    Longer recordings come up more often. Every second or third frame may be taken, to vary the speed. Where the
    recording is too short, frames go there and back.
    """
    lengths = np.array([_num_frames(path) for path in paths], dtype=np.float64)
    path = paths[rng.choice(len(paths), p=np.sqrt(lengths) / np.sqrt(lengths).sum())]
    source = VideoSource(path)
    total, step = len(source.runs[0]), int(rng.choice([1, 1, 1, 2]))
    around = max(_LAGS)  # frames at both ends that only serve to find what moves
    span = (num_frames + 2 * around - 1) * step + 1
    start = int(rng.integers(0, max(1, total - span + 1)))
    places = _there_and_back(start + step * np.arange(num_frames + 2 * around), total)
    pixels = dict(zip(sorted(set(places)), source.read(sorted(set(places))), strict=True))
    whole = max(_DETECTION_SIZE[0], size[0]), max(_DETECTION_SIZE[1], size[1])
    crop = _crop(rng, whole, size)
    frames = np.stack([np.ascontiguousarray(resize_frame(pixels[place], whole)[crop]) for place in places])
    labels = motion_labels(frames)[around:-around]
    frames = frames[around:-around]
    if rng.random() < 0.5:
        frames, labels = frames[:, :, ::-1], labels[:, :, ::-1]
    return Recording((frames / np.float32(255)).astype(np.float32), np.ascontiguousarray(labels), path.stem)


def motion_labels(frames: UInt8Array) -> UInt8Array:
    """Labels uint8 (N, H, W) of frames uint8 (N, H, W, 3); the first and last eight know less than the others."""
    greys = np.stack([cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (0, 0), 1.5) for f in frames])
    greys = greys.astype(np.float32)
    labels = np.zeros(greys.shape, dtype=np.uint8)
    for index, grey in enumerate(greys):
        moves, may_move = np.zeros(grey.shape, np.bool_), np.zeros(grey.shape, np.bool_)
        for lag in _LAGS:
            earlier, later = greys[max(0, index - lag)], greys[min(len(greys) - 1, index + lag)]
            before, after = _change(grey, earlier), _change(grey, later)
            moves |= (np.minimum(before, after) > 1) & ~_fades(grey, earlier, later)
            may_move |= np.maximum(before, after) > _POSSIBLE
        labels[index] = _grown(moves, may_move)
    return labels


def _change(grey: Float32Array, other: Float32Array) -> Float32Array:
    """How far two greys differ beyond exposure and noise, in units of what is sure to be motion.

    Exposure is a gain and an offset that most of the picture shares; noise is what is left in the quieter half of it.
    """
    gain, offset = _exposure(grey[::4, ::4].ravel(), other[::4, ::4].ravel())
    difference = np.abs(grey - gain * other - offset)
    noise = min(_MOST_NOISE, 1.4826 * float(np.median(difference[::4, ::4])))
    return np.asarray(difference / max(_LEAST_SURE, _SURE * noise), dtype=np.float32)


def _fades(grey: Float32Array, earlier: Float32Array, later: Float32Array) -> NDArray[np.bool_]:
    """Where a grey is on its way from an earlier one to a later one, at the pace of most of a picture that fades.

    So do pictures that dissolve, and captions over one that fades, which stay as they are.
    """
    span, way = earlier - later, grey - later
    spans, ways = span[::4, ::4].ravel(), way[::4, ::4].ravel()
    if float(np.median(np.abs(spans))) <= _FADES:
        return np.zeros(grey.shape, np.bool_)
    pace = float((ways * spans).sum() / (spans * spans).sum())
    return np.asarray(np.abs(way - pace * span) < np.maximum(_LEAST_SURE, _OFF_PACE * np.abs(span)))


def _exposure(values: Float32Array, others: Float32Array) -> tuple[np.float32, np.float32]:
    """Gain and offset with which `others` come closest to most of `values`: least squares without outliers."""
    kept = np.ones(values.shape, np.bool_)
    gain, offset = 1.0, 0.0
    for _ in range(4):
        x, y = others[kept].astype(np.float64), values[kept].astype(np.float64)
        spread = float(x.var())
        gain = float(np.clip(((x - x.mean()) * (y - y.mean())).mean() / spread, 0.3, 3.0)) if spread > 1 else 1.0
        offset = float(np.median(y - gain * x))
        residuals = np.abs(values - gain * others - offset)
        kept = residuals <= max(2.0, 3.0 * float(np.median(residuals)))
    return np.float32(gain), np.float32(offset)


def _grown(moves: np.ndarray, may_move: np.ndarray) -> UInt8Array:
    """Clean both of single pixels, and leave a margin around what may move."""
    opened = cv2.morphologyEx(moves.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    doubtful = cv2.morphologyEx(may_move.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    kernel = np.ones((_MARGIN_PIXELS, _MARGIN_PIXELS), np.uint8)
    labels = cv2.morphologyEx(np.maximum(doubtful, opened), cv2.MORPH_CLOSE, np.ones((61, 61), np.uint8))
    labels = cv2.dilate(labels, kernel) * UNKNOWN
    return np.where(opened > 0, MOVING, labels).astype(np.uint8)


def training_mask(labels: UInt8Array) -> UInt8Array:
    """Labels (H, W) as a mask of a data set, 0 or 255: a grid of single pixels makes a cell unknown.

    A cell counts as static where no pixel of it is set, as dynamic over 2 % of them, and is ignored between.
    """
    mask = np.where(labels == MOVING, 255, 0).astype(np.uint8)
    sparse = np.zeros_like(mask)
    sparse[_UNKNOWN_STEP // 2 :: _UNKNOWN_STEP, _UNKNOWN_STEP // 2 :: _UNKNOWN_STEP] = 255
    return np.where(labels == UNKNOWN, sparse, mask)


def _num_frames(path: Path) -> int:
    return VideoSource(path).num_frames or 100


def _there_and_back(places: np.ndarray, total: int) -> list[int]:
    turned = places % max(1, 2 * total - 2)
    return [int(p) for p in np.minimum(turned, 2 * total - 2 - turned).clip(0, total - 1)]


def _crop(rng: np.random.Generator, whole: Size, size: Size) -> tuple[slice, slice]:
    top, left = (int(rng.integers(0, room - side + 1)) for room, side in zip(whole, size, strict=True))
    return slice(top, top + size[0]), slice(left, left + size[1])
