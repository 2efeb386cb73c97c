"""The footage that everything is measured on: the first frames of a video, or a synthetic clip."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np

from convlstm.clips import resize_frame
from convlstm.errors import ConfigError, DataError
from convlstm.export.parity import synthetic_clip
from convlstm.report.video_file import OutputBudget, VideoFile
from convlstm.sources.open import find_sources
from convlstm.sources.video import VideoSource
from convlstm.types import Frame, UInt8Array

SYNTHETIC_SIZE = (720, 1280)
SYNTHETIC_FRAMES = 24
"""Different frames of the synthetic clip, which goes through them forth and back."""


def cut_video(source: str, num_frames: int, folder: Path) -> Path:
    """Copy the first frames of a video file, as they are encoded, to a file of the same format.

    Raises ConfigError for what is no video file, DataError for one that cannot be read.
    """
    [found, *others] = find_sources(source)
    if others or found.url or not found.path.is_file():
        raise ConfigError(f"{source}: bench measures on one video file: name one")
    VideoSource(found.path, name=found.name)  # says in its own words what is wrong with it
    path = folder / f"clip{found.path.suffix}"
    try:
        with av.open(str(found.path)) as container, av.open(str(path), "w") as copy:
            stream = container.streams.video[0]
            target = copy.add_stream_from_template(stream)
            whole = (packet for packet in container.demux(stream) if packet.dts is not None)
            for packet in islice(whole, num_frames):
                packet.stream = target
                copy.mux(packet)
    except (av.FFmpegError, ValueError) as error:
        raise DataError(f"{source}: cannot be copied: {error}") from error
    return path


def write_synthetic(num_frames: int, fps: float, path: Path) -> None:
    """Two squares that move over noise in changing light, in H.264."""
    clip = synthetic_clip(min(num_frames, SYNTHETIC_FRAMES), SYNTHETIC_SIZE)
    there_and_back = [*range(len(clip)), *range(len(clip) - 2, 0, -1)]
    write_video((clip[there_and_back[i % len(there_and_back)]] for i in range(num_frames)), fps, path)


def write_video(frames: Iterator[UInt8Array], fps: float, path: Path) -> None:
    """Frames (H, W, 3) as H.264 in MP4."""
    with VideoFile(path, fps, OutputBudget(float("inf"))) as video:
        for index, pixels in enumerate(frames):
            video.add(pixels, index / fps)


def read_resized(path: Path, size: tuple[int, int]) -> list[Frame]:
    """All frames, resized to (height, width)."""
    return [Frame(resize_frame(f.pixels, size), f.index, f.pts_seconds) for f in VideoSource(path)]


def stacked(frames: list[Frame]) -> UInt8Array:
    """Pixels (N, H, W, 3)."""
    return np.stack([frame.pixels for frame in frames])
