from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.sources.base import Source
from convlstm.sources.sampling import FrameSampler, SampledSource
from convlstm.types import Frame

pytestmark = pytest.mark.pure


class Listed(Source):
    """Frames of given (index, time)."""

    def __init__(self, places: Sequence[tuple[int, float]], fps: float) -> None:
        super().__init__("listed")
        self.places = places
        self._fps = fps

    @property
    def num_frames(self) -> int:
        return len(self.places)

    @property
    def fps(self) -> float:
        return self._fps

    def __iter__(self) -> Iterator[Frame]:
        pixels = np.zeros((32, 32, 3), np.uint8)
        yield from (Frame(pixels, index, seconds) for index, seconds in self.places)


def steady(num_frames: int, fps: float, start: float = 0.0) -> Listed:
    return Listed([(i, start + i / fps) for i in range(num_frames)], fps)


def test_ten_of_twenty_five_a_second() -> None:
    source = SampledSource(steady(25, 25), 10)
    frames = list(source)
    assert [source.place(frame.index) for frame in frames] == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23]
    assert [frame.index for frame in frames] == list(range(10))
    assert [frame.pts_seconds for frame in frames] == [place / 25 for place in (0, 3, 5, 8, 10, 13, 15, 18, 20, 23)]
    assert (source.fps, source.num_frames, source.num_decoded(10), source.name) == (10, None, 25, "listed")
    assert source.place(11) == 25  # a window that was padded goes on past the end


@given(fps=st.floats(1, 120), sample_fps=st.floats(0.1, 120), num_frames=st.integers(1, 400), start=st.floats(0, 1e5))
def test_it_never_drifts(fps: float, sample_fps: float, num_frames: int, start: float) -> None:
    sampler = FrameSampler(sample_fps)
    taken = [i for i in range(num_frames) if sampler.takes(start + i / fps)]
    assert taken[0] == 0
    seconds = (num_frames - 1) / fps
    expected = min(num_frames, seconds * sample_fps + 1)
    assert len(taken) <= expected + 1e-3
    if sample_fps <= fps:
        assert len(taken) >= int(seconds * sample_fps - 1e-3)
        assert all(abs(i / fps * sample_fps - slot) <= sample_fps / fps + 1e-3 for slot, i in enumerate(taken))


def test_a_rate_above_that_of_the_source_takes_everything() -> None:
    assert [frame.index for frame in SampledSource(steady(9, 5), 30)] == list(range(9))
    assert SampledSource(steady(9, 5), 30).fps == 5


def test_a_clock_that_begins_anew_is_followed() -> None:
    sampler = FrameSampler(1)
    assert [sampler.takes(t) for t in (1000.0, 1000.5, 1001.0, 3.0, 3.5, 4.0)] == [True, False, True, True, False, True]


def test_lost_frames_leave_a_gap_only_where_a_slot_is_lost_with_them() -> None:
    one_lost = [(i, i / 25) for i in range(50) if i != 11]
    assert [frame.index for frame in SampledSource(Listed(one_lost, 25), 5)] == list(range(10))
    many_lost = [(i, i / 25) for i in range(50) if not 9 <= i < 21]
    source = SampledSource(Listed(many_lost, 25), 5)
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, *range(3, 9)]
    assert [source.place(frame.index) for frame in frames] == [0, 5, 21, 25, 30, 35, 40, 45]


def test_pauses_of_a_varying_frame_rate_are_no_gaps() -> None:
    times = [0, 0.04, 0.08, 2.0, 2.04, 5.0, 5.3]
    assert [frame.index for frame in SampledSource(Listed(list(enumerate(times)), 25), 5)] == [0, 1, 2, 3]


def test_a_second_pass_is_like_the_first() -> None:
    source = SampledSource(steady(25, 25), 10)
    assert [f.index for f in source] == [f.index for f in source]
    assert source.num_decoded(0) == 25
