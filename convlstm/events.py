"""Heatmaps in, events out: hysteresis, minimum duration, merging of short gaps.

A region opens an event when it reaches the threshold; the event goes on while a region that touches it stays over the
threshold minus the hysteresis, and ends when none has done so for longer than the gap allowed. An event spans its
windows wholly: from the first frame of the first to the last frame of the last.
"""

from dataclasses import replace

from convlstm.heatmap import Box, hot_regions
from convlstm.types import Event, Heatmap


class EventTracker:
    """One heatmap goes in, finished events come out; `flush` once at the end."""

    def __init__(
        self, *, threshold: float, hysteresis: float = 0.0, min_seconds: float = 0.0, max_gap_seconds: float = 0.0
    ) -> None:
        self.threshold = threshold
        self.low_threshold = max(threshold - hysteresis, 1e-6)
        self.min_seconds = min_seconds
        self.max_gap_seconds = max_gap_seconds
        self._going_on: list[Event] = []

    def process(self, heatmap: Heatmap) -> list[Event]:
        """Take one window, in time order; return the events that ended before it, earliest start first."""
        deadline = heatmap.start_seconds - self.max_gap_seconds
        ended = [event for event in self._going_on if event.end_seconds < deadline]
        self._going_on = [event for event in self._going_on if event.end_seconds >= deadline]
        for box, peak in hot_regions(heatmap.probabilities, self.low_threshold):
            self._add_region(_region_event(heatmap, box, peak))
        return self._long_enough(ended)

    def flush(self) -> list[Event]:
        """End all events that are still going on."""
        ended, self._going_on = self._going_on, []
        return self._long_enough(ended)

    def _long_enough(self, events: list[Event]) -> list[Event]:
        lasting = [event for event in events if event.end_seconds - event.start_seconds >= self.min_seconds]
        return sorted(lasting, key=lambda event: event.start_frame)

    def _add_region(self, region: Event) -> None:
        touching = [event for event in self._going_on if boxes_touch(event.box, region.box)]
        if not touching and region.peak_probability < self.threshold:
            return
        for event in touching:
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


def boxes_touch(a: Box, b: Box) -> bool:
    """Whether two normalised boxes overlap or share an edge or corner."""
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


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
