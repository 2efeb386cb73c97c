"""Run folders: one for each of many, one process in each."""

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convlstm.config import TrainConfig
from convlstm.errors import TrainingError
from convlstm.training import run_folder
from convlstm.training.run_folder import has_checkpoint, hold_run_folder, last_checkpoint, make_run_folder

HOLD = """
import sys, time
from pathlib import Path
from convlstm.training.run_folder import hold_run_folder
with hold_run_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def _make(
    config: TrainConfig, barrier: "multiprocessing.synchronize.Barrier", names: "multiprocessing.Queue[str]"
) -> None:
    barrier.wait()
    names.put(make_run_folder(config).name)


def test_fifty_runs_started_at_once_have_fifty_folders(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, names = context.Barrier(50), context.Queue()
    config = TrainConfig(project=tmp_path / "runs", name="exp")
    processes = [context.Process(target=_make, args=(config, barrier, names)) for _ in range(50)]
    for process in processes:
        process.start()
    found = {names.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    expected = {"exp", *(f"exp{number}" for number in range(2, 51))}
    assert found == expected == {path.name for path in (tmp_path / "runs").iterdir()}
    assert all((tmp_path / "runs" / name / "weights").is_dir() for name in expected)


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@pytest.mark.slow
def test_a_run_belongs_to_one_process(
    tmp_path: Path, holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "SECONDS_TO_WAIT", 0.2)
    with pytest.raises(TrainingError, match="another process is training in this run"), hold_run_folder(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with hold_run_folder(tmp_path):  # the system has let go for it
        pass


@pytest.mark.slow
def test_a_process_that_is_just_ending_is_waited_for(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    started = time.monotonic()
    subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {holder.pid}"]).wait()
    with hold_run_folder(tmp_path):
        assert time.monotonic() - started < run_folder.SECONDS_TO_WAIT
    holder.communicate()


def test_nothing_saved_yet(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    assert not has_checkpoint(tmp_path)
    with pytest.raises(TrainingError, match=r"nothing to resume: no weights/last\.pth; start the training anew"):
        last_checkpoint(tmp_path)
    (tmp_path / "weights" / "last.previous.pth").write_bytes(b"")
    assert has_checkpoint(tmp_path)
