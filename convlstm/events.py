"""Heatmaps in, events out: hysteresis, minimum duration, merging of near regions and short gaps, padding.

A region opens an event when it reaches the threshold; the event goes on while a region near it stays over the
threshold minus the hysteresis, and ends when none has done so for longer than the gap allowed. Events that come near
each other become one. An event spans its windows wholly: from the first frame of the first to the last frame of the
last.
"""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import replace

from convlstm.heatmap import Box, hot_regions
from convlstm.types import Event, Frame, Heatmap


class EventTracker:
    """One heatmap goes in, finished events come out; `flush` once at the end.

    `max_distance` is in cells: 0 joins regions that touch, also at a corner, 1 those with one cell between them. What
    is kept are the events that go on, never more than there are cells. The order of a window's regions decides nothing.
    """

    def __init__(
        self,
        *,
        threshold: float,
        hysteresis: float = 0.0,
        min_seconds: float = 0.0,
        max_gap_seconds: float = 0.0,
        max_distance: float = 0.0,
    ) -> None:
        self.threshold = threshold
        self.low_threshold = max(threshold - hysteresis, 1e-6)
        self.min_seconds = min_seconds
        self.max_gap_seconds = max_gap_seconds
        self.max_distance = max_distance
        self._going_on: list[Event] = []

    def process(self, heatmap: Heatmap) -> list[Event]:
        """Take one window, in time order; return the events that ended before it, earliest start first."""
        deadline = heatmap.start_seconds - self.max_gap_seconds
        ended = [event for event in self._going_on if event.end_seconds < deadline]
        self._going_on = [event for event in self._going_on if event.end_seconds >= deadline]
        rows, columns = heatmap.probabilities.shape
        reach = self.max_distance / columns, self.max_distance / rows
        waiting = []
        for box, peak in hot_regions(heatmap.probabilities, self.low_threshold):
            region = _region_event(heatmap, box, peak)
            if peak >= self.threshold:
                self._join(region, reach)
            else:
                waiting.append(region)
        while joining := [region for region in waiting if self._near(region, reach)]:  # each may bring others near
            waiting = [region for region in waiting if region not in joining]
            for region in joining:
                self._join(region, reach)
        return self._long_enough(ended)

    def flush(self) -> list[Event]:
        """End all events that are still going on."""
        ended, self._going_on = self._going_on, []
        return self._long_enough(ended)

    def _long_enough(self, events: list[Event]) -> list[Event]:
        lasting = [event for event in events if event.end_seconds - event.start_seconds >= self.min_seconds]
        return sorted(lasting, key=lambda event: (event.start_frame, event.box))

    def _near(self, region: Event, reach: tuple[float, float]) -> list[Event]:
        return [event for event in self._going_on if boxes_are_near(event.box, region.box, reach)]

    def _join(self, region: Event, reach: tuple[float, float]) -> None:
        """Make one event of the region and all that is near, also of what comes near as the box grows."""
        while near := self._near(region, reach):
            for event in near:
                self._going_on.remove(event)
                region = merge_events(event, region)
        self._going_on.append(region)


def _region_event(heatmap: Heatmap, box: Box, peak: float) -> Event:
    return Event(
        start_frame=heatmap.first_frame,
        end_frame=heatmap.last_frame,
        start_seconds=heatmap.start_seconds,
        end_seconds=heatmap.end_seconds,
        peak_probability=peak,
        box=box,
    )


def boxes_are_near(a: Box, b: Box, reach: tuple[float, float]) -> bool:
    """Whether no more than `reach` = (across, down), in the units of the boxes, lies between them each way."""
    across, down = max(a[0], b[0]) - min(a[2], b[2]), max(a[1], b[1]) - min(a[3], b[3])
    return across <= reach[0] + 1e-9 and down <= reach[1] + 1e-9


def merge_events(first: Event, second: Event) -> Event:
    """One event that covers both in time and space."""
    boxes = (first.box, second.box)
    later = max(first, second, key=lambda event: event.end_frame)
    earlier = min(first, second, key=lambda event: event.start_frame)
    return replace(
        earlier,
        end_frame=later.end_frame,
        end_seconds=later.end_seconds,
        peak_probability=max(first.peak_probability, second.peak_probability),
        box=(
            min(box[0] for box in boxes),
            min(box[1] for box in boxes),
            max(box[2] for box in boxes),
            max(box[3] for box in boxes),
        ),
    )


class FrameTimes:
    """Index and time of every frame of a source, 16 bytes each: what it takes to pad events by true times."""

    def __init__(self) -> None:
        self.indices = array("q")
        self.seconds = array("d")

    def add(self, frame: Frame) -> None:
        """Note the next frame."""
        self.indices.append(frame.index)
        self.seconds.append(frame.pts_seconds)

    def pad(self, event: Event, seconds: float) -> Event:
        """The event from the first frame that is at most `seconds` before it to the last that is as much after it."""
        first = bisect_left(self.seconds, event.start_seconds - seconds - 1e-9)
        last = bisect_right(self.seconds, event.end_seconds + seconds + 1e-9) - 1
        if not 0 <= first <= last < len(self.indices):  # times that run backwards, in a damaged file
            return event
        return replace(
            event,
            start_frame=min(event.start_frame, self.indices[first]),
            end_frame=max(event.end_frame, self.indices[last]),
            start_seconds=min(event.start_seconds, self.seconds[first]),
            end_seconds=max(event.end_seconds, self.seconds[last]),
        )


def time_spans(events: list[Event]) -> list[tuple[int, int]]:
    """First and last frame of each stretch in which events go on, in order; those that share a frame share one."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted((event.start_frame, event.end_frame) for event in events):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], end)
        else:
            spans.append((start, end))
    return spans
