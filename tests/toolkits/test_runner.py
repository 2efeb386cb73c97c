"""Outcomes in order, bad inputs that stop nothing, progress, and processes that die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from convlstm.errors import EXIT_DONE, EXIT_INCOMPLETE, ConfigError, DataError
from convlstm.toolkits.runner import Outcome, advance, result_of, run_tasks


def work(task: str) -> Outcome:
    if task == "bad":
        raise DataError("bad: damaged: film it again")
    if task == "gone":
        Path("/nowhere/at/all").read_bytes()
    if task == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "broken":
        raise ZeroDivisionError
    if task == "wrong":
        raise ConfigError("no such setting")
    advance(3)
    return Outcome(task, {"frames": 3})


def run(tasks: list[str], workers: int | None, total: int | None = None) -> list[Outcome]:
    return run_tasks(work, tasks, name=str, workers=workers, description="working", total=total)


@pytest.mark.parametrize("workers", [1, 2, None])
def test_outcomes_come_in_the_order_of_the_tasks_and_one_bad_input_stops_nothing(workers: int | None) -> None:
    outcomes = run(["a", "bad", "b", "gone", "c"], workers)
    assert [(o.name, o.problem) for o in outcomes] == [
        ("a", None),
        ("bad", "damaged: film it again"),
        ("b", None),
        ("gone", "No such file or directory"),
        ("c", None),
    ]
    assert [dict(o.counts) for o in outcomes] == [{"frames": 3}, {}, {"frames": 3}, {}, {"frames": 3}]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_tasks_no_outcomes(workers: int) -> None:
    assert run([], workers) == []


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("task", "error"), [("broken", ZeroDivisionError), ("wrong", ConfigError)])
def test_what_is_no_fault_of_an_input_is_raised(task: str, error: type[Exception], workers: int) -> None:
    with pytest.raises(error):
        run(["a", task, "b"], workers)


def test_a_worker_that_is_killed_is_told() -> None:
    with pytest.raises(DataError, match="a worker was killed, most likely for lack of memory: use fewer workers"):
        run(["a", "killed"], 2)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("total", "last"), [(None, "working: 4/4 inputs"), (12, "working: 12/12 inputs")])
def test_progress_counts_tasks_or_what_they_report(
    workers: int,
    total: int | None,
    last: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("convlstm.progress.SECONDS_BETWEEN_LINES", 0.0)
    caplog.set_level("INFO", logger="convlstm")
    run(["a", "b", "c", "d"], workers, total)
    assert caplog.messages[-1].strip() == last
    advance(5)  # outside of a run nobody listens
    assert caplog.messages[-1].strip() == last


def test_results_count_what_their_outcomes_count(tmp_path: Path) -> None:
    outcomes = [Outcome("a", {"frames": 1200, "sequences": 1}), Outcome("b", {"frames": 34}, "cut off: 34 of 90")]
    result = result_of(tmp_path, outcomes)
    assert result.summary == "frames: 1,234, sequences: 1, with problems: 1"
    assert result.left_out == ("b: cut off: 34 of 90",) and result.exit_code == EXIT_INCOMPLETE
    assert result_of(tmp_path, outcomes[:1]).exit_code == EXIT_DONE


SLEEPER = """
import sys, time
from pathlib import Path
from convlstm.toolkits.runner import Outcome, run_tasks
def work(task):
    Path(sys.argv[1], str(task)).touch()
    time.sleep(60)
    return Outcome(str(task))
if __name__ == "__main__":
    run_tasks(work, [1, 2, 3], name=str, workers=2, description="sleeping")
"""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_no_process_is_left_of_a_killed_run(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    process = subprocess.Popen([sys.executable, str(tmp_path / "sleeper.py"), str(tmp_path)])
    wait_for(lambda: (tmp_path / "1").exists() and (tmp_path / "2").exists())
    listing = subprocess.run(
        ["ps", "--ppid", str(process.pid), "-o", "pid="], capture_output=True, text=True, check=True
    )
    workers = [int(pid) for pid in listing.stdout.split()]
    assert len(workers) >= 2
    process.kill()
    process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers) or not Path("/proc").exists())
    assert not (tmp_path / "3").exists()
