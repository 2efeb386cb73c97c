"""What both caches do: one pass over each sequence, in order, several sequences at a time.

Shapes: N frames of a sequence, H W pixels of the frame as the network sees it (target_size by `downsample`), MH MW
blocks of the mask (target_size / 8).

A cache holds the frames of all gapless runs of a sequence, one after another:

    frames   0 1 2 3     6 7   9
    rows     0 1 2 3     4 5   6
"""

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import chain
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import numpy as np

from convlstm.clips import resize_frame
from convlstm.errors import DataError
from convlstm.progress import Progress
from convlstm.sources.base import SeekableSource, name_some
from convlstm.types import Frame, UInt8Array
from convlstm.utils.data.frames import MASK_BLOCK, read_shares
from convlstm.utils.data.sequences import LabelledSequence

FRAME_TYPE = np.dtype(np.uint8)
SHARE_TYPE = np.dtype(np.float16)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Rows(Protocol):
    """An array, or a file of one, that takes one frame, or its shares, at a time; a single number fills the row."""

    def __setitem__(self, row: int, value: Any, /) -> None: ...


def count_frames(sequence: LabelledSequence) -> int:
    """How many rows the sequence takes: frames that do not decode have theirs, missing ones have none."""
    return sum(len(run) for run in sequence.source.runs)


def frames_shape(num_frames: int, size: tuple[int, int], downsample: int = 1) -> tuple[int, ...]:
    """(N, H, W, 3), uint8."""
    return (num_frames, size[0] // downsample, size[1] // downsample, 3)


def shares_shape(num_frames: int, size: tuple[int, int]) -> tuple[int, ...]:
    """(N, MH, MW), float16."""
    return (num_frames, size[0] // MASK_BLOCK, size[1] // MASK_BLOCK)


def needed_bytes(sequence: LabelledSequence, size: tuple[int, int], downsample: int = 1) -> int:
    """Bytes that the frames of a sequence take and, where it has masks, their shares."""
    num_frames = count_frames(sequence)
    needed = math.prod(frames_shape(num_frames, size, downsample)) * FRAME_TYPE.itemsize
    if sequence.masks is not None:
        needed += math.prod(shares_shape(num_frames, size)) * SHARE_TYPE.itemsize
    return needed


def row_of(runs: Sequence[range], index: int) -> int:
    """The row of a frame index. Raises ValueError for an index that lies in none of the runs."""
    row = 0
    for run in runs:
        if index in run:
            return row + index - run.start
        row += len(run)
    raise ValueError(f"frame {index} lies in none of {list(runs)}")


def fill(
    sequence: LabelledSequence,
    size: tuple[int, int],
    frames: Rows,
    shares: Rows | None,
    advance: Callable[[], None],
    downsample: int = 1,
) -> dict[int, str]:
    """Decode a sequence from its start to its end into all rows of `frames` and, where it has masks, `shares`.

    Calls `advance` after each row. Returns a reason for each index that cannot be read, whose frame is black and whose
    shares are NaN.
    """
    rows = {index: row for row, index in enumerate(chain(*sequence.source.runs))}
    unreadable: dict[int, str] = {}

    def put(index: int, pixels: UInt8Array | int, share: Any) -> None:
        row = rows.pop(index)
        frames[row] = pixels
        if shares is not None:
            shares[row] = share
        advance()

    failure = ""
    try:
        for frame in _sound_frames(sequence.source):
            if frame.index not in rows:  # a damaged video may give frames beyond those that its packets announce
                continue
            try:
                share = read_shares(sequence, frame.index, size)
            except DataError as error:
                unreadable[frame.index] = str(error)
                put(frame.index, 0, np.nan)
            else:
                put(frame.index, resize_frame(frame.pixels, size, downsample), share)
    except DataError as error:  # nothing decodes
        failure = str(error)
    details = name_some(sequence.source.damage.unreadable) or failure
    for index in list(rows):
        put(index, 0, np.nan)
        unreadable[index] = f"{sequence.source.name}: frame {index} does not decode" + (details and f" ({details})")
    return unreadable


def _sound_frames(source: SeekableSource) -> Iterator[Frame]:
    """Frames without those that a decoder painted over: `source.read` refuses them, too."""
    num_concealed = 0
    for frame in source:
        if source.damage.num_concealed == num_concealed:
            yield frame
        num_concealed = source.damage.num_concealed


def in_threads(
    work: Callable[[Item, Callable[[], None]], Result], items: Sequence[Item], progress: Progress
) -> list[Result]:
    """Results of `work(item, advance)` for all items, in their order; as many at a time as there are processors.

    `work` calls `advance()` for every step: it counts in `progress`, and it raises once another item has failed or the
    user has interrupted, so that all threads have ended when this function raises what happened.
    """
    stopping = threading.Event()
    events: SimpleQueue[Future[Result] | None] = SimpleQueue()

    def advance() -> None:
        if stopping.is_set():
            raise CancelledError
        events.put(None)

    pool = ThreadPoolExecutor(_num_processors())
    try:
        futures = [pool.submit(work, item, advance) for item in items]
        for future in futures:
            future.add_done_callback(events.put)
        num_running = len(futures)
        while num_running:
            finished = events.get()
            if finished is None:
                progress.advance()
            else:
                finished.result()
                num_running -= 1
        return [future.result() for future in futures]
    finally:
        stopping.set()
        pool.shutdown(cancel_futures=True)


def _num_processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
