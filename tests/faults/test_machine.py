"""What a machine does to a training: memory that runs out, loader processes that die, signals. All of it real."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from convlstm.models.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "seq_length": 4,
    "stride": 1,
    "target_size": [64, 64],
    "batch_size": 4,
    "epochs": 400,
    "num_workers": 0,
    "device": "cpu",
    "precision": "32-true",
    "report_interval": 0,
    "tensorboard": False,
    "checkpoint_minutes": 0,
}


class Training:
    """A training in a process of its own."""

    def __init__(self, folder: Path, data: Path, *, memory: int | None = None, **settings: Any) -> None:
        self.run = folder / "runs" / "exp"
        values = {**SETTINGS, "data_root": str(data), "project": str(folder / "runs"), **settings}
        (folder / "config.yaml").write_text(yaml.safe_dump(values))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "convlstm", "train", "--config", str(folder / "config.yaml")],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if memory is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_AS, (memory, memory))

    def wait_for(self, path: str) -> None:
        deadline = time.monotonic() + 120
        while not (self.run / path).exists() and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        _, log = self.process.communicate(timeout=120)
        assert "Traceback" not in log
        return self.process.returncode, log

    def saved(self) -> tuple[int, int]:
        """Epoch and step of last.pth."""
        training = load_checkpoint(self.run / "weights" / "last.pth").training
        assert training is not None
        return training["epoch"], training["step"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_squares: Callable[..., Path]) -> Path:
    return write_squares(tmp_path_factory.mktemp("data"), num_sequences=6, num_frames=12)


def loaders_of(process: "subprocess.Popen[str]") -> list[int]:
    done = subprocess.run(["ps", "--ppid", str(process.pid), "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


def test_a_dead_loader_process_is_named_and_the_run_goes_on_from_its_last_step(tmp_path: Path, data: Path) -> None:
    training = Training(tmp_path, data, num_workers=2)
    training.wait_for("results.csv")
    os.kill(loaders_of(training.process)[0], signal.SIGKILL)
    code, log = training.end()
    assert code == 1
    last_line = log.splitlines()[-1]
    assert last_line.startswith("convlstm: data loading process ") and last_line.endswith(f"--resume {training.run}")
    assert training.saved()[1] >= 9  # of an epoch whose end was cut off, the steps


def test_memory_that_runs_out(tmp_path: Path, data: Path) -> None:
    training = Training(tmp_path, data, memory=6 << 30, target_size=[2048, 2048], batch_size=36, cache="none")
    code, log = training.end()
    assert code == 1
    assert f"out of memory at epoch 1, step 1: go on with --resume {training.run} --accumulate 2" in log
    assert training.saved() == (0, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_saves_what_the_last_step_left(tmp_path: Path, data: Path, number: int, workers: int) -> None:
    training = Training(tmp_path, data, num_workers=workers)
    training.wait_for("results.csv")
    time.sleep(0.3)
    before = training.saved()
    started = time.monotonic()
    training.process.send_signal(number)
    code, log = training.end()
    assert code == 128 + number and "what is finished is kept" in log
    assert time.monotonic() - started < 20  # one to two seconds on a machine of its own
    assert training.saved() >= before
    leftovers = [path for path in (training.run / "weights").iterdir() if path.suffix == ".tmp"]
    assert not leftovers


def test_a_signal_in_the_middle_of_long_steps(tmp_path: Path, write_squares: Callable[..., Path]) -> None:
    """As shipped, 640x640 and batches of 16: a step takes about a second on two cores."""
    data = write_squares(tmp_path / "data", num_sequences=4, num_frames=40)
    training = Training(
        tmp_path, data, target_size=[640, 640], seq_length=10, stride=3, batch_size=16, precision="auto"
    )
    training.wait_for("weights/last.pth")
    time.sleep(6)
    started = time.monotonic()
    training.process.send_signal(signal.SIGTERM)
    code, _ = training.end()
    assert code == 128 + signal.SIGTERM and training.saved()[0] == 0
    assert time.monotonic() - started < 20  # one to two seconds on a machine of its own
