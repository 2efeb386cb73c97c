import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.events import EventTracker, FrameTimes, boxes_are_near, merge_events, time_spans
from convlstm.types import Event, Frame, Heatmap

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
    assert boxes_are_near(box, other, (0, 0)) is touches
    assert boxes_are_near(other, box, (0, 0)) is touches


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


@pytest.mark.parametrize(("max_distance", "count"), [(0, 2), (1, 2), (2, 1)])
def test_regions_with_few_cells_between_them_are_one(max_distance: float, count: int) -> None:
    tracker = EventTracker(threshold=0.5, max_distance=max_distance)
    assert len(run(tracker, window(0, {(1, 0): 0.9, (2, 3): 0.8}))) == count


def test_distance_is_counted_in_cells_of_a_grid_that_is_not_square() -> None:
    wide = window(0, {(0, 0): 0.9, (0, 2): 0.9, (3, 0): 0.9, (0, 6): 0.9}, grid=(4, 16))
    boxes = [event.box for event in run(EventTracker(threshold=0.5, max_distance=1), wide)]
    assert boxes == [(0.0, 0.0, 3 / 16, 0.25), (0.0, 0.75, 1 / 16, 1.0), (6 / 16, 0.0, 7 / 16, 0.25)]


def test_a_box_that_grows_takes_in_what_it_comes_near() -> None:
    (event,) = run(
        EventTracker(threshold=0.5),
        window(0, {(0, 0): 0.9, (2, 1): 0.9, (0, 3): 0.9}),
        window(3, {(1, 0): 0.9, (0, 2): 0.9}),
    )
    assert event.box == (0.0, 0.0, 1.0, 0.75)


def test_what_comes_near_only_by_growing_is_taken_in_too() -> None:
    windows = window(0, {(0, 0): 0.9, (1, 0): 0.9, (0, 2): 0.9}), window(3, {(2, 1): 0.9})
    (event,) = run(EventTracker(threshold=0.5), *windows)
    assert event.box == (0.0, 0.0, 0.75, 0.75)


def test_a_low_region_goes_on_with_what_opens_in_the_same_window() -> None:
    for hot, low in (((0, 0), (0, 2)), ((0, 2), (0, 0))):  # whichever of the two is found first
        tracker = EventTracker(threshold=0.5, hysteresis=0.2, max_distance=1)
        (event,) = run(tracker, window(0, {hot: 0.9, low: 0.4}))
        assert event.box == (0.0, 0.0, 0.75, 0.25)


def reference_events(
    windows: list[Heatmap], settings: dict[str, float]
) -> set[tuple[int, int, float, tuple[float, ...]]]:
    """The same arithmetic by brute force: sets of cells, and whole sweeps until nothing changes any more."""
    low = max(settings["threshold"] - settings["hysteresis"], 1e-6)
    going_on: list[dict[str, float]] = []
    done: list[dict[str, float]] = []

    def near(a: dict[str, float], b: dict[str, float]) -> bool:
        gaps = [max(a[f"{s}1"], b[f"{s}1"]) - min(a[f"{s}2"], b[f"{s}2"]) - 1 for s in "xy"]
        return max(gaps) <= settings["max_distance"]

    for heatmap in windows:
        cells = {(int(y), int(x)) for y, x in np.argwhere(heatmap.probabilities >= np.float32(low))}
        regions = []
        while cells:
            region = {cells.pop()}
            while grown := {c for c in cells if any(max(abs(c[0] - d[0]), abs(c[1] - d[1])) <= 1 for d in region)}:
                region |= grown
                cells -= grown
            ys, xs = [c[0] for c in region], [c[1] for c in region]
            peak = max(float(heatmap.probabilities[c]) for c in region)
            place = {"x1": min(xs), "x2": max(xs), "y1": min(ys), "y2": max(ys), "peak": peak}
            time = {"start": heatmap.first_frame, "end": heatmap.last_frame, "s": heatmap.start_seconds}
            regions.append({**place, **time, "e": heatmap.end_seconds})
        deadline = heatmap.start_seconds - settings["max_gap_seconds"]
        done += [event for event in going_on if event["e"] < deadline]
        going_on = [event for event in going_on if event["e"] >= deadline]
        going_on += [region for region in regions if region["peak"] >= settings["threshold"]]
        waiting = [region for region in regions if region["peak"] < settings["threshold"]]
        while True:
            pairs = [(a, b) for i, a in enumerate(going_on) for b in going_on[:i] if near(a, b)]
            pairs = pairs or [(a, b) for a in waiting for b in going_on if near(a, b)]
            if not pairs:
                break
            a, b = pairs[0]
            merged = {key: (min if key in ("x1", "y1", "start", "s") else max)(a[key], b[key]) for key in a}
            waiting = [region for region in waiting if region is not a]
            going_on = [event for event in going_on if event is not a and event is not b] + [merged]
    rows, columns = windows[0].probabilities.shape if windows else (1, 1)
    return {
        (
            int(e["start"]),
            int(e["end"]),
            e["peak"],
            (e["x1"] / columns, e["y1"] / rows, (e["x2"] + 1) / columns, (e["y2"] + 1) / rows),
        )
        for e in done + going_on
        if e["e"] - e["s"] >= settings["min_seconds"]
    }


LEVELS = st.sampled_from([0.0, 0.0, 0.0, 0.35, 0.45, 0.7, 0.9])


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(1, 14), st.lists(LEVELS, min_size=35, max_size=35)), max_size=7),
    st.fixed_dictionaries(
        {
            "threshold": st.sampled_from([0.5, 0.8]),
            "hysteresis": st.sampled_from([0.0, 0.1, 0.2]),
            "min_seconds": st.sampled_from([0.0, 1.0, 2.0]),
            "max_gap_seconds": st.sampled_from([0.0, 0.45, 2.0]),
            "max_distance": st.sampled_from([0.0, 1.0, 2.0]),
        }
    ),
)
def test_events_are_those_of_brute_force(steps: list[tuple[int, list[float]]], settings: dict[str, float]) -> None:
    first, windows = 0, []
    for step, values in steps:
        first += step
        windows.append(window(first, {divmod(i, 7): value for i, value in enumerate(values)}, grid=(5, 7)))
    events = run(EventTracker(**settings), *windows)
    assert {(e.start_frame, e.end_frame, e.peak_probability, e.box) for e in events} == reference_events(
        windows, settings
    )


@given(st.lists(st.lists(LEVELS, min_size=20, max_size=20), max_size=30))
def test_what_is_kept_does_not_grow(values: list[list[float]]) -> None:
    tracker = EventTracker(threshold=0.5, hysteresis=0.1, max_gap_seconds=1e9)
    for i, row in enumerate(values):
        tracker.process(window(3 * i, {divmod(cell, 5): value for cell, value in enumerate(row)}, grid=(4, 5)))
        assert len(tracker._going_on) <= 6  # boxes that do not touch, in 4 x 5 cells


PIXEL = np.zeros((1, 1, 3), dtype=np.uint8)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.floats(0.01, 1.0)), min_size=1, max_size=30),
    st.data(),
    st.floats(0, 5),
)
def test_padding_takes_in_the_frames_of_that_time_and_no_others(
    steps: list[tuple[int, float]], data: st.DataObject, padding: float
) -> None:
    indices = np.cumsum([index for index, _ in steps]).tolist()
    seconds = np.cumsum([step for _, step in steps]).tolist()
    times = FrameTimes()
    for index, second in zip(indices, seconds, strict=True):
        times.add(Frame(PIXEL, index, second))
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(steps) - 1)] * 2)))
    event = Event(indices[a], indices[b], seconds[a], seconds[b], 0.9, (0.0, 0.0, 1.0, 1.0))
    padded = times.pad(event, padding)
    inside = [i for i, s in enumerate(seconds) if seconds[a] - padding - 1e-9 <= s <= seconds[b] + padding + 1e-9]
    assert (padded.start_frame, padded.end_frame) == (indices[inside[0]], indices[inside[-1]])
    assert (padded.start_seconds, padded.end_seconds) == (seconds[inside[0]], seconds[inside[-1]])
    assert (padded.box, padded.peak_probability) == (event.box, 0.9)


def test_times_that_run_backwards_never_shorten_an_event() -> None:
    times = FrameTimes()
    for index, second in enumerate([5.0, 6.0, 0.0, 1.0]):
        times.add(Frame(PIXEL, index, second))
    event = Event(0, 1, 5.0, 6.0, 0.9, (0.0, 0.0, 1.0, 1.0))
    padded = times.pad(event, 1.0)
    assert padded.start_frame <= 0 and padded.end_frame >= 1
    assert padded.start_seconds <= 5.0 and padded.end_seconds >= 6.0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12))
def test_spans_hold_exactly_the_frames_of_events(ranges: list[tuple[int, int]]) -> None:
    events = [Event(a, a + n, float(a), float(a + n), 0.9, (0.0, 0.0, 1.0, 1.0)) for a, n in ranges]
    spans = time_spans(events)
    frames = [frame for start, end in spans for frame in range(start, end + 1)]
    assert frames == sorted({frame for a, n in ranges for frame in range(a, a + n + 1)})
    for event in events:
        assert sum(start <= event.start_frame and event.end_frame <= end for start, end in spans) == 1
