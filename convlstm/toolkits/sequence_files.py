"""The files of one sequence, written frame by frame: images, masks, `frames.csv`; and `boxes.csv`, read back too."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from convlstm.sources.frame_times import FrameTime, frame_times_file
from convlstm.toolkits.frame_files import Encoding, FrameWriter
from convlstm.toolkits.instances import FloatBox, Instance
from convlstm.types import Frame, UInt8Array

BOXES = "boxes.csv"


class SequenceWriter:
    """Writes one sequence to a folder that exists. Its files have the numbers of the source's frames, from 1."""

    def __init__(self, folder: Path, *, masks: bool, num_threads: int = 0) -> None:
        """`num_threads` encode beside the one that calls."""
        self.folder = folder
        self._masks = masks
        self._stack = ExitStack()
        self._frames = FrameWriter(folder, Encoding(), num_threads=num_threads)
        self._first: FrameTime | None = None
        self._last: FrameTime | None = None

    def __enter__(self) -> Self:
        self._add_time = self._stack.enter_context(frame_times_file(self.folder))
        self._stack.enter_context(self._frames)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def num_frames(self) -> int:
        """Written so far."""
        return self._frames.num_written

    def add(self, frame: Frame, pixels: UInt8Array, mask: UInt8Array) -> None:
        """Write what `frame` has become, RGB (H, W, 3), and its mask (H, W), 0 or 255."""
        name = self._frames.write(frame.index + 1, pixels, mask if self._masks else None)
        self._last = FrameTime(frame.index + 1, name, frame.pts_seconds, frame.index)
        self._first = self._first or self._last
        self._add_time(self._last)

    def fps(self, default: float) -> float:
        """The average rate of what was written; `default` where one frame tells none."""
        if self._first is None or self._last is None or self._last.pts_seconds <= self._first.pts_seconds:
            return default
        rate = (self._last.frame - self._first.frame) / (self._last.pts_seconds - self._first.pts_seconds)
        return round(rate, 6)


class BoxesWriter:
    """Writes `boxes.csv`, as `convlstm verify --detections` reads it: a row for each instance, frames count from 0.

    What was missed by the detector and put between its neighbours has no confidence.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / BOXES).open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(("frame", "x1", "y1", "x2", "y2", "confidence", "track", "class"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, index: int, instances: Iterable[Instance], names: Mapping[int, str]) -> None:
        """Write the instances of the frame `index`."""
        for instance in instances:
            sides = [round(float(side), 2) for side in instance.box]
            confidence = "" if instance.confidence is None else round(instance.confidence, 4)
            name = names.get(instance.class_id, str(instance.class_id))
            self._writer.writerow((index, *sides, confidence, instance.track, name))


def read_boxes(folder: Path) -> Iterator[tuple[int, list[FloatBox]]]:
    """Boxes of each frame that has some, in the order of the frames, one frame at a time."""
    with (folder / BOXES).open(encoding="utf-8", newline="") as file:
        for index, rows in groupby(csv.DictReader(file), key=lambda row: int(row["frame"])):
            yield index, [np.array([float(row[side]) for side in ("x1", "y1", "x2", "y2")]) for row in rows]
