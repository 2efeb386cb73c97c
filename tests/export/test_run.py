"""Exports end to end: what is written is what detection takes, and what is not good enough is not written."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convlstm.cli import main
from convlstm.config import ExportConfig, GraphFormat
from convlstm.errors import ConfigError, DataError
from convlstm.export import run
from convlstm.export.graphs import Scales
from convlstm.export.parity import measure_parity, synthetic_clip
from convlstm.export.run import ExportError, export
from convlstm.inference.engines.exported import load_exported
from convlstm.inference.engines.installed import is_installed
from convlstm.inference.engines.torch import TorchEngine
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

FORMATS: list[GraphFormat] = ["onnx", "openvino"]


@pytest.fixture(params=FORMATS, scope="module")
def kind(request: pytest.FixtureRequest) -> GraphFormat:
    kind: GraphFormat = request.param
    if not (is_installed(kind) and is_installed("export")):
        pytest.skip(f"needs the packages of engine {kind}: pip install -r requirements-engines.txt")
    return kind


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory, write_folder: Callable[..., Path]) -> Path:
    return write_folder(tmp_path_factory.mktemp("footage") / "frames", list(synthetic_clip(30, (64, 96))))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, footage: Path) -> Path:
    """Random weights with a threshold in the middle of what they say about the footage."""
    torch.manual_seed(0)
    model = TemporalClassifier(stem="motion", differences="both")
    with torch.no_grad():
        model.final_classifier.weight.mul_(10)
    checkpoint = Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25)
    heatmaps = [h.probabilities for h in Predictor(checkpoint, device="cpu", engine="torch")(footage)]
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    save_checkpoint(path, Checkpoint(**{**vars(checkpoint), "threshold": float(np.median(heatmaps))}))
    return path


def heatmaps_of(weights: Path, footage: Path, **options: str) -> NDArray[np.float32]:
    predictor = Predictor(weights, device="cpu", **options)  # type: ignore[arg-type]
    return np.stack([heatmap.probabilities for heatmap in predictor(footage)])


def test_an_export_runs_like_the_weights(kind: GraphFormat, weights: Path, footage: Path, tmp_path: Path) -> None:
    result = export(weights, output=tmp_path / "out", config=ExportConfig(format=kind))
    exported = load_exported(tmp_path / "out")
    assert result.exported == exported and result.digest == exported.digest
    assert exported.checkpoint_digest == load_checkpoint(weights).digest != exported.digest
    assert 0 < exported.parity["32-true"] < 1e-4 and exported.ap_loss is None
    assert 0 < result.compressed_size < result.size
    assert result.first_answer_seconds is not None and result.first_answer_seconds > 0.05
    wanted = heatmaps_of(weights, footage, engine="torch")
    found = heatmaps_of(tmp_path / "out", footage, precision="32-true")
    np.testing.assert_allclose(found, wanted, atol=1e-3, rtol=0)
    np.testing.assert_allclose(heatmaps_of(tmp_path / "out", footage), wanted, atol=run.BF16_TOLERANCE, rtol=0)


def test_the_mean_of_several_is_exported(weights: Path, tmp_path: Path) -> None:
    other = load_checkpoint(weights)
    save_checkpoint(tmp_path / "other.pth", replace(other, weights={n: 3 * w for n, w in other.weights.items()}))
    output = tmp_path / "mean.safetensors"
    arguments = ["--weights", str(weights), "--average_with", str(tmp_path / "other.pth"), "--output", str(output)]
    assert main(["export", *arguments]) == 0
    mean = load_checkpoint(output)
    for name, weight in mean.weights.items():
        torch.testing.assert_close(weight, 2 * other.weights[name])
    assert mean.threshold == other.threshold


def test_networks_that_differ_are_not_averaged(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mean.safetensors"
    arguments = ["--weights", str(weights), "--average_with", "shipped", "--output", str(output)]
    assert main(["export", *arguments]) == 2
    assert f"shipped holds another network than {weights}: only" in capsys.readouterr().err
    assert not output.exists()


def test_bf16_is_judged_where_nothing_here_has_it(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (is_installed("onnx") and is_installed("export")):
        pytest.skip("needs the packages of engine onnx: pip install -r requirements-engines.txt")
    monkeypatch.setattr(run, "is_installed", lambda purpose: False)
    exported = export(weights, output=tmp_path / "out", config=ExportConfig(format="onnx")).exported
    assert exported is not None
    checkpoint = load_checkpoint(weights)
    exact, emulated = (TorchEngine(checkpoint, device="cpu", precision=p) for p in ("32-true", "bf16-mixed"))
    difference = exported.parity["bf16-mixed"]
    assert difference == pytest.approx(measure_parity(exact, emulated), rel=1e-3) and difference > 1e-3
    assert exported.auto_precision == ("bf16-mixed" if difference <= run.BF16_TOLERANCE else "32-true")


def test_int8_is_calibrated_and_judged(
    kind: GraphFormat, weights: Path, footage: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = ExportConfig(format=kind, int8=True, calibration=str(footage), max_ap_loss=0.2)
    with caplog.at_level(logging.INFO, logger="convlstm"):
        export(weights, output=tmp_path / "int8", config=config)
    assert f"calibrated on 18 frames of {footage}" in caplog.messages
    exported = load_exported(tmp_path / "int8")
    assert exported.int8 and exported.ap_loss is not None and exported.ap_loss < 0.2
    assert exported.parity["32-true"] > 1e-4  # it is rounded
    wanted = heatmaps_of(weights, footage, engine="torch")
    assert np.abs(heatmaps_of(tmp_path / "int8", footage) - wanted).max() < 0.3
    plain = export(weights, output=tmp_path / "plain", config=ExportConfig(format=kind))
    assert sum(len(data) for data in exported.files.values()) < 0.75 * plain.size


def test_int8_that_loses_too_much_is_refused(
    kind: GraphFormat, weights: Path, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = Scales((50.0,) * 4)
    monkeypatch.setattr(run, "calibrate", lambda checkpoint, chunks: [*chunks] and coarse)
    config = ExportConfig(format=kind, int8=True, calibration=str(footage))
    with pytest.raises(ExportError, match=r"int8 loses 0\.\d{4} of the average precision on .*, more than 0\.005: "):
        export(weights, output=tmp_path / "int8", config=config)
    assert not (tmp_path / "int8").exists()


def test_graphs_that_differ_are_refused(
    kind: GraphFormat, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FLOAT32_TOLERANCE", 1e-12)
    with pytest.raises(ExportError, match=f"heatmaps of the {kind} graphs differ by .* from torch's"):
        export(weights, output=tmp_path / "out", config=ExportConfig(format=kind))
    assert not (tmp_path / "out").exists()


def test_bf16_that_differs_is_not_taken_by_itself(
    kind: GraphFormat, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BF16_TOLERANCE", 1e-12)
    result = export(weights, output=tmp_path / "out", config=ExportConfig(format=kind))
    assert result.exported is not None and result.exported.auto_precision == "32-true"


def test_the_command_says_what_it_measured(
    kind: GraphFormat, weights: Path, footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["export", "--weights", str(weights), "--format", kind, "--output", str(output)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"weights: {output} ({load_exported(output).digest[:12]})"
    assert re.fullmatch(r"size: \d\.\d\d MB, \d\.\d\d MB compressed", lines[1])
    assert re.fullmatch(r"largest difference from torch in float32, 32-true: \S+", lines[2])
    assert re.fullmatch(r"first answer of a new process: \d+\.\d s", lines[-1])
    detect = ["detect", "--source", str(footage), "--weights", str(output), "--output", str(tmp_path / "results")]
    assert main([*detect, "--engine", kind, "--mode", "stateful"]) == 0
    assert len((tmp_path / "results" / "results.jsonl").read_text().splitlines()) == 9
    metadata = json.loads((output / "metadata.json").read_text())
    metadata["threshold"] = 0.9
    (output / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n")
    assert main(detect) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("does not match its digest: it was damaged or altered")


def test_too_little_footage(
    kind: GraphFormat, weights: Path, tmp_path: Path, write_folder: Callable[..., Path]
) -> None:
    short = write_folder(tmp_path / "short", list(synthetic_clip(3, (64, 96))))
    config = ExportConfig(format=kind, int8=True, calibration=str(short))
    with pytest.raises(DataError, match="short: 3 frames are too few to calibrate on"):
        export(weights, output=tmp_path / "out", config=config)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("graphs.onnx", "graphs go into a folder: name it "),
        ("x.safetensors", "graphs go into a folder: name it "),
        ("file", "a file of that name is there: name a folder"),
        ("full", "holds other files than an export: name an empty or a new folder"),
    ],
)
def test_where_graphs_cannot_go(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("")
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path / name}: {message}")):
        export("shipped", output=tmp_path / name, config=ExportConfig(format="onnx"))


def test_an_export_may_be_written_again(kind: GraphFormat, weights: Path, tmp_path: Path) -> None:
    first, second = (export(weights, output=tmp_path / "out", config=ExportConfig(format=kind)) for _ in range(2))
    assert first.path == second.path == tmp_path / "out"
    assert load_exported(tmp_path / "out").digest == second.digest  # OpenVINO's files carry numbers that count on


@pytest.mark.pure
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"int8": True, "format": "onnx"}, "--int8 needs --calibration SOURCE"),
        ({"int8": True, "calibration": "x"}, "--int8 needs --format onnx or openvino, got auto"),
        ({"calibration": "x"}, "calibration has no meaning without --int8: leave it out"),
        ({"max_ap_loss": 0.1}, "max_ap_loss has no meaning without --int8: leave it out"),
        ({"max_ap_loss": 0}, "max_ap_loss must be greater than 0 and at most 1, got 0"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ExportConfig(**settings)  # type: ignore[arg-type]
