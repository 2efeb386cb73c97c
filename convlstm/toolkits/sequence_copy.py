"""One sequence read, changed and written as another: frames, masks and times."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from convlstm.config.toolkits import SequenceAugmentationConfig
from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource, name_some
from convlstm.sources.folder import FolderSource
from convlstm.sources.frame_times import FrameTime, frame_times_file
from convlstm.sources.images import read_mask
from convlstm.sources.open import open_source
from convlstm.toolkits.frame_changes import (
    KEPT_MOTION,
    SECONDS_PER_LOOK,
    Change,
    Painter,
    draw_change,
    kept_share,
    white_mask,
    without_geometry,
)
from convlstm.toolkits.frame_files import MASKS, Encoding, FrameWriter
from convlstm.types import Frame, UInt8Array

_MOST_DRAWS = 2000


@dataclass(frozen=True)
class Original:
    """A sequence to copy; `size` is (height, width) of its frames, `num_places` counts missing frames too."""

    source: SeekableSource
    masks: Path | None
    size: tuple[int, int]
    num_places: int
    is_static: bool

    def mask(self, index: int) -> UInt8Array | None:
        """The mask of a frame (H, W); None where the sequence has none."""
        if self.masks is None or not isinstance(self.source, FolderSource):
            return None
        return read_mask(self.masks / f"{PurePath(self.source.files[index]).stem}.png")

    @cached_property
    def dynamic(self) -> NDArray[np.bool_]:
        """Where anything is dynamic at any time, bool (H, W)."""
        found = np.zeros(self.size, dtype=np.bool_)
        for index in (index for run in self.source.runs for index in run):
            mask = self.mask(index)
            if mask is not None:
                found |= white_mask(mask, self.size) > 0
        return found


def open_original(folder: Path, *, fps: float, is_static: bool) -> Original:
    """Open a folder of frames or a video; `fps` gives folders without frames.csv their times.

    Raises DataError where nothing can be read, or where some frames have masks and others none.
    """
    source = open_source(folder, fps=fps)
    masks = folder / MASKS
    if isinstance(source, FolderSource) and masks.is_dir():
        missing = [n for n in source.files.values() if not (masks / f"{PurePath(n).stem}.png").is_file()]
        if missing:
            raise DataError(f"{len(missing)} masks are missing: {name_some(missing)}: add them, or remove the folder")
    first = next(iter(source), None)
    if first is None:
        raise DataError(f"{folder}: no frame could be decoded")
    height, width = first.pixels.shape[:2]
    return Original(
        source=source,
        masks=masks if isinstance(source, FolderSource) and masks.is_dir() else None,
        size=(height, width),
        num_places=source.runs[-1].stop,
        is_static=is_static,
    )


def draw_for(config: SequenceAugmentationConfig, sequence: Original, name: str) -> Change:
    """The first draw for the copy of that name by which something changes. Raises DataError where nothing can."""
    digest = hashlib.sha256(f"{config.seed}/{name}".encode()).digest()
    first_seed = int.from_bytes(digest[:7], "big")
    seconds = sequence.num_places / sequence.source.fps
    num_looks = max(2, math.ceil(seconds / SECONDS_PER_LOOK) + 1) if config.smooth else 1
    for seed in count(first_seed):
        change = draw_change(
            config.augment_config(),
            seed,
            rotation=config.rotation,
            num_frames=sequence.num_places,
            size=sequence.size,
            num_looks=num_looks,
        )
        change = _possible(change, sequence)
        if not change.changes_nothing:
            return change
        if seed - first_seed >= _MOST_DRAWS:
            break
    raise DataError(
        f"{sequence.source.name}: nothing of what is asked for can change it: crop and rotation need masks or a static "
        "sequence, reverse needs a folder of frames; allow something else"
    )


def _possible(change: Change, sequence: Original) -> Change:
    """Without a crop that could cut away what the label is about; videos, which are read once, run forwards."""
    if change.matrix is not None and not (sequence.is_static or sequence.masks):
        change = without_geometry(change)
    if change.matrix is not None and sequence.masks and kept_share(change.matrix, sequence.dynamic) < KEPT_MOTION:
        change = without_geometry(change)
    if change.is_reversed and not isinstance(sequence.source, FolderSource):
        change = replace(change, is_reversed=False)
    return change


def write_copy(folder: Path, sequence: Original, change: Change, encoding: Encoding) -> int:
    """Write frames, masks and, where the original has true times, these. Returns the number of frames."""
    source = sequence.source
    has_times = not isinstance(source, FolderSource) or source.has_true_times
    painter: Painter | None = None
    shown: tuple[int, UInt8Array, UInt8Array | None] | None = None  # index in the original, frame, mask
    times = frame_times_file(folder) if has_times else nullcontext(_ignore)
    with FrameWriter(folder, encoding) as writer, times as add:
        for place, frame in _in_new_order(source, change):
            if frame.pixels.shape[:2] != sequence.size:
                height, width = sequence.size
                raise DataError(f"frames of several sizes: not all are {width}x{height}, as the first one is")
            if shown is None or not (place < len(change.is_lost) and change.is_lost[place]):
                pixels, mask = change.place(frame.pixels), sequence.mask(frame.index)
                painter = painter or Painter(change, pixels)
                pixels = painter.paint(pixels, place, place / max(1, sequence.num_places - 1))
                placed = None if mask is None else change.place_mask(mask, sequence.size)
                shown = frame.index, pixels, placed
            name = writer.write(place + 1, shown[1], shown[2])
            add(FrameTime(place + 1, name, frame.pts_seconds, shown[0]))
    return writer.num_written


def _ignore(row: FrameTime) -> None:
    del row


def _in_new_order(source: SeekableSource, change: Change) -> Iterator[tuple[int, Frame]]:
    """Place in the copy from 0, and the frame that belongs there, its time that of the place."""
    if not change.is_reversed or not isinstance(source, FolderSource):
        yield from ((frame.index, frame) for frame in source)
        return
    source.damage.unreadable.clear()
    last = source.runs[-1].stop - 1
    end = source.seconds_at(last) + source.seconds_at(0)
    for index in reversed(source.files):
        try:
            pixels = source.read([index])[0]
        except DataError as error:
            source.damage.unreadable.append(str(error))
            continue
        yield last - index, Frame(pixels, index, round(end - source.seconds_at(index), 9))
