"""Which engine runs which weights."""

import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convlstm.config import DetectPrecision, EngineName, ModelConfig
from convlstm.errors import CheckpointError, ConfigError
from convlstm.inference.engines.exported import GRAPHS, ExportedModel, load_exported, save_exported
from convlstm.inference.engines.installed import is_installed
from convlstm.inference.open import _fastest, _takes_graphs, open_engine
from convlstm.models.checkpoint import Checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

needs_openvino = pytest.mark.skipif(
    not (is_installed("openvino") and is_installed("export")), reason="needs openvino and onnx"
)
needs_onnx = pytest.mark.skipif(not (is_installed("onnx") and is_installed("export")), reason="needs onnxruntime, onnx")


def make_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = TemporalClassifier(ModelConfig(stem="motion"))
    return Checkpoint(model.state_dict(), model.config, 3, (64, 96), threshold=0.5, fps=25)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export as ONNX files."""
    if not is_installed("export"):
        pytest.skip("needs the package onnx")
    from convlstm.export.graphs import in_memory

    save_exported(tmp_path / "export", in_memory(make_checkpoint()))
    return tmp_path / "export"


@pytest.mark.parametrize(
    ("installed", "precision", "wanted"),
    [
        ({"openvino", "onnx", "export"}, "auto", "openvino"),
        ({"openvino", "onnx", "export"}, "bf16-mixed", "openvino"),
        ({"openvino", "export"}, "32-true", "openvino"),
        ({"onnx", "export"}, "auto", "onnx"),
        ({"onnx", "export"}, "bf16-mixed", "torch"),
        ({"openvino", "onnx"}, "auto", "torch"),
        (set(), "auto", "torch"),
    ],
)
def test_auto_takes_the_fastest(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], precision: str, wanted: EngineName
) -> None:
    monkeypatch.setattr("convlstm.inference.open.is_installed", lambda purpose: purpose in installed)
    assert _fastest(precision) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("installed", "engine", "device", "precision", "wanted"),
    [
        ({"openvino"}, "auto", "auto", "auto", True),
        ({"openvino"}, "auto", "cpu", "bf16-mixed", True),
        ({"onnx"}, "auto", "auto", "auto", True),
        ({"onnx"}, "auto", "auto", "bf16-mixed", False),
        ({"onnx"}, "onnx", "auto", "auto", True),
        ({"openvino", "onnx"}, "torch", "cpu", "auto", False),
        (set(), "auto", "auto", "auto", False),
    ],
)
def test_shipped_weights_run_as_graphs(
    monkeypatch: pytest.MonkeyPatch,
    installed: set[str],
    engine: EngineName,
    device: str,
    precision: DetectPrecision,
    wanted: bool,
) -> None:
    monkeypatch.setattr("convlstm.inference.open.is_installed", lambda purpose: purpose in installed)
    monkeypatch.setattr("convlstm.inference.open._is_without_gpu", lambda: True)
    assert _takes_graphs(engine, device, precision) == wanted


@pytest.mark.parametrize(("found", "wanted"), [("cpu", True), ("cuda", False)])
def test_torch_is_asked_where_a_driver_shows_a_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: str, wanted: bool
) -> None:
    monkeypatch.setattr("convlstm.inference.open.is_installed", lambda purpose: True)
    monkeypatch.setattr("convlstm.inference.open.GPU_DEVICES", (str(tmp_path),))
    monkeypatch.setattr("convlstm.inference.engines.torch.resolve_device", lambda device: torch.device(found))
    assert _takes_graphs("auto", "auto", "auto") == wanted


def test_torch_runs_files_and_checkpoints(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_checkpoint(tmp_path / "best.pth", make_checkpoint())
    with caplog.at_level(logging.INFO, logger="convlstm"):
        for weights in (tmp_path / "best.pth", str(tmp_path / "best.pth"), make_checkpoint()):
            assert open_engine(weights, engine="torch", device="cpu").name == "torch"
    assert caplog.messages[-1] == "engine: torch, precision 32-true"


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such weights file"):
        open_engine(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="not an export"):
        open_engine(tmp_path)


def test_torch_does_not_run_an_export(folder: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("engine torch needs a weights file, .pth or .safetensors")):
        open_engine(folder, engine="torch")


@needs_onnx
def test_onnx_runs_its_files_on_the_cpu_in_float32(folder: Path) -> None:
    assert open_engine(folder, engine="onnx").name == "onnx"
    with pytest.raises(ConfigError, match="engine onnx computes on the CPU, got device 'cuda': use auto or cpu"):
        open_engine(folder, engine="onnx", device="cuda")
    with pytest.raises(ConfigError, match="engine onnx computes in float32 only"):
        open_engine(folder, engine="onnx", precision="bf16-mixed")
    foreign = ExportedModel(**{**vars(load_exported(folder)), "format": "openvino"})
    files = {f"{name}{ending}": b"" for name in GRAPHS for ending in (".xml", ".bin")}
    save_exported(folder.parent / "openvino", replace(foreign, files=files))
    with pytest.raises(ConfigError, match="engine onnx cannot run openvino files: use --engine openvino"):
        open_engine(folder.parent / "openvino", engine="onnx")


@needs_onnx
@needs_openvino
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_sealed_files_that_are_no_graphs(folder: Path, name: EngineName) -> None:
    files = {f"{graph}.onnx": b"no graph" for graph in GRAPHS}
    save_exported(folder, replace(load_exported(folder), files=files))
    with pytest.raises(CheckpointError, match="cannot load the export: ") as caught:
        open_engine(folder, engine=name)
    assert "\n" not in str(caught.value)


@needs_openvino
def test_openvino_reads_onnx_files_too(folder: Path) -> None:
    engine = open_engine(folder)
    assert (engine.name, engine.precision) == ("openvino", "32-true")
    with pytest.raises(ConfigError, match=re.escape("made for frames of 64x96, got 32x32: use --engine torch")):
        engine.encode(np.zeros((1, 32, 32, 3), dtype=np.uint8))


@pytest.mark.parametrize("supported", [True, False])
def test_bf16_that_is_slower_is_told(
    supported: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    caplog.set_level(logging.WARNING)
    open_engine(make_checkpoint(), engine="torch", device="cpu")
    assert caplog.messages == []
    open_engine(make_checkpoint(), engine="torch", device="cpu", precision="bf16-mixed")
    slow = "this device has no bf16 of its own: --precision bf16-mixed is slower than 32-true here"
    assert caplog.messages == ([] if supported else [slow])


@needs_openvino
@pytest.mark.parametrize("has_bf16", [False, True])
def test_bf16_only_where_the_processor_has_it(folder: Path, has_bf16: bool) -> None:
    from convlstm.inference.engines.openvino import resolve_precision

    good = replace(load_exported(folder), auto_precision="bf16-mixed")
    assert resolve_precision(good, "auto", has_bf16=has_bf16) == ("bf16-mixed" if has_bf16 else "32-true")
    assert resolve_precision(replace(good, auto_precision="32-true"), "auto", has_bf16=has_bf16) == "32-true"
    assert resolve_precision(good, "32-true", has_bf16=has_bf16) == "32-true"
    if has_bf16:
        assert resolve_precision(good, "bf16-mixed", has_bf16=True) == "bf16-mixed"
    else:
        with pytest.raises(ConfigError, match="this processor has no bf16"):
            resolve_precision(good, "bf16-mixed", has_bf16=False)


@needs_openvino
def test_an_export_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys\nfrom convlstm.inference.predictor import Predictor\nimport convlstm.detection\n"
        "engine = Predictor(sys.argv[1]).engine\n"
        "slow = {'torch', 'onnx', 'matplotlib', 'lightning_fabric'} & set(sys.modules)\n"
        "sys.exit(f'{engine.name} imported {slow}' if slow else 0)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
