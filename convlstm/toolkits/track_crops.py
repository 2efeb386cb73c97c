"""A sequence of steady crops for each thing in view, written while the footage passes."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from convlstm.steady_crop import SteadyCrop
from convlstm.toolkits.instances import FloatBox, Instance, draw_mask
from convlstm.toolkits.sequence_files import SequenceWriter
from convlstm.types import Frame, UInt8Array


@dataclass(frozen=True)
class CropSequence:
    """A finished one: its folder, how many frames it has, and their average rate."""

    folder: Path
    num_frames: int
    fps: float


@dataclass
class _OpenCrop:
    crop: SteadyCrop
    writer: SequenceWriter
    part: int
    shown: FloatBox
    """Where the crop is not painted over."""


class TrackCrops:
    """Writes `folder/track_0001/` and so on, one for each track, `side` pixels large.

    A crop shows the box and `padding` times its longer side around it, evenly painted, as `convlstm verify` looks at
    things. Where the crop has lost its thing, or the thing has doubled in size, a new sequence begins:
    `track_0001_part2`. Sequences of fewer than `min_frames` frames are deleted. `finished` are those that are left.
    """

    def __init__(self, folder: Path, *, side: int, padding: float, min_frames: int, masks: bool, fps: float) -> None:
        """`fps` is for sequences of one frame."""
        self.finished: list[CropSequence] = []
        self._folder = folder
        self._side, self._context = side, 1 + 2 * padding
        self._min_frames = min_frames
        self._masks = masks
        self._fps = fps
        self._open: dict[int, _OpenCrop] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for track in list(self._open):
            self._close(track)

    def add(self, frame: Frame, instances: Iterable[Instance]) -> None:
        """Write the crops of the next frame."""
        by_track = {instance.track: instance for instance in instances}
        for track in self._open.keys() - by_track.keys():
            self._close(track)
        for track, instance in sorted(by_track.items()):
            self._add(track, frame, instance)

    def _add(self, track: int, frame: Frame, instance: Instance) -> None:
        part = 1
        current = self._open.get(track)
        if current is not None:
            pixels = current.crop.cut(frame.pixels, instance.box)
            if not current.crop.has_lost(instance.box):
                self._write(current, frame, pixels, instance)
                return
            part = current.part + 1
            self._close(track)
        current = self._open[track] = self._begin(track, part, instance)
        self._write(current, frame, current.crop.cut(frame.pixels, instance.box), instance)

    def _begin(self, track: int, part: int, instance: Instance) -> _OpenCrop:
        folder = self._folder / (f"track_{track:04d}" + (f"_part{part}" if part > 1 else ""))
        folder.mkdir()
        writer = SequenceWriter(folder, masks=self._masks)
        writer.__enter__()
        crop = SteadyCrop(instance.box, self._side, self._context)
        return _OpenCrop(crop, writer, part, np.array(crop.box_in_crop(instance.box)) * self._side)

    def _write(self, current: _OpenCrop, frame: Frame, pixels: UInt8Array, instance: Instance) -> None:
        box = np.array(current.crop.box_in_crop(instance.box)) * self._side
        seen = np.concatenate([np.maximum(box, current.shown)[:2], np.minimum(box, current.shown)[2:]])
        is_seen = bool((seen[2:] > seen[:2]).all())
        mask = draw_mask([Instance(seen, 0, None)] if is_seen else [], (self._side, self._side))
        current.writer.add(frame, pixels, mask)

    def _close(self, track: int) -> None:
        writer = self._open.pop(track).writer
        writer.__exit__(None, None, None)
        if writer.num_frames < self._min_frames:
            shutil.rmtree(writer.folder)
        else:
            self.finished.append(CropSequence(writer.folder, writer.num_frames, writer.fps(self._fps)))
