"""Decoded, resized frames in memory, so that no frame is decoded again for every window and epoch.

Loader processes are forked after filling and share the memory.
"""

import os
from collections.abc import Sequence
from contextlib import suppress

from convlstm.clips import resize_frame
from convlstm.errors import ConfigError, DataError
from convlstm.progress import Progress
from convlstm.sources.base import SeekableSource, name_some
from convlstm.types import UInt8Array


class FrameCache:
    """All frames of some sources, uint8 RGB (H, W, 3) of one size. Frames that do not decode are remembered as such."""

    def __init__(self, sources: Sequence[SeekableSource], size: tuple[int, int]) -> None:
        num_frames = sum(len(run) for source in sources for run in source.runs)
        _check_memory(num_frames * size[0] * size[1] * 3)
        self._frames: list[dict[int, UInt8Array]] = []
        with Progress("caching", num_frames, "frames") as progress:
            for source in sources:
                frames: dict[int, UInt8Array] = {}
                self._frames.append(frames)
                with suppress(DataError):  # nothing decodes: every window of it says so
                    for frame in source:
                        frames[frame.index] = resize_frame(frame.pixels, size)
                        progress.advance()
        self._names = [source.name for source in sources]
        self._reasons = [f" ({name_some(s.damage.unreadable)})" if s.damage.unreadable else "" for s in sources]

    def read(self, source: int, indices: Sequence[int]) -> list[UInt8Array]:
        """Frames of the source at that place. Raises DataError where one did not decode."""
        frames = self._frames[source]
        missing = [index for index in indices if index not in frames]
        if missing:
            raise DataError(f"{self._names[source]}: frame {missing[0]} does not decode{self._reasons[source]}")
        return [frames[index] for index in indices]


def _check_memory(num_bytes: int) -> None:
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # not every system tells
        return
    if num_bytes > 0.8 * available:
        raise ConfigError(
            f"cache: the frames take {num_bytes / 2**30:.1f} GiB, but {available / 2**30:.1f} GiB of memory are free: "
            "set cache to none, or target_size to less"
        )
