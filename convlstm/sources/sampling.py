"""Fewer frames a second, chosen by presentation time.

times      0.00 0.04 0.08 0.12 0.16 0.20 0.24        25 frames/s, sample_fps 10: one frame in each tenth of a second
taken        x         x         x         x
index        0         1         2         3         counts what is looked at
place        0         3         5         ...       the frame's number in the source
"""

import math
from array import array
from collections.abc import Iterator

from convlstm.sources.base import Source
from convlstm.types import Frame

_TOLERANCE = 1e-6  # of a slot: times such as 0.30000000000000004 belong to the slot that they mean


class FrameSampler:
    """Takes the first frame in each slot of 1 / sample_fps seconds, counted from the first frame: never drifts."""

    def __init__(self, sample_fps: float) -> None:
        self.sample_fps = sample_fps
        self._origin = 0.0
        self._last_slot: int | None = None

    def takes(self, seconds: float) -> bool:
        """Whether the frame at this presentation time is taken; call it for each frame, in order."""
        slot = math.floor((seconds - self._origin) * self.sample_fps + _TOLERANCE)
        if self._last_slot is None or slot < self._last_slot:  # the first, or the clock of the source began anew
            self._origin, self._last_slot = seconds, 0
            return True
        is_new = slot > self._last_slot
        self._last_slot = slot
        return is_new


class SampledSource(Source):
    """Some of the frames of `source`, at most `sample_fps` a second.

    A frame's `index` counts what is looked at, so that windows are of consecutive ones; `pts_seconds` stays true, and
    `place` gives the frame's number in `source`. Where frames of `source` are lost, and with them a slot, the index
    has a gap too.
    """

    def __init__(self, source: Source, sample_fps: float) -> None:
        super().__init__(source.name)
        self.source = source
        self.sample_fps = sample_fps
        self.damage = source.damage
        self._places = array("q")  # 8 bytes a frame
        self._num_read = 0

    @property
    def num_frames(self) -> int | None:
        """None: known only in the end where frame times vary."""
        return None

    @property
    def fps(self) -> float:
        """Frames looked at per second."""
        return min(self.source.fps, self.sample_fps)

    def __iter__(self) -> Iterator[Frame]:
        """Every frame that is taken."""
        sampler = FrameSampler(self.sample_fps)
        self._places, self._num_read = array("q"), 0
        index, previous, is_torn = -1, -math.inf, False
        last_place = -1
        for frame in self.source:
            self._num_read += 1
            is_torn = is_torn or frame.index != last_place + 1
            last_place = frame.index
            if not sampler.takes(frame.pts_seconds):
                continue
            is_late = (frame.pts_seconds - previous) * self.fps > 1.5
            if is_torn and is_late and index >= 0:
                index += 1
                self._places.append(last_place)
            index += 1
            self._places.append(frame.index)
            previous, is_torn = frame.pts_seconds, False
            yield Frame(frame.pixels, index, frame.pts_seconds)

    def place(self, index: int) -> int:
        """The number in the source of a frame that was given out; past the end it counts on."""
        beyond = max(0, index - len(self._places) + 1)
        return self._places[index - beyond] + beyond

    def num_decoded(self, num_given: int) -> int:
        """How many frames were decoded, taken or not."""
        return self._num_read
