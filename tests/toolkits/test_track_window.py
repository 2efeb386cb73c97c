"""What comes out of detections with gaps: nothing missed, nothing late, nothing kept for ever."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("supervision", reason="needs the package supervision")
pytest.importorskip("trackers", reason="needs the package trackers")

import supervision as sv

from convlstm.toolkits.instances import Instance
from convlstm.toolkits.track_window import TrackWindow


def seen(*lefts: float, width: float = 20, masks: Any = None, class_id: int = 0) -> Any:
    """Boxes of 20 rows at these columns."""
    if not lefts:
        return sv.Detections.empty()
    boxes = np.array([(left, 10, left + width, 30) for left in lefts], dtype=np.float64)
    return sv.Detections(
        xyxy=boxes, confidence=np.full(len(boxes), 0.5), class_id=np.full(len(boxes), class_id), mask=masks
    )


def run(window: TrackWindow, frames: dict[int, Any]) -> dict[int, list[Instance]]:
    out = [pair for index, detections in frames.items() for pair in window.process(index, detections)]
    out += window.flush()
    assert [index for index, _ in out] == list(frames)  # each once, in order
    return dict(out)


def left_of(instances: list[Instance]) -> float:
    (instance,) = instances
    return float(instance.box[0])


def test_every_third_frame_missed_is_filled() -> None:
    frames = {index: seen() if index % 3 == 2 else seen(2.0 * index) for index in range(30)}
    out = run(TrackWindow(max_gap=3, smooth=0), frames)
    for index in range(29):  # the last is missed, and nobody knows what comes after it
        (instance,) = out[index]
        assert instance.box.tolist() == pytest.approx([2 * index, 10, 2 * index + 20, 30])
        assert (instance.confidence is None) == (index % 3 == 2) and instance.track == 1
    assert out[29] == []


def test_what_is_missed_moves_evenly() -> None:
    frames = {index: seen() if index in (6, 7, 8) else seen(4.0 * index) for index in range(14)}
    out = run(TrackWindow(max_gap=3, smooth=0), frames)
    assert [left_of(out[index]) for index in range(14)] == pytest.approx([4 * index for index in range(14)])


@pytest.mark.parametrize("first_gap", [1, 3])
def test_a_thing_seen_once_before_a_gap_is_held_over_it(first_gap: int) -> None:
    frames = {0: seen(0), **{index: seen() for index in range(1, 1 + first_gap)}}
    frames |= {1 + first_gap + index: seen(4) for index in range(3)}
    out = run(TrackWindow(max_gap=3, smooth=0), frames)
    assert all(len(instances) == 1 and instances[0].track == 1 for instances in out.values())


@pytest.mark.parametrize("gap", [4, 5, 6])
def test_a_gap_is_filled_up_to_the_limit(gap: int) -> None:
    frames = {index: seen() if 5 <= index < 5 + gap else seen(10) for index in range(20)}
    out = run(TrackWindow(max_gap=5, smooth=1), frames)
    filled = [bool(out[index]) for index in range(5, 5 + gap)]
    assert filled == [gap <= 5] * gap


def test_steady_motion_is_not_smoothed_away_and_does_not_lag() -> None:
    out = run(TrackWindow(max_gap=2, smooth=3), {index: seen(3.0 * index) for index in range(20)})
    assert [left_of(out[index]) for index in range(20)] == pytest.approx([3.0 * index for index in range(20)])


def test_smoothing_takes_out_jitter() -> None:
    jitter = np.random.RandomState(0).normal(0, 2, 60)
    out = run(TrackWindow(max_gap=2, smooth=4), {index: seen(50 + jitter[index]) for index in range(60)})
    lefts = np.array([left_of(out[index]) for index in range(60)])
    assert lefts[5:-5].std() < 0.5 * jitter.std()
    assert abs(lefts.mean() - 50 - jitter.mean()) < 0.3


def test_a_step_is_spread_evenly_on_both_sides() -> None:
    out = run(TrackWindow(max_gap=2, smooth=2), {index: seen(0.0 if index < 10 else 8.0) for index in range(20)})
    lefts = np.array([left_of(out[index]) for index in range(20)])
    assert lefts[6:14] == pytest.approx(8 - lefts[13:5:-1])


def test_shapes_are_smoothed_too() -> None:
    full = np.zeros((1, 40, 40), dtype=bool)
    full[0, 10:30, :20] = True
    half = full.copy()
    half[0, 10:30, 10:] = False
    frames = {index: seen(0, masks=half if index == 5 else full) for index in range(11)}
    out = run(TrackWindow(max_gap=2, smooth=2), frames)
    shape = out[5][0].shape
    assert shape is not None and float(shape[:, 100:].mean()) == pytest.approx(1 - 3 / 9)  # weights 1 2 3 2 1
    unsmoothed = run(TrackWindow(max_gap=2, smooth=0), frames)[5][0].shape
    assert unsmoothed is not None and unsmoothed[:, 100:].max() == 0


@pytest.mark.parametrize(("length", "is_kept"), [(4, False), (5, True)])
def test_short_things_are_left_out(length: int, is_kept: bool) -> None:
    frames = {index: seen(200, *([20] if 10 <= index < 10 + length else [])) for index in range(30)}
    out = run(TrackWindow(max_gap=3, smooth=1, min_frames=5), frames)
    assert [len(out[index]) for index in range(10, 10 + length)] == [1 + is_kept] * length
    assert {instance.track for instances in out.values() for instance in instances} == ({1, 2} if is_kept else {1})


def test_a_gap_of_the_source_counts_in_its_frames() -> None:
    near = [index for index in range(20) if index not in (8, 9)]
    out = run(TrackWindow(max_gap=3, smooth=0), {index: seen(2.0 * index) for index in near})
    assert {instances[0].track for instances in out.values()} == {1}
    assert left_of(out[10]) == pytest.approx(20)
    far = [*range(8), *range(100, 108)]
    out = run(TrackWindow(max_gap=3, smooth=2), {index: seen(5) for index in far})
    assert out[7][0].track == 1 and out[100][0].track == 2


def test_things_of_other_classes_are_other_things() -> None:
    frames = {index: seen(10, class_id=index % 2) for index in range(10)}
    out = run(TrackWindow(max_gap=3, smooth=0), frames)
    assert all({one.class_id for one in out[index]} == {0, 1} for index in range(1, 9))


def test_no_frame_waits_longer_than_the_look_ahead() -> None:
    window = TrackWindow(max_gap=4, smooth=2, min_frames=6)
    assert window.look_ahead == 9
    num_out = 0
    for index in range(40):
        num_out += len(list(window.process(index, seen(index))))
        assert num_out == max(0, index + 1 - 9)


def test_memory_does_not_grow() -> None:
    window = TrackWindow(max_gap=4, smooth=2)
    rng = np.random.RandomState(0)
    for index in range(120):
        list(window.process(index, seen(50, *rng.uniform(100, 5000, 3))))
    assert len(window._tracks) < 40 and len(window._by_id) < 40
    assert max(len(track.seen) for track in window._tracks) < 20


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, 8), max_size=3, unique=True), max_size=25), st.integers(0, 4), st.integers(0, 3)
)
def test_whatever_is_seen_comes_out_where_it_was(places: list[list[int]], max_gap: int, smooth: int) -> None:
    """Without smoothing every detection stands in its frame; looking farther ahead changes nothing."""
    frames = {index: seen(*[100.0 * place for place in at]) for index, at in enumerate(places)}
    out = run(TrackWindow(max_gap, smooth), frames)
    for index, at in enumerate(places):
        found = {round(float(one.box[0])) for one in out[index] if one.confidence is not None}
        assert found == {100 * place for place in at}
        numbers = [one.track for one in out[index]]
        assert len(set(numbers)) == len(numbers) and 0 not in numbers
