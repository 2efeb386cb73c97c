"""One recording that a camera cut into several files: frames, times and events go on from file to file."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from convlstm.errors import DataError
from convlstm.sources.base import Source
from convlstm.sources.open import SourcePath, open_source
from convlstm.types import Frame


@dataclass(frozen=True)
class RecordingPath:
    """A recording that is not open yet; its `parts` are in order."""

    parts: tuple[SourcePath, ...]

    @property
    def name(self) -> str:
        """What results call it: the folder that holds all parts."""
        folder = Path(os.path.commonpath([str(part.path.parent) for part in self.parts]))
        return os.fsencode(folder).decode("utf-8", "replace") if folder.name else "recording"


@dataclass(frozen=True)
class RecordingPart:
    """Where a part begins in the recording."""

    name: str
    first_frame: int
    start_seconds: float


def one_recording(sources: Sequence[SourcePath]) -> RecordingPath:
    """The sources in order of their names as one recording; numbers in names count as numbers: cam_9 before cam_10."""
    return RecordingPath(tuple(sorted(sources, key=lambda source: _natural_key(source.name))))


def _natural_key(name: str) -> list[tuple[int, str]]:
    pieces = re.split(r"([0-9]+)", name)
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]


class RecordingSource(Source):
    """The parts of a recording, one after the other.

    A part begins one frame after the one before ended; what a damaged part lacks at its end leaves a gap, and so does a
    part that cannot be opened, which is named in `damage`. `parts` tells where those read so far begin.
    """

    def __init__(self, path: RecordingPath, *, fps: float) -> None:
        super().__init__(path.name)
        self.path = path
        self.parts: list[RecordingPart] = []
        self._folder_fps = fps
        self._num_frames: int | None = 0
        self._fps = fps
        for part in reversed(path.parts):  # the first that opens has the say
            try:
                opened = open_source(part, fps=fps)
            except DataError:
                continue
            known = opened.num_frames is not None and self._num_frames is not None
            self._num_frames = self._num_frames + opened.num_frames if known else None  # type: ignore[operator]
            self._fps = opened.fps

    @property
    def num_frames(self) -> int | None:
        """Of all parts together; None where one of them does not say."""
        return self._num_frames

    @property
    def fps(self) -> float:
        """Of the first part."""
        return self._fps

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the start. Raises DataError where no part can be read."""
        self.damage.unreadable.clear()
        self.damage.gaps.clear()
        self.damage.num_concealed = 0
        self.parts = []
        next_frame, next_seconds, num_failed = 0, 0.0, 0
        for path in self.path.parts:
            self.parts.append(RecordingPart(path.name, next_frame, next_seconds))
            try:
                part = open_source(path, fps=self._folder_fps)
                num_part, part_seconds = 0, 0.0
                for frame in part:
                    yield Frame(frame.pixels, next_frame + frame.index, next_seconds + frame.pts_seconds)
                    num_part, part_seconds = frame.index + 1, frame.pts_seconds + 1 / part.fps
            except DataError as error:
                self.damage.unreadable.append(str(error))
                num_failed += 1
                next_frame += 1
                continue
            short = Path(path.name).name
            self.damage.unreadable += [f"{short} {name}" for name in part.damage.unreadable]
            self.damage.gaps += [f"{short}: {gap}" for gap in part.damage.gaps]
            self.damage.num_concealed += part.damage.num_concealed
            num_lost = max(0, (part.num_frames or 0) - num_part) if part.damage.unreadable else 0
            next_frame += num_part + num_lost
            next_seconds += part_seconds + num_lost / part.fps
        if num_failed == len(self.path.parts):
            raise DataError(f"{self.name}: no part of the recording can be read: {self.damage.unreadable[0]}")

    def part_of(self, frame: int) -> RecordingPart:
        """The part that holds a frame of the recording, once it was read."""
        return next(part for part in reversed(self.parts) if part.first_frame <= frame)
