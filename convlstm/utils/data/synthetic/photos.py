"""Photographs for scenes: images of a folder, and frames taken out of its videos."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from convlstm.errors import DataError
from convlstm.sources.images import IMAGE_SUFFIXES, read_image
from convlstm.sources.video import VIDEO_SUFFIXES, VideoSource
from convlstm.types import UInt8Array

FRAMES_PER_VIDEO = 12
"""Frames that are taken out of each video, evenly spread."""

LONGEST_SIDE = 1280
"""Pixels: larger photographs are made smaller, to keep memory small."""


@lru_cache(maxsize=1)
def load_photos(folder: Path) -> tuple[UInt8Array, ...]:
    """All photographs under `folder`, in the order of their paths; uint8 RGB (h, w, 3).

    Raises DataError where there is none.
    """
    photos: list[UInt8Array] = []
    for path in sorted(Path(folder).rglob("*")):
        suffix = path.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            photos.append(_limited(read_image(path)))
        elif suffix in VIDEO_SUFFIXES:
            source = VideoSource(path)
            step = max(1, len(source.runs[0]) // FRAMES_PER_VIDEO)
            photos += [_limited(frame.pixels) for frame in source if frame.index % step == 0]
    if not photos:
        raise DataError(f"{folder}: no images or videos: name a folder that holds some, or leave --backgrounds out")
    return tuple(photos)


def _limited(photo: UInt8Array) -> UInt8Array:
    scale = LONGEST_SIDE / max(photo.shape[:2])
    if scale >= 1:
        return photo
    size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
