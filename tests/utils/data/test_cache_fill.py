import os
import threading
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from convlstm.progress import Progress
from convlstm.sources.folder import FolderSource
from convlstm.utils.data import cache_fill
from convlstm.utils.data.cache import MemoryCache
from convlstm.utils.data.cache_fill import in_threads, needed_bytes, row_of
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import LabelledSequence

Pixels = NDArray[np.uint8]

lengths_and_gaps = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 9)), min_size=1, max_size=6)


def runs_of(lengths_and_gaps: list[tuple[int, int]], first: int = 0) -> list[range]:
    runs, start = [], first
    for length, gap in lengths_and_gaps:
        runs.append(range(start, start + length))
        start += length + gap
    return runs


@pytest.mark.pure
@given(lengths_and_gaps, st.integers(0, 5))
def test_rows_count_the_frames_of_all_runs(layout: list[tuple[int, int]], first: int) -> None:
    runs = runs_of(layout, first)
    indices = list(chain(*runs))
    assert [row_of(runs, index) for index in indices] == list(range(len(indices)))


@pytest.mark.pure
@given(lengths_and_gaps, st.integers(-3, 200))
def test_an_index_in_a_gap_has_no_row(layout: list[tuple[int, int]], index: int) -> None:
    runs = runs_of(layout)
    if not any(index in run for run in runs):
        with pytest.raises(ValueError, match=f"frame {index} lies in none of"):
            row_of(runs, index)


@settings(max_examples=15)
@given(
    lengths_and_gaps=st.lists(st.tuples(st.integers(2, 4), st.integers(2, 3)), min_size=1, max_size=3),
    cells=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    has_masks=st.booleans(),
)
def test_the_estimate_is_what_the_arrays_take(
    lengths_and_gaps: list[tuple[int, int]],
    cells: tuple[int, int],
    has_masks: bool,
    write_folder: Callable[..., Path],
) -> None:
    size = (cells[0] * 32, cells[1] * 32)
    numbers = list(chain(*runs_of(lengths_and_gaps)))
    names = [f"f_{number:03d}.png" for number in numbers]
    with TemporaryDirectory() as folder:
        path = Path(folder)
        pixels: list[Pixels] = [np.zeros((8, 8, 3), dtype=np.uint8)] * len(names)
        write_folder(path, pixels, names)
        masks = write_folder(path / "masks", pixels, names) if has_masks else None
        row = ManifestRow("a", "dynamic", "a", None, None, 2)
        sequence = LabelledSequence(row, FolderSource(path, fps=25), 1, masks)
        frames, shares, unreadable = MemoryCache([sequence], size)._kept[0]
    assert not unreadable and (shares is not None) == has_masks
    assert needed_bytes(sequence, size) == frames.nbytes + (shares.nbytes if shares is not None else 0)


@pytest.mark.parametrize("num_processors", [1, 3])
def test_results_come_in_order_and_steps_are_counted(num_processors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(item: int, advance: Callable[[], None]) -> int:
        for _ in range(item):
            advance()
        time.sleep(0.002 * (item % 3))
        return item * item

    monkeypatch.setattr(cache_fill, "_num_processors", lambda: num_processors)
    with Progress("working", 45) as progress:
        assert in_threads(work, range(10), progress) == [item * item for item in range(10)]
    assert progress.done == 45


def test_nothing_to_do() -> None:
    assert in_threads(lambda item, advance: item, [], Progress("working", 0)) == []


def test_as_many_at_a_time_as_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    meeting = threading.Barrier(3)

    def work(item: int, advance: Callable[[], None]) -> None:
        meeting.wait(timeout=10)

    in_threads(work, range(6), Progress("working", 6))


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_failure_ends_all_threads_before_it_is_told(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_fill, "_num_processors", lambda: 2)
    began, ended = set(), set()

    def work(item: int, advance: Callable[[], None]) -> None:
        began.add(item)
        try:
            if item == 1:
                raise error
            for _ in range(2000):
                advance()
                time.sleep(0.005)
        finally:
            ended.add(item)

    with pytest.raises(type(error)), Progress("working", 8000) as progress:
        in_threads(work, range(4), progress)
    assert began == ended and len(began) < 4
    assert progress.done < 2000
