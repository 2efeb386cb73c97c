"""The weights that come with the package: where they are, what they are, and that they are installed with it."""

import os
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path

import pytest

import convlstm
from convlstm.config import EngineName
from convlstm.errors import CheckpointError
from convlstm.inference.engines.exported import load_exported
from convlstm.inference.engines.installed import is_installed
from convlstm.shipped import resolve_weights, shipped_graphs, shipped_weights

ROOT = Path(__file__).resolve().parents[1]


def test_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # wherever one works
    path = convlstm.shipped_weights()
    assert path == shipped_weights() == Path(str(files("convlstm"))) / "assets" / "shipped.safetensors"
    assert path.is_absolute() and path.stat().st_size < 2e6


def test_they_are_whole_and_fit_the_network() -> None:
    checkpoint = convlstm.load_checkpoint(shipped_weights())
    assert checkpoint.model.classes == ("static", "dynamic") and checkpoint.model.stem == "motion"
    assert checkpoint.metrics and checkpoint.training is None and len(checkpoint.digest) == 64
    assert not checkpoint.build_model().training


def test_their_graphs_are_of_the_same_network() -> None:
    checkpoint, exported = convlstm.load_checkpoint(shipped_weights()), load_exported(shipped_graphs())
    assert (exported.checkpoint_digest, exported.model) == (checkpoint.digest, checkpoint.model)
    assert (exported.seq_length, exported.target_size) == (checkpoint.seq_length, checkpoint.target_size)
    assert (exported.threshold, exported.fps) == (checkpoint.threshold, checkpoint.fps)
    assert exported.format == "onnx" and exported.auto_precision == "bf16-mixed"
    assert sum(len(data) for data in exported.files.values()) < 2e6


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_their_graphs_run_without_torch(engine: EngineName) -> None:
    if not is_installed(engine):
        pytest.skip(f"needs the packages of engine {engine}: pip install -r requirements-engines.txt")
    code = (
        "import sys\nfrom convlstm.inference.open import open_engine\n"
        f"engine = open_engine('shipped', engine='{engine}')\n"
        "print(engine.name, engine.weights.target_size, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == f"{engine} (640, 640) False\n"


def test_a_file_called_shipped_is_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shipped").write_bytes(b"mine")
    assert resolve_weights("shipped") == shipped_weights()
    for mine in ("./shipped", Path("shipped"), str(tmp_path / "shipped")):
        assert resolve_weights(mine).read_bytes() == b"mine"
    assert resolve_weights("runs/best.pth") == Path("runs/best.pth")


def test_an_installation_without_them_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("convlstm.shipped.files", lambda package: tmp_path)
    with pytest.raises(CheckpointError, match="the weights that come with the package are missing: install it again"):
        shipped_weights()


def test_naming_them_does_not_import_torch() -> None:
    code = "import convlstm, sys; convlstm.shipped_weights(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_they_are_part_of_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for name in ("assets/shipped.safetensors", "assets/shipped_onnx/encoder.onnx", "assets/MODEL_CARD.md"):
        assert (ROOT / "convlstm" / name).is_file()
        assert any(fnmatch(name, pattern) for pattern in settings["package-data"]["convlstm"]), name


def test_the_card_says_what_the_weights_are() -> None:
    card = " ".join((shipped_weights().parent / "MODEL_CARD.md").read_text().split())
    checkpoint = convlstm.load_checkpoint(shipped_weights())
    model = checkpoint.build_model()
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in card
    assert f"differences to {', '.join(map(str, model.config.lags[:-1]))} and {model.config.lags[-1]} frames" in card
    assert f"`differences: {model.config.differences}`" in card
    height, width = checkpoint.target_size
    assert f"| {checkpoint.seq_length} frames, RGB, resized to {height}x{width};" in card
    assert f"| threshold | {checkpoint.threshold:g}, in the file;" in card
    metrics = checkpoint.metrics or {}
    assert f"temperature {metrics['temperature']:.3f}, offset {metrics['offset']:.3f}, folded" in card
    for licence in ("GPL-3.0", "CC-BY-4.0", "Pexels licence"):
        assert licence in card


@pytest.mark.slow
def test_setuptools_puts_them_into_a_wheel(tmp_path: Path) -> None:
    """A copy of the package's Python files and assets is built as pip would, as far as that copies files."""
    pytest.importorskip("setuptools", reason="needs setuptools, which builds the wheel")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for name in ("README.md", "LICENSE"):
        (tmp_path / name).write_text(name)
    (tmp_path / "convlstm").symlink_to(ROOT / "convlstm")
    code = "from setuptools import setup; setup()"
    command = [sys.executable, "-W", "ignore", "-c", code, "--quiet", "build_py", "--build-lib", "built"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ})
    assert result.returncode == 0, result.stderr
    built = tmp_path / "built" / "convlstm"
    assert (built / "assets" / "shipped.safetensors").read_bytes() == shipped_weights().read_bytes()
    assert {"MODEL_CARD.md", "shipped.safetensors"} <= {path.name for path in (built / "assets").iterdir()}
    assert load_exported(built / "assets" / "shipped_onnx").digest == load_exported(shipped_graphs()).digest
    assert (built / "cli.py").is_file()
