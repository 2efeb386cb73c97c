"""The benchmark of training: what it compares computes the same, and both people and programs can read the result."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import training
from benchmarks.measure import TimedTrainer, measure_ours, train_config, window_flops
from benchmarks.plain_baseline import PlainDataset
from convlstm.benchmark.results import save_report
from convlstm.config import TrainConfig
from convlstm.models import stem
from convlstm.training import run
from convlstm.utils.data.dataset import WindowDataset
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.sequences import open_sequences

ROOT = Path(__file__).resolve().parents[2]


def finished(row: str, **changes: Any) -> dict[str, Any]:
    figures = {
        "row": row,
        "title": row,
        "precision": "32-true",
        "train_windows": 8,
        "val_windows": 4,
        "first_epoch_seconds": 9.0,
        "epoch_seconds": 6.0,
        "frames_per_second": 20.0,
        "data_wait": 0.25,
        "step_seconds": 2.0,
        "step_windows": 4,
        "peak_bytes": 2**31,
        "worker_peak_bytes": 2**30,
        "gpu_peak_bytes": None,
    }
    return figures | changes


MACHINE = {
    "cpu": "Example CPU (R) 2.0",
    "gpu": None,
    "window_gflop": 100.0,
    "matmul_tflops": {"32-true": 0.4, "bf16-mixed": 1.6},
}


@pytest.mark.slow
def test_a_small_run_prints_a_table_and_the_same_json_as_in_its_file(tmp_path: Path) -> None:
    options = {"size": "64", "frames": "16", "batch_size": "2", "epochs": "2", "num_workers": "0"}
    flags = [f"--{name}={value}" for name, value in options.items()]
    rows = ["--sequences", "2", "2", "--rows", "plain", "ours", "float32"]
    finished_run = subprocess.run(
        [sys.executable, "benchmarks/training.py", *flags, *rows, "--output", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished_run.returncode == 0, finished_run.stderr
    lines = finished_run.stdout.splitlines()
    report = json.loads(lines[-1])
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text(encoding="utf-8")) == report
    assert file.name.endswith(f"_{report['date']}.json")
    assert str(tmp_path) not in file.read_text(encoding="utf-8"), "where it ran is nobody's business"

    head = next(i for i, line in enumerate(lines) if line.startswith("row"))
    assert [line.split()[0] for line in lines[head + 1 : head + 4]] == ["plain", "ours", "float32"]
    plain, ours, best = report["rows"]
    assert plain["epoch_speedup"] == plain["step_speedup"] == 1
    for row in report["rows"]:
        assert (row["train_windows"], row["val_windows"], row["step_windows"]) == (6, 6, 2)
        assert len(row["all_epoch_seconds"]) == 2
        assert row["epoch_seconds"] == pytest.approx(sum(row["all_epoch_seconds"]) / 2)
        assert row["frames_per_second"] == pytest.approx(12 * 10 / row["epoch_seconds"])
        assert row["epoch_speedup"] == pytest.approx(plain["epoch_seconds"] / row["epoch_seconds"])
        assert row["tflops"] == pytest.approx(report["machine"]["window_gflop"] * 2 / row["step_seconds"] / 1e3)
        assert 0 <= row["data_wait"] <= 1 and row["peak_bytes"] > 2**27
        assert row["precision"] == "32-true"
        # From the same weights on the same windows: the rows differ in order, EMA and the warm-up of the rate.
        assert row["val_loss"] == pytest.approx(plain["val_loss"], abs=0.1)
    assert not ours["settings"]["channels_last"] and best["settings"]["cache"] == "disk"


@pytest.mark.slow
@pytest.mark.parametrize("is_on", [False, True])
def test_measures_without_a_setting_are_switched_off(
    is_on: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_frames: Callable[..., Any],
    write_folder: Callable[..., Path],
) -> None:
    lines = ["folder_name,type,split"]
    for name, kind, split in (("a", "static", "train"), ("b", "dynamic", "val")):
        write_folder(tmp_path / "data" / name, make_frames(10, 64, 64))
        lines.append(f"{name},{kind},{split}")
    (tmp_path / "data" / "data.csv").write_text("\n".join(lines), encoding="utf-8")
    seen: list[object] = []

    def look(trainer: TimedTrainer, num_windows: int) -> float:
        features = stem.new_features((1, 3, 64, 64), torch.device("cpu"))
        seen.append(features.is_contiguous(memory_format=torch.channels_last))
        seen.append(trainer.model.cell.conv_x.weight.is_contiguous(memory_format=torch.channels_last))
        return 1.0

    monkeypatch.setattr(run, "reuse_freed_memory", lambda: seen.append("keeps memory"))
    monkeypatch.setattr(TimedTrainer, "time_steps", look)
    folders = (str(tmp_path / "data"), str(tmp_path))
    job = training.Job("ours", "", *folders, 64, "rgb", 1, 1, 0, dict(training.PLAIN), is_on, is_on)
    assert measure_ours(job)["train_windows"] == 1
    assert seen == (["keeps memory", True, True] if is_on else [False, False])


def test_the_plain_dataset_gives_the_same_clips(
    tmp_path: Path, make_frames: Callable[..., Any], write_folder: Callable[..., Path]
) -> None:
    write_folder(tmp_path / "a", make_frames(16, 64, 96))
    (tmp_path / "data.csv").write_text("folder_name,type\na,dynamic\n", encoding="utf-8")
    config = TrainConfig(data_root=tmp_path, target_size=(64, 64), stem="motion")
    rows = read_manifest(tmp_path, config.manifest, config.classes)
    ours = WindowDataset(open_sequences(rows, config)[0], config)
    plain = PlainDataset(rows, config)
    assert len(plain) == len(ours) == 3
    for window in range(3):
        clip, label = plain[window]
        assert label == 1.0
        expected = ours.read_clip(window).permute(0, 3, 1, 2) / 255
        assert clip.shape == expected.shape == (19, 3, 64, 64)
        assert (clip - expected).abs().mean() < 0.02, "they differ by how they shrink, no more"


def test_the_work_of_a_window_is_counted_without_the_gradient_of_its_pixels() -> None:
    def products(inputs: int, outputs: int, side: int, kernel: int = 3) -> int:
        return 2 * inputs * outputs * side * side * kernel * kernel

    channels, sides = (3, 16, 32, 64, 128, 64), (32, 16, 8, 4, 2)
    encoder = [products(channels[i], channels[i + 1], sides[i]) for i in range(5)]
    recurrent = products(64, 128, 2) + products(32, 128, 2)
    forward = 10 * (sum(encoder) + recurrent) + products(32, 1, 2, kernel=1)
    first_state = products(32, 128, 2)  # zeros, whose gradient nobody needs
    job = training.Job("machine", "", "", "", 64, "rgb", 1, 1, 0, dict(training.PLAIN))
    assert window_flops(train_config(job)) == 3 * forward - 10 * encoder[0] - first_state


def test_each_row_adds_one_measure_to_the_row_before() -> None:
    rows = {name: settings for name, (_, settings) in training.ROWS.items()}
    chain = [rows[name] for name, _, _ in training.MEASURES]
    for before, after in pairwise(chain):
        assert len(before.items() ^ after.items()) == 2
    assert dict(chain[0].items() ^ rows["plain"].items()) == training.WITHOUT_SETTING
    changes = [dict(rows[name].items() - rows["windows4"].items()) for name in ("compile", "augment", "float32")]
    assert changes == [{"compile": True}, {"augment": True}, {"precision": "32-true"}]


def test_a_rows_process_is_told_its_settings(tmp_path: Path) -> None:
    options = training.parse_options(["--size", "96", "--epochs", "3"])
    ours, bf16 = (training.make_job(row, options, tmp_path, tmp_path) for row in ("ours", "bf16"))
    assert (ours.keeps_memory, ours.channels_last) == (False, False)
    assert (bf16.keeps_memory, bf16.channels_last) == (True, True)
    config = train_config(bf16)
    assert (config.target_size, config.epochs, config.cache, config.precision) == ((96, 96), 4, "disk", "auto")
    assert not config.augment and train_config(training.make_job("augment", options, tmp_path, tmp_path)).augment


def test_rows_are_compared_with_the_plain_one_and_with_the_machine() -> None:
    plain, fast = finished("plain"), finished("fast", epoch_seconds=1.5, step_seconds=0.5, precision="bf16-mixed")
    training.compare([plain, {"row": "broken", "error": "no compiler"}, fast], MACHINE)
    assert (fast["epoch_speedup"], fast["step_speedup"]) == (4, 4)
    assert (plain["tflops"], plain["matmul_share"]) == (0.2, 0.5)
    assert (fast["tflops"], fast["matmul_share"]) == (0.8, 0.5)


def test_without_the_plain_row_there_is_no_ratio() -> None:
    row = finished("ours")
    training.compare([row], MACHINE)
    assert row["epoch_speedup"] is None
    assert training.table([row]).splitlines()[1].split()[:4] == ["ours", "ours", "-", "-"]


def test_rows_that_saw_other_windows_do_not_count() -> None:
    plain, other = finished("plain"), finished("ours", train_windows=9)
    training.compare([plain, other], MACHINE)
    assert other["error"].startswith("saw (9, 4) windows, plain saw (8, 4)")
    assert "epoch_speedup" not in other and plain["epoch_speedup"] == 1


def test_the_table_is_aligned_and_names_what_failed() -> None:
    rows = [finished("plain"), finished("fast", epoch_seconds=1234.5), {"row": "compile", "error": "no compiler"}]
    training.compare(rows, MACHINE)
    head, first, second, failed = training.table(rows).splitlines()
    end = head.index("epoch s", head.index("1st epoch s") + len("1st epoch s")) + len("epoch s")
    assert first[:end].endswith(" 6.00") and second[:end].endswith(" 1234.50")
    assert failed == "compile  failed: no compiler"


def test_results_of_one_day_stand_beside_each_other(tmp_path: Path) -> None:
    report = {"date": "2030-01-02"}
    names = [save_report(report, tmp_path / "results", MACHINE).name for _ in range(2)]
    assert names == ["example-cpu-r-2-0_2030-01-02.json", "example-cpu-r-2-0_2030-01-02_2.json"]


def test_what_is_asked_for_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, message in ((["--epochs", "0"], "--epochs must be at least 1, got 0"), (["--rows", "fast"], "fast")):
        with pytest.raises(SystemExit, match="2"):
            training.parse_options(wrong)
        assert message in capsys.readouterr().err
