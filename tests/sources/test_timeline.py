from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.sources.timeline import LONGEST_DELAY_SECONDS, LiveTimeline, reconnect_delay

pytestmark = pytest.mark.pure

SIZE = (64, 96)


def place_all(
    timeline: LiveTimeline, numbers: list[int], *, arrival: float = 100.0, start: float = 7.0, fps: float = 25.0
) -> list[tuple[int, float]]:
    timeline.begin_stream()
    return [timeline.place(n, start + n / fps, arrival + n / fps, SIZE) for n in numbers]


def test_times_are_the_camera_s_own_from_zero_and_indices_consecutive() -> None:
    placed = place_all(LiveTimeline(), list(range(5)))
    assert [index for index, _ in placed] == [0, 1, 2, 3, 4]
    assert [seconds for _, seconds in placed] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])


def test_frames_in_a_burst_keep_their_times() -> None:
    timeline = LiveTimeline()
    timeline.begin_stream()
    placed = [timeline.place(n, n / 25, 100.0, SIZE) for n in range(50)]
    assert [seconds for _, seconds in placed] == pytest.approx([n / 25 for n in range(50)])


def test_a_new_connection_is_a_gap_that_our_clock_measures() -> None:
    timeline = LiveTimeline()
    place_all(timeline, [0, 1, 2])
    (first, start), (second, after) = place_all(timeline, [0, 1], arrival=130, start=900)
    assert (first, second) == (4, 5)
    assert [start, after] == pytest.approx([30, 30.04])
    assert place_all(timeline, [3, 4], arrival=140)[0][0] == 7  # whatever number comes first


def test_frames_left_out_are_a_gap() -> None:
    assert [index for index, _ in place_all(LiveTimeline(), [0, 1, 5, 6])] == [0, 1, 5, 6]


def test_another_frame_size_is_a_gap() -> None:
    timeline = LiveTimeline()
    place_all(timeline, [0, 1])
    assert timeline.place(2, 7.08, 100.08, (480, 640))[0] == 3
    assert timeline.place(3, 7.12, 100.12, (480, 640))[0] == 4


def test_a_pause_is_a_gap_but_a_slow_camera_is_not() -> None:
    timeline = LiveTimeline()
    place_all(timeline, list(range(50)))
    assert timeline.place(50, 7 + 4.0, 104.0, SIZE)[0] == 51
    slow = [index for index, _ in place_all(LiveTimeline(), list(range(10)), fps=0.25)]
    assert slow == list(range(10))


def test_a_rate_that_changes_is_a_gap_only_for_a_while() -> None:
    timeline = LiveTimeline()
    place_all(timeline, list(range(50)))
    indices = [timeline.place(50 + k, 9 + 4.0 * k, 102 + 4.0 * k, SIZE)[0] for k in range(60)]
    steps = [b - a for a, b in pairwise(indices)]
    assert 2 in steps[:10] and set(steps[20:]) == {1}


def test_a_camera_s_clock_that_jumps_is_set_anew() -> None:
    timeline = LiveTimeline()
    place_all(timeline, list(range(10)))
    for number, camera in ((10, 7000.0), (11, 3.0)):
        index, seconds = timeline.place(number, camera, 100 + number / 25, SIZE)
        assert index == number + (number - 9)
        assert seconds == pytest.approx(number / 25)


def test_without_times_our_clock_is_taken() -> None:
    timeline = LiveTimeline()
    timeline.begin_stream()
    placed = [timeline.place(n, None, 100 + n / 10, SIZE) for n in range(5)]
    assert [index for index, _ in placed] == list(range(5))
    assert [seconds for _, seconds in placed] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 4), st.none() | st.floats(0, 1e6), st.floats(0, 50), st.integers(1, 2)),
        max_size=60,
    )
)
def test_indices_and_times_only_rise(
    steps: list[tuple[bool, int, float | None, float, int]],
) -> None:
    timeline, number, arrival = LiveTimeline(), 0, 50.0
    timeline.begin_stream()
    last = (-1, -1.0)
    for is_new, step, camera, wait, size in steps:
        if is_new:
            timeline.begin_stream()
            number = 0
        arrival += wait
        placed = timeline.place(number, camera, arrival, (size, size))
        assert placed[0] > last[0] and placed[1] > last[1]
        assert not (is_new and last[0] >= 0 and placed[0] == last[0] + 1)
        last, number = placed, number + step


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_delays_grow_to_a_limit(num_failures: int, chance: float) -> None:
    delay = reconnect_delay(num_failures, chance)
    assert 0.3 < delay <= 1.25 * LONGEST_DELAY_SECONDS
    assert reconnect_delay(num_failures + 1, chance) >= delay
    assert reconnect_delay(num_failures, 0.0) < reconnect_delay(num_failures, 1.0)
