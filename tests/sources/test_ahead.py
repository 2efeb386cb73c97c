"""Reading ahead changes nothing but when things are made."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convlstm.clips import resize_frame
from convlstm.errors import DataError
from convlstm.sources.ahead import decoded_ahead, read_ahead
from convlstm.types import Frame

pytestmark = pytest.mark.pure


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read ahead"]


@given(items=st.lists(st.none() | st.integers()), limit=st.integers(1, 5))
def test_all_items_in_order(items: list[int | None], limit: int) -> None:
    assert list(read_ahead(items, limit)) == items
    assert not readers()


@given(before=st.lists(st.integers(), max_size=6), limit=st.integers(1, 3))
def test_an_error_comes_after_the_items_before_it(before: list[int], limit: int) -> None:
    def items() -> Iterator[int]:
        yield from before
        raise DataError("the end of the tape")

    seen = []
    with pytest.raises(DataError, match="the end of the tape"):
        for item in read_ahead(items(), limit):
            seen.append(item)
    assert seen == before and not readers()


def test_items_are_made_meanwhile_but_never_too_many() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    ahead = read_ahead(items(), 3)
    assert next(ahead) == 0
    deadline = time.monotonic() + 10
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)  # time enough to make more
    assert made == [0, 1, 2, 3, 4]  # one is taken, three wait, one is at hand
    ahead.close()


def test_the_thread_ends_and_what_it_reads_is_closed() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    ahead = read_ahead(items(), 2)
    next(ahead)
    assert len(readers()) == 1
    ahead.close()
    assert not readers()
    del ahead
    assert closed.wait(10)


def test_frames_come_as_they_are_and_resized(make_frames: Callable[..., list[NDArray[np.uint8]]]) -> None:
    frames = [Frame(pixels, 3 * i, i / 7) for i, pixels in enumerate(make_frames(15))]
    pairs = list(decoded_ahead(frames, (32, 64)))
    assert [frame for frame, _ in pairs] == frames
    for frame, resized in pairs:
        assert (resized.index, resized.pts_seconds) == (frame.index, frame.pts_seconds)
        np.testing.assert_array_equal(resized.pixels, resize_frame(frame.pixels, (32, 64)))


@pytest.mark.skipif(sys.platform != "linux", reason="threads are held to cores on Linux only")
@pytest.mark.parametrize("num_cores", [1, 2, 3])
def test_of_two_cores_the_thread_keeps_to_one_once_the_decoder_has_its_threads(
    num_cores: int, make_frames: Callable[..., list[NDArray[np.uint8]]]
) -> None:
    cores = set(sorted(os.sched_getaffinity(0))[:num_cores])
    if len(cores) < num_cores:
        pytest.skip(f"this machine gives the tests {len(cores)} cores")
    seen: list[set[int]] = []

    def frames() -> Iterator[Frame]:
        for index, pixels in enumerate(make_frames(4)):
            seen.append(os.sched_getaffinity(0))
            yield Frame(pixels, index, index / 25)

    def detect() -> None:
        os.sched_setaffinity(0, cores)  # of this thread alone, and of those it starts
        list(decoded_ahead(frames(), (32, 64)))
        seen.append(os.sched_getaffinity(0))

    caller = threading.Thread(target=detect)
    caller.start()
    caller.join()
    *reader, last = seen
    assert reader[0] == last == cores
    assert [len(kept) for kept in reader[1:]] == [1 if num_cores == 2 else num_cores] * 3
    assert all(kept <= cores for kept in reader)
