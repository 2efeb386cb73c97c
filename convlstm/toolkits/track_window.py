"""Detections, frame by frame, to steady things without gaps: what comes out is a few frames behind what goes in.

    detector     #  #  .  #  .  .  #  #            one thing, . where it was missed
    filled       #  #  +  #  +  +  #  #            + between its neighbours, up to max_gap frames
    smoothed         [-----^-----]                 mean over `smooth` frames on each side: no lag
                           |-------->|             the look-ahead: what comes later changes nothing

Times are frame indices of the source, so that frames which the source itself lacks count as missed.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from convlstm.boxes import box_iou
from convlstm.toolkits.instances import Instance, mix, shape_of
from convlstm.toolkits.tracking import MIN_IOU, NO_TRACK, ClassTracker

if TYPE_CHECKING:
    import supervision as sv

Instances: TypeAlias = list[Instance]


@dataclass
class _Track:
    """A thing: where it is, by frame index, without gaps from its first frame to its last."""

    seen: dict[int, Instance]
    first: int
    number: int = 0

    @property
    def last(self) -> int:
        return max(self.seen)

    def add(self, index: int, instance: Instance) -> None:
        """Note the instance of a later frame, and what lies between."""
        last = self.last
        for missed in range(last + 1, index):
            weight = (missed - last) / (index - last)
            pair = [(1 - weight, self.seen[last]), (weight, instance)]
            self.seen[missed] = mix(pair, confidence=None)
        self.seen[index] = instance

    def smoothed(self, index: int, smooth: int) -> Instance:
        """The mean around a frame, over as many frames before it as after it."""
        reach = min(smooth, index - self.first, self.last - index)
        around = [(1.0 + reach - abs(step), self.seen[index + step]) for step in range(-reach, reach + 1)]
        middle = self.seen[index]
        return replace(mix(around, confidence=middle.confidence), track=self.number)

    def forget(self, before: int) -> None:
        for index in [index for index in self.seen if index < before and index != self.last]:
            del self.seen[index]


@dataclass
class TrackWindow:
    """`process` for each frame in order, `flush` at the end: each gives out frames that are decided, with their things.

    Things that are missed for up to `max_gap` frames are put between where they were and will be; boxes and shapes are
    means over `smooth` frames on each side, weighted by nearness. Things that last for fewer than `min_frames` frames,
    gaps included, are left out. Memory is that of `look_ahead` frames.
    """

    max_gap: int
    smooth: int
    min_frames: int = 1
    _tracks: list[_Track] = field(default_factory=list)
    _by_id: dict[tuple[int, int], _Track] = field(default_factory=dict)
    _waiting: deque[int] = field(default_factory=deque)
    _next_index: int | None = None
    _num_numbered: int = 0

    def __post_init__(self) -> None:
        self._tracker = ClassTracker(self.max_gap)

    @property
    def look_ahead(self) -> int:
        """Frames that have to be seen after one before that is decided."""
        return max(self.smooth, self.min_frames - 1) + self.max_gap

    def process(self, index: int, detections: "sv.Detections") -> Iterator[tuple[int, Instances]]:
        """Take the detections of frame `index`, larger than those before; give out (index, instances)."""
        self._skip_to(index)
        ids = self._tracker.assign(detections)
        for place, track_id in enumerate(ids.tolist()):
            self._note(index, _instance(detections, place), track_id)
        self._waiting.append(index)
        while self._waiting and self._waiting[0] + self.look_ahead <= index:
            yield self._decide(self._waiting.popleft())

    def flush(self) -> Iterator[tuple[int, Instances]]:
        """Give out the rest."""
        while self._waiting:
            yield self._decide(self._waiting.popleft())

    def _skip_to(self, index: int) -> None:
        missing = range(index if self._next_index is None else self._next_index, index)
        for _ in missing[: self.max_gap + 1]:  # after so many all tracks are over
            self._tracker.skip()
        self._next_index = index + 1

    def _note(self, index: int, instance: Instance, track_id: int) -> None:
        if track_id == NO_TRACK:
            self._tracks.append(_Track({index: instance}, index))
            return
        key = (instance.class_id, track_id)
        track = self._by_id.get(key)
        if track is None:
            track = self._by_id[key] = self._first_sight(index, instance)
        if index not in track.seen:
            track.add(index, instance)

    def _first_sight(self, index: int, instance: Instance) -> _Track:
        """The track of a thing that has got its id now: begun where it was seen first, before it had one."""
        named = {id(track) for track in self._by_id.values()}
        candidates = [
            track
            for track in self._tracks
            if id(track) not in named
            and track.seen[track.last].class_id == instance.class_id
            and 0 < index - track.last <= self.max_gap + 1
        ]
        if candidates:
            boxes = np.array([track.seen[track.last].box for track in candidates])
            overlaps = box_iou(boxes, instance.box[None])[:, 0]
            best = int(overlaps.argmax())
            if overlaps[best] >= MIN_IOU:
                return candidates[best]
        track = _Track({index: instance}, index)
        self._tracks.append(track)
        return track

    def _decide(self, index: int) -> tuple[int, Instances]:
        instances = []
        for track in self._tracks:
            if index in track.seen and track.last - track.first + 1 >= self.min_frames:
                if not track.number:
                    self._num_numbered += 1
                    track.number = self._num_numbered
                instances.append(track.smoothed(index, self.smooth))
        self._forget(index)
        return index, instances

    def _forget(self, index: int) -> None:
        """Drop what no later frame needs."""
        newest = self._next_index or 0
        oldest = min(newest - self.max_gap - 1, index - self.smooth)
        self._tracks = [track for track in self._tracks if track.last >= oldest]
        self._by_id = {key: track for key, track in self._by_id.items() if track.last >= oldest}
        for track in self._tracks:
            track.forget(index + 1 - self.smooth)


def _instance(detections: "sv.Detections", place: int) -> Instance:
    box = detections.xyxy[place].astype(np.float64)
    shape = None if detections.mask is None else shape_of(detections.mask[place], box)
    return Instance(box, int(detections.class_id[place]), float(detections.confidence[place]), shape)
