import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.events import EventTracker, boxes_touch, merge_events
from convlstm.types import Event, Heatmap

pytestmark = pytest.mark.pure

FPS = 10.0
SEQ_LENGTH = 10


def window(first_frame: int, hot: dict[tuple[int, int], float], grid: tuple[int, int] = (4, 4)) -> Heatmap:
    """A window of ten frames at 10 frames/s."""
    probabilities = np.zeros(grid, dtype=np.float32)
    for cell, value in hot.items():
        probabilities[cell] = value
    last = first_frame + SEQ_LENGTH - 1
    return Heatmap(probabilities, first_frame, last, first_frame / FPS, last / FPS)


def run(tracker: EventTracker, *windows: Heatmap) -> list[Event]:
    found = [event for heatmap in windows for event in tracker.process(heatmap)]
    return found + tracker.flush()


def test_an_event_spans_its_windows_wholly() -> None:
    windows = [window(0, {}), window(10, {(1, 2): 0.6}), window(20, {(1, 2): 0.9}), window(30, {})]
    (event,) = run(EventTracker(threshold=0.5, max_gap_seconds=0.15), *windows)
    assert (event.start_frame, event.end_frame) == (10, 29)
    assert (event.start_seconds, event.end_seconds) == (1.0, 2.9)
    assert event.peak_probability == pytest.approx(0.9)
    assert event.box == (0.5, 0.25, 0.75, 0.5)


def test_nothing_below_the_threshold_opens_an_event() -> None:
    tracker = EventTracker(threshold=0.5, hysteresis=0.2)
    assert run(tracker, window(0, {(0, 0): 0.49}), window(3, {(0, 0): 0.45})) == []


def test_hysteresis_keeps_an_event_going_and_ends_it_below() -> None:
    values = [0.6, 0.42, 0.45, 0.39]
    windows = [window(9 * i, {(0, 0): value}) for i, value in enumerate(values)]
    (event,) = run(EventTracker(threshold=0.5, hysteresis=0.1), *windows)
    assert (event.start_frame, event.end_frame) == (0, 27)
    (strict,) = run(EventTracker(threshold=0.5), *windows)
    assert (strict.start_frame, strict.end_frame) == (0, 9)


@pytest.mark.parametrize(("max_gap", "spans"), [(1.1, [(0, 29)]), (1.0, [(0, 9), (20, 29)])])
def test_gaps_up_to_the_limit_are_bridged(max_gap: float, spans: list[tuple[int, int]]) -> None:
    windows = [window(0, {(0, 0): 0.9}), window(10, {}), window(20, {(0, 0): 0.9})]
    events = run(EventTracker(threshold=0.5, max_gap_seconds=max_gap), *windows)
    assert [(event.start_frame, event.end_frame) for event in events] == spans


@pytest.mark.parametrize(("min_seconds", "count"), [(0.9, 1), (0.91, 0)])
def test_short_events_are_dropped(min_seconds: float, count: int) -> None:
    tracker = EventTracker(threshold=0.5, min_seconds=min_seconds)
    assert len(run(tracker, window(0, {(0, 0): 0.9}), window(40, {}))) == count


def test_an_ended_event_is_handed_out_by_the_next_window_not_by_flush() -> None:
    tracker = EventTracker(threshold=0.5)
    assert tracker.process(window(0, {(0, 0): 0.9})) == []
    assert [event.end_frame for event in tracker.process(window(10, {}))] == [9]
    assert tracker.flush() == []


def test_regions_far_apart_are_events_of_their_own() -> None:
    events = run(EventTracker(threshold=0.5), window(0, {(0, 0): 0.9, (3, 3): 0.8}))
    assert sorted(event.box for event in events) == [(0.0, 0.0, 0.25, 0.25), (0.75, 0.75, 1.0, 1.0)]


def test_a_region_that_touches_two_events_makes_them_one() -> None:
    windows = [
        window(0, {(0, 0): 0.9}),
        window(3, {(0, 0): 0.9, (0, 3): 0.7}),
        window(6, {(0, 1): 0.6, (0, 2): 0.6}),
    ]
    (event,) = run(EventTracker(threshold=0.5), *windows)
    assert (event.start_frame, event.end_frame) == (0, 15)
    assert event.box == (0.0, 0.0, 1.0, 0.25)
    assert event.peak_probability == pytest.approx(0.9)


def test_a_region_may_wander() -> None:
    windows = [window(3 * i, {(i, i): 0.9}) for i in range(4)]
    (event,) = run(EventTracker(threshold=0.5), *windows)
    assert event.box == (0.0, 0.0, 1.0, 1.0)


def test_events_that_end_together_come_in_order_of_their_start() -> None:
    tracker = EventTracker(threshold=0.5)
    tracker.process(window(0, {(3, 3): 0.9}))
    tracker.process(window(3, {(0, 0): 0.9, (3, 3): 0.9}))
    assert [event.start_frame for event in tracker.flush()] == [0, 3]
    tracker.process(window(20, {(3, 3): 0.9}))
    tracker.process(window(23, {(0, 0): 0.9, (3, 3): 0.9}))
    assert [event.start_frame for event in tracker.process(window(60, {}))] == [20, 23]


def test_flush_leaves_the_tracker_empty() -> None:
    tracker = EventTracker(threshold=0.5)
    tracker.process(window(0, {(0, 0): 0.9}))
    assert len(tracker.flush()) == 1
    assert tracker.flush() == []


@pytest.mark.parametrize(
    ("other", "touches"),
    [
        ((0.5, 0.5, 1.0, 1.0), True),  # a shared corner
        ((0.5, 0.0, 1.0, 0.5), True),  # a shared edge
        ((0.25, 0.25, 0.3, 0.3), True),  # inside
        ((0.51, 0.0, 1.0, 0.5), False),
        ((0.0, 0.51, 0.5, 1.0), False),
    ],
)
def test_boxes_touch(other: tuple[float, float, float, float], touches: bool) -> None:
    box = (0.0, 0.0, 0.5, 0.5)
    assert boxes_touch(box, other) is touches
    assert boxes_touch(other, box) is touches


def test_merging_covers_both() -> None:
    first = Event(0, 9, 0.0, 0.9, 0.6, (0.0, 0.0, 0.25, 0.25))
    second = Event(5, 7, 0.5, 0.7, 0.8, (0.5, 0.25, 0.75, 0.5))
    expected = Event(0, 9, 0.0, 0.9, 0.8, (0.0, 0.0, 0.75, 0.5))
    assert merge_events(first, second) == merge_events(second, first) == expected


@given(st.lists(st.lists(st.floats(0, 1, width=32), min_size=6, max_size=6), max_size=12))
def test_every_hot_window_lies_in_an_event_and_every_event_was_hot(values: list[list[float]]) -> None:
    windows = [
        window(3 * i, {divmod(cell, 3): value for cell, value in enumerate(row)}, grid=(2, 3))
        for i, row in enumerate(values)
    ]
    events = run(EventTracker(threshold=0.5, hysteresis=0.2, max_gap_seconds=0.3), *windows)
    for heatmap in windows:
        if heatmap.probabilities.max() >= 0.5:
            assert any(
                event.start_frame <= heatmap.first_frame and heatmap.last_frame <= event.end_frame for event in events
            )
    for event in events:
        inside = [w for w in windows if event.start_frame <= w.first_frame and w.last_frame <= event.end_frame]
        assert event.peak_probability >= 0.5
        assert any(event.peak_probability in w.probabilities for w in inside)
