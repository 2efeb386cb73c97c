"""Frames that are decoded while others are looked at."""

import os
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from queue import Full, Queue
from typing import TypeVar

from convlstm.clips import resize_frame
from convlstm.types import Frame

Item = TypeVar("Item")

FRAMES_AHEAD = 12
"""Frames that are decoded before they are asked for; so many may lie in memory."""

_TURN_SECONDS = 0.1  # how often the thread looks whether it should end


def decoded_ahead(frames: Iterable[Frame], size: tuple[int, int]) -> Iterator[tuple[Frame, Frame]]:
    """Each frame as it is, and with its pixels resized to (height, width); from a thread that decodes and resizes."""
    pairs = (
        (frame, Frame(resize_frame(frame.pixels, size), frame.index, frame.pts_seconds))
        for frame in _staying_on_a_core(frames)
    )
    return read_ahead(pairs, FRAMES_AHEAD)


def _staying_on_a_core(items: Iterable[Item]) -> Iterator[Item]:
    """All items, from the second one on always made on one and the same core, where the process has two.

    Going to and fro between both slows down the encoder's two threads by a seventh. A decoder has its own threads by
    the second frame; these stay free.
    """
    remaining = iter(items)
    yield from islice(remaining, 1)
    if sys.platform == "linux" and len(cores := sorted(os.sched_getaffinity(0))) == 2:
        with suppress(OSError):  # the cores can be others by now
            os.sched_setaffinity(0, {cores[os.getpid() % 2]})
    yield from remaining


def read_ahead(items: Iterable[Item], limit: int) -> Generator[Item, None, None]:
    """All items in order, made in a thread of their own, at most `limit` of them before they are asked for.

    What `items` raises is raised here, after the items before it. The thread ends with the iteration, however that
    ends, but not before the item at hand is done.
    """
    made: Queue[tuple[Item] | BaseException | None] = Queue(limit)
    is_over = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, is_over), name="read ahead", daemon=True)
    thread.start()
    try:
        while (entry := made.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
    finally:
        is_over.set()
        thread.join()


def _make(items: Iterable[Item], made: "Queue[tuple[Item] | BaseException | None]", is_over: threading.Event) -> None:
    end: BaseException | None = None
    try:
        for item in items:
            if not _put((item,), made, is_over):
                break
    except BaseException as error:
        end = error
    _put(end, made, is_over)


def _put(
    entry: tuple[Item] | BaseException | None,
    made: "Queue[tuple[Item] | BaseException | None]",
    is_over: threading.Event,
) -> bool:
    """Whether it was taken in before all was over."""
    while not is_over.is_set():
        try:
            made.put(entry, timeout=_TURN_SECONDS)
        except Full:
            continue
        return True
    return False
