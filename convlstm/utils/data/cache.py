"""Resized frames and mask shares that are kept, so that no frame is decoded again for every window and epoch."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from convlstm.config import TrainConfig
from convlstm.errors import ConfigError
from convlstm.progress import Progress
from convlstm.types import Float16Array, UInt8Array
from convlstm.utils.data.cache_disk import DiskCache
from convlstm.utils.data.cache_fill import (
    FRAME_TYPE,
    SHARE_TYPE,
    count_frames,
    fill,
    frames_shape,
    in_threads,
    needed_bytes,
    row_of,
    shares_shape,
)
from convlstm.utils.data.frames import FrameDecoder, FrameStore
from convlstm.utils.data.sequences import LabelledSequence

MEMINFO = Path("/proc/meminfo")


def open_store(sequences: Sequence[LabelledSequence], config: TrainConfig) -> FrameStore:
    """Where the dataset takes frames of these sequences from, as the setting `cache` says; filled, where it is a cache.

    Raises ConfigError where memory or disk do not suffice, or `cache_dir` cannot be written.
    """
    if config.cache == "ram":
        return MemoryCache(sequences, config.target_size, config.downsample)
    if config.cache == "disk":
        return DiskCache(sequences, config)
    return FrameDecoder(sequences, config.target_size, config.downsample)


class MemoryCache:
    """Keeps everything in memory, which loader processes share when they are forked after filling."""

    def __init__(self, sequences: Sequence[LabelledSequence], size: tuple[int, int], downsample: int = 1) -> None:
        _check_memory(sum(needed_bytes(sequence, size, downsample) for sequence in sequences))
        self._size = size
        self._downsample = downsample
        self._runs = [sequence.source.runs for sequence in sequences]
        with Progress("caching", sum(map(count_frames, sequences)), "frames") as progress:
            self._kept = in_threads(self._decode, sequences, progress)

    def read(self, sequence: int, span: range, frames: UInt8Array, shares: Float16Array) -> dict[int, str]:
        """As `FrameStore.read`."""
        all_frames, all_shares, unreadable = self._kept[sequence]
        row = row_of(self._runs[sequence], span.start)
        rows = slice(row, row + len(span))
        frames[:] = all_frames[rows]
        shares[:] = np.nan if all_shares is None else all_shares[rows]
        return {index: unreadable[index] for index in span if index in unreadable}

    def _decode(
        self, sequence: LabelledSequence, advance: Callable[[], None]
    ) -> tuple[UInt8Array, Float16Array | None, dict[int, str]]:
        num_frames = count_frames(sequence)
        frames = np.empty(frames_shape(num_frames, self._size, self._downsample), FRAME_TYPE)
        shares = None
        if sequence.masks is not None:
            shares = np.empty(shares_shape(num_frames, self._size), SHARE_TYPE)
        return frames, shares, fill(sequence, self._size, frames, shares, advance, self._downsample)


def _check_memory(num_bytes: int) -> None:
    available = _available_memory()
    if available is not None and num_bytes > 0.8 * available:
        raise ConfigError(
            f"cache: the frames take {num_bytes / 2**30:.1f} GiB, but {available / 2**30:.1f} GiB of memory are free: "
            "set cache to disk or none, or target_size to less"
        )


def _available_memory() -> int | None:
    """Bytes that can be had; None where the system does not tell."""
    with suppress(OSError, ValueError, KeyError):
        values = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        return int(values["MemAvailable"].split()[0]) * 1024
    with suppress(OSError, ValueError):  # counts memory as taken that the system would give back
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
