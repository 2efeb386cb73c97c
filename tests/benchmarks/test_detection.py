"""The benchmark of detection, wholly, on a small network."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convlstm.benchmark.run import bench
from convlstm.cli import main
from convlstm.config import BenchConfig
from convlstm.errors import ConfigError, DataError
from convlstm.inference.engines.installed import is_installed
from convlstm.inference.engines.torch import has_bf16
from convlstm.models.checkpoint import Checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

ROOT = Path(__file__).resolve().parents[2]
ENGINE_ROWS = {"encode", "recurrence", "engine", "end to end"}
OTHER_ROWS = {"plain baseline", "decode", "mog2", "knn", "decode and mog2", "write"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = TemporalClassifier(stem="motion", differences="local")
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25))
    return path


@pytest.fixture(scope="module")
def video(
    tmp_path_factory: pytest.TempPathFactory,
    make_frames: Callable[..., list[NDArray[np.uint8]]],
    write_video: Callable[..., Path],
) -> Path:
    return write_video(tmp_path_factory.mktemp("clips") / "yard.mp4", make_frames(40))


@pytest.mark.slow
def test_a_quick_run_prints_tables_and_the_same_json_as_in_its_file(tmp_path: Path, weights: Path, video: Path) -> None:
    arguments = ["--weights", str(weights), "--source", str(video), "--quick", "--stream_fps", "50"]
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.detection", *arguments, "--output", str(tmp_path / "results")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout.splitlines()[-1])
    [file] = (tmp_path / "results").iterdir()
    assert json.loads(file.read_text(encoding="utf-8")) == report
    assert file.name.endswith(f"_{report['date']}.json")
    assert str(tmp_path) not in file.read_text(encoding="utf-8"), "where it ran is nobody's business"
    options = report["options"]
    assert (options["source"], options["source_size"], options["target_size"]) == ("yard.mp4", [64, 96], [64, 96])
    assert options["quick"] is True and options["frames"] == 16

    engines = {(row["engine"], row["precision"]) for row in report["rows"] if row["row"] in ENGINE_ROWS}
    assert ("torch", "32-true") in engines
    assert (("torch", "bf16-mixed") in engines) == has_bf16("cpu"), "emulated, it is no engine that anybody would take"
    for engine in ("onnx", "openvino"):
        assert ((engine, "32-true") in engines) == (is_installed(engine) and is_installed("export"))
    assert {row["row"] for row in report["rows"]} == ENGINE_ROWS | OTHER_ROWS
    assert len(report["rows"]) == len(OTHER_ROWS) + len(ENGINE_ROWS) * len(engines)
    for row in report["rows"]:
        assert row["frames_per_second"] == pytest.approx(row["frames"] / row["all_seconds"][0])
        assert f"{row['frames_per_second']:.1f}" in finished.stdout
        if row["row"] == "engine":
            assert row["largest_difference"] < (1e-3 if row["precision"] == "32-true" else 0.05)
    [process] = report["processes"]
    assert process["first_answer_seconds"] > 0.2 and process["weights"] == "file"
    assert process["peak_bytes"] is None or process["peak_bytes"] > 50e6
    assert [row["fps"] for row in report["streams"]] == [50] and report["streams"][0]["streams"] >= 1
    assert "measuring: 1 of 1" in finished.stderr


@pytest.mark.slow
def test_the_command_does_the_same(
    tmp_path: Path, weights: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", str(weights), "--source", str(video), "--engines", "torch", "--stream_fps", "500"]
    path = tmp_path / "bench.json"
    assert main(["bench", *arguments, "--device", "cpu", "--quick", "--json", str(path)]) == 0
    text = capsys.readouterr().out
    report = json.loads(path.read_text(encoding="utf-8"))
    assert {row["engine"] for row in report["rows"]} == {"", "torch"}
    assert "plain baseline" in text and "first answer" in text and "keep up" in text
    assert list(report["machine"]["matmul_tflops"]) == ["32-true", *["bf16-mixed"] * has_bf16("cpu")]


def test_what_cannot_be_measured(tmp_path: Path, weights: Path, video: Path) -> None:
    with pytest.raises(DataError, match=r"yard\.mp4: 5 frames are too few: 7 or more are needed"):
        bench(weights, BenchConfig(source=str(video), frames=5, engines=("torch",)))
    with pytest.raises(ConfigError, match="bench runs its baseline from a weights file"):
        bench(tmp_path, BenchConfig())


def test_an_engine_that_is_asked_for_must_be_installed(
    monkeypatch: pytest.MonkeyPatch, weights: Path, video: Path
) -> None:
    for package in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"needs the package onnx"):
        bench(weights, BenchConfig(source=str(video), engines=("onnx",)))
