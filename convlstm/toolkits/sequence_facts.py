"""What the manifest and its warnings need to know of a sequence: a few frames are decoded, never all of them."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource
from convlstm.sources.folder import FolderSource
from convlstm.sources.video import VideoSource
from convlstm.toolkits.near_copies import SmallArray, sample_places, thumbnail
from convlstm.toolkits.origin import read_origin
from convlstm.types import UInt8Array


@dataclass(frozen=True)
class SequenceFacts:
    """Of one sequence; `group` and `fps` are None where it does not tell, `thumbnails` (n, 1024) of sampled frames."""

    num_frames: int
    height: int
    width: int
    format: str
    bytes_per_pixel: float
    fps: float | None
    group: str | None
    thumbnails: SmallArray


def look_at(path: Path, *, compare: bool) -> SequenceFacts:
    """Facts of a folder of frames or a video; without `compare`, of the first frame alone.

    Raises DataError where it cannot be opened, its frames have no order, or none of those looked at decodes.
    """
    source, files = _open(path)
    origin = read_origin(path) if path.is_dir() else None
    indices = [index for run in source.runs for index in run]
    places = sample_places(len(indices))
    frames = _decoded(source, [indices[place] for place in (places if compare else places[:1])])
    height, width = frames[0].shape[:2]
    num_bytes = sum(file.stat().st_size for file in files)
    fps = origin.fps if origin is not None and origin.fps else source.fps
    return SequenceFacts(
        num_frames=len(indices),
        height=height,
        width=width,
        format=_format(files),
        bytes_per_pixel=num_bytes / (len(indices) * height * width),
        fps=fps if 0 < fps < math.inf else None,
        group=origin.group if origin is not None else None,
        thumbnails=np.stack([thumbnail(pixels) for pixels in frames]),
    )


def _open(path: Path) -> tuple[SeekableSource, list[Path]]:
    """A sequence, and the files it consists of; a frame rate that nobody tells is not a number."""
    if not path.is_dir():
        return VideoSource(path), [path]
    folder = FolderSource(path, fps=math.nan)
    return folder, [path / name for name in folder.files.values()]


def _decoded(source: SeekableSource, indices: list[int]) -> list[UInt8Array]:
    """The frames that decode, one by one: a video is read from the key frame before each, not from its start."""
    frames, problem = [], DataError(f"{source.name}: no frames")
    for index in indices:
        try:
            frames += source.read([index])
        except DataError as error:
            problem = error
    if not frames:
        raise problem
    return frames


def _format(files: list[Path]) -> str:
    """Suffixes without dot, as "jpg" or, of a mixture, "jpg+png"."""
    suffixes = {file.suffix.lower().removeprefix(".").replace("jpeg", "jpg") for file in files}
    return "+".join(sorted(suffixes))
