"""Many inputs, some processes, one progress bar; one bad input never stops the others."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, TypeVar

import cv2

from convlstm.errors import EXIT_DONE, EXIT_INCOMPLETE, DataError
from convlstm.interrupts import leave_signals_to_parent, signals_waiting
from convlstm.progress import Progress

Task = TypeVar("Task")

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """What became of one input: how much of what was made, and what is wrong with it, if anything is."""

    name: str
    counts: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None
    """Why the input, or a part of it, was left out."""
    found: Any = None
    """What a tool that looks, not makes, has found; it travels between processes."""


@dataclass(frozen=True)
class ToolResult:
    """What a tool did: `summary` is for people, in a line or a table; `left_out` names inputs with their reasons."""

    output: Path
    summary: str
    left_out: tuple[str, ...] = ()
    has_problems: bool = False
    """Whether there are problems that the summary tells of, besides what was left out."""

    @property
    def exit_code(self) -> int:
        """3 where anything was left out or has problems, else 0."""
        return EXIT_INCOMPLETE if self.left_out or self.has_problems else EXIT_DONE


def result_of(output: Path, outcomes: Sequence[Outcome]) -> ToolResult:
    """All outcomes as one result; the summary counts what they count: "frames: 1,200, sequences: 12"."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.counts)
    words = [f"{name}: {count:,}" for name, count in counts.items()]
    left_out = tuple(f"{outcome.name}: {outcome.problem}" for outcome in outcomes if outcome.problem is not None)
    return ToolResult(output, ", ".join([*words, *([f"with problems: {len(left_out)}"] if left_out else [])]), left_out)


def run_tasks(
    work: Callable[[Task], Outcome],
    tasks: Sequence[Task],
    *,
    name: Callable[[Task], str],
    workers: int | None,
    description: str,
    total: int | None = None,
    unit: str = "inputs",
) -> list[Outcome]:
    """Do all tasks, in up to `workers` processes (None: one for each core); outcomes in the order of the tasks.

    `work` is a function of a module, or a partial of one. A DataError or OSError in it becomes the problem of that
    task's outcome. Where `total` is given, `work` reports its progress in units by `advance`; else tasks are counted.

    Raises DataError where a process is killed from outside.
    """
    num_processes = min(workers or os.cpu_count() or 1, len(tasks))
    with Progress(description, len(tasks) if total is None else total, unit) as progress:
        if num_processes <= 1:
            return _in_this_process(work, tasks, name, progress, count_tasks=total is None)
        return _in_processes(work, tasks, name, progress, num_processes, count_tasks=total is None)


def advance(count: int = 1) -> None:
    """Inside of `work`: `count` more units are done."""
    _Reporting.report(count)


def _ignore(count: int) -> None:
    del count


class _Reporting:
    """Where `advance` goes to, in this process."""

    report: Callable[[int], None] = staticmethod(_ignore)


def _in_this_process(
    work: Callable[[Task], Outcome],
    tasks: Sequence[Task],
    name: Callable[[Task], str],
    progress: Progress,
    *,
    count_tasks: bool,
) -> list[Outcome]:
    outcomes = []
    _Reporting.report = staticmethod(_ignore if count_tasks else progress.advance)
    try:
        for task in tasks:
            outcomes.append(_guarded(work, task, name(task)))
            progress.advance(int(count_tasks))
    finally:
        _Reporting.report = staticmethod(_ignore)
    return outcomes


def _in_processes(
    work: Callable[[Task], Outcome],
    tasks: Sequence[Task],
    name: Callable[[Task], str],
    progress: Progress,
    num_processes: int,
    *,
    count_tasks: bool,
) -> list[Outcome]:
    # spawn: a forked copy of a process in which torch or OpenCV has started threads may hang
    context = get_context("spawn")
    counter = context.Value("q", 0)
    with ProcessPoolExecutor(num_processes, context, initializer=_start_worker, initargs=(counter,)) as pool:
        with signals_waiting():
            futures = [pool.submit(_guarded, work, task, name(task)) for task in tasks]
        try:
            _follow(futures, counter, progress, count_tasks=count_tasks)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise DataError(
                "a worker was killed, most likely for lack of memory: use fewer workers; what is finished is kept"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _follow(
    futures: "Sequence[Future[Outcome]]", counter: "Synchronized[int]", progress: Progress, *, count_tasks: bool
) -> None:
    pending: set[Future[Any]] = set(futures)
    while pending:
        done, pending = wait(pending, timeout=_POLL_SECONDS)
        for future in done:
            future.result()  # raises what is no fault of an input
        progress.advance(len(done) if count_tasks else counter.value - progress.done)


def _start_worker(counter: "Synchronized[int]") -> None:
    cv2.setNumThreads(1)
    leave_signals_to_parent()

    def report(count: int) -> None:
        with counter.get_lock():
            counter.value += count

    _Reporting.report = staticmethod(report)


def _guarded(work: Callable[[Task], Outcome], task: Task, name: str) -> Outcome:
    try:
        return work(task)
    except DataError as error:
        return Outcome(name, problem=str(error).removeprefix(f"{name}: "))
    except OSError as error:
        return Outcome(name, problem=error.strerror or str(error))
