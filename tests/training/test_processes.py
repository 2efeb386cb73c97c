"""Several processes that train together: real ones, started by torchrun and by `--devices`, over gloo."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from convlstm.config import TrainConfig
from convlstm.errors import ConfigError
from convlstm.models.checkpoint import load_checkpoint
from convlstm.training.processes import num_processes, start_fabric

SETTINGS: dict[str, Any] = {
    "seq_length": 4,
    "stride": 2,
    "target_size": [64, 64],
    "batch_size": 4,
    "epochs": 1,
    "lr": 5e-4,  # Adam turns rounding of gradients near zero into steps of the size of the rate
    "num_workers": 0,
    "device": "cpu",
    "precision": "32-true",
    "report_interval": 0,
    "tensorboard": False,
}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TRAIN = ("-m", "convlstm", "train")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_squares: Callable[..., Path]) -> Path:
    """Eight sequences to train on and four to validate: 20 training windows are 5 steps."""
    root = write_squares(tmp_path_factory.mktemp("data"), num_sequences=14, num_frames=6)
    lines = (root / "data.csv").read_text().splitlines()
    split = [f"{line},{'train' if number < 10 else 'val'}" for number, line in enumerate(lines[1:])]
    (root / "data.csv").write_text("\n".join([f"{lines[0]},split", *split]) + "\n")
    return root


class Runner:
    def __init__(self, data: Path, folder: Path) -> None:
        self.data, self.folder = data, folder

    def command(self, name: str, *launcher: str, **settings: Any) -> list[str]:
        values = {**SETTINGS, "data_root": str(self.data), "project": str(self.folder), "name": name, **settings}
        config = self.folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(values))
        return [sys.executable, *launcher, "--config", str(config)]

    def run(self, name: str, *launcher: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(name, *launcher, **settings), env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    def weights(self, name: str) -> torch.Tensor:
        training = load_checkpoint(self.folder / name / "weights" / "last.pth").training
        assert training is not None
        return torch.cat([tensor.flatten() for tensor in training["weights"].values()])

    def results(self, name: str) -> list[float]:
        """The row of the last epoch, without learning rate and times."""
        row = (self.folder / name / "results.csv").read_text().splitlines()[-1]
        return [float(value) for value in row.split(",")[:-3] if value]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def runner(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    runner = Runner(data, tmp_path_factory.mktemp("runs"))
    runner.run("alone", *TRAIN)
    return runner


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "launcher", "settings"),
    [
        ("torchrun", (*TORCHRUN, *TRAIN), {}),
        ("devices", TRAIN, {"devices": 2}),
        ("accumulated", TRAIN, {"accumulate": 4}),
        ("both", (*TORCHRUN, *TRAIN), {"accumulate": 2, "num_workers": 1}),
    ],
)
def test_parts_of_a_batch_give_what_the_whole_gives(
    runner: Runner, name: str, launcher: tuple[str, ...], settings: dict[str, Any]
) -> None:
    """Five steps; augmentation is on: it does not depend on who does it."""
    done = runner.run(name, *launcher, **settings)
    torch.testing.assert_close(runner.weights(name), runner.weights("alone"), atol=1e-5, rtol=0)
    assert runner.results(name) == pytest.approx(runner.results("alone"), abs=1e-5)
    assert done.stdout.count("best weights:") == 1  # only the first process speaks and writes
    assert {path.name for path in (runner.folder / name).iterdir()} == {
        ".lock",
        "args.yaml",
        "results.csv",
        "results.png",
        "weights",
    }
    assert done.stderr.count("20 training and 8 validation windows") == 1


@pytest.mark.slow
def test_a_launcher_that_only_sets_the_environment(runner: Runner) -> None:
    """As Ray, Kubeflow and others do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = runner.command("launched", *TRAIN)
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(command, env={**ENVIRONMENT, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    torch.testing.assert_close(runner.weights("launched"), runner.weights("alone"), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_process_without_windows_takes_part(runner: Runner) -> None:
    """Batches of one window leave the second process without any."""
    runner.run("single_alone", *TRAIN, batch_size=1)
    runner.run("single_both", *TORCHRUN, *TRAIN, batch_size=1)
    torch.testing.assert_close(runner.weights("single_both"), runner.weights("single_alone"), atol=1e-4, rtol=0)


def children_of(parent: int) -> list[int]:
    done = subprocess.run(["ps", "--ppid", str(parent), "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(pid) for pid in done.stdout.split()]


def wait_for_steps(run: Path, process: "subprocess.Popen[str]", step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (run / "weights" / "last.previous.pth").exists():
            training = load_checkpoint(run / "weights" / "last.previous.pth").training
            if training is not None and training["step"] >= step:
                return
        time.sleep(0.02)
    pytest.fail(f"no step {step}")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_starts_a_killed_process_again(runner: Runner, rank: int) -> None:
    """Both processes are started again by torchrun, go on from the last checkpoint, and end where they would have."""
    settings = {"epochs": 6, "checkpoint_steps": 1, "scheduler": "none"}
    if not (runner.folder / "never_killed").exists():
        runner.run("never_killed", *TORCHRUN, *TRAIN, **settings)
    name = f"killed{rank}"
    command = runner.command(name, *TORCHRUN, "--max-restarts", "3", *TRAIN, "--resume", "auto", **settings)
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for_steps(runner.folder / name, process, 4)
    os.kill(sorted(children_of(process.pid))[rank], signal.SIGKILL)
    _, log = process.communicate(timeout=240)
    assert process.returncode == 0, log
    assert re.search(r"going on after step \d+", log)
    assert torch.equal(runner.weights(name), runner.weights("never_killed"))


@pytest.mark.slow
def test_a_signal_to_one_process_ends_all_with_a_checkpoint(runner: Runner) -> None:
    command = runner.command("told", *TRAIN, devices=2, epochs=500, checkpoint_minutes=0)
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    results = runner.folder / "told" / "results.csv"
    deadline = time.monotonic() + 120
    while not results.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, log
    training = load_checkpoint(runner.folder / "told" / "weights" / "last.pth").training
    assert training is not None and training["step"] >= 5


def test_a_process_that_is_done_leaves_the_group_before_it_ends() -> None:
    code = (
        "import atexit\nimport torch.distributed as group\n"
        "from convlstm.training.processes import leave_group_at_exit\n"
        "group.init_process_group('gloo', store=group.HashStore(), rank=0, world_size=1)\n"
        "atexit.register(lambda: print('still in it:', group.is_initialized()))\n"  # the last registered acts first
        "leave_group_at_exit()\nprint('in it:', group.is_initialized())"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.splitlines() == ["in it: True", "still in it: False"]


def test_torchrun_says_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(devices=3, num_nodes=5)
    assert num_processes(config) == (3, 5)
    for name, value in {"RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    assert num_processes(config) == (8, 2)
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert num_processes(config) == (16, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "cuda"}, "device 'cuda' cannot be used: "),
        ({"device": "tpu9"}, "device 'tpu9' cannot be used: "),
        ({"device": "cuda", "devices": 2}, "device 'cuda' with 2 devices on 1 nodes cannot be used: "),
    ],
)
def test_devices_that_are_not_there(settings: dict[str, Any], message: str) -> None:
    if settings["device"] == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match=message):
        start_fabric(TrainConfig(**settings))
