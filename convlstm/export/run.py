"""An export job: weights in, a file or a folder of graphs out, compared with torch before it is written."""

import logging
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from convlstm.clips import resize_frame
from convlstm.config import SHIPPED, ExportConfig
from convlstm.errors import ConfigError, ConvLSTMError, DataError
from convlstm.export.graphs import Scales, build_graphs, exported_model
from convlstm.export.int8 import calibrate
from convlstm.export.openvino import to_openvino
from convlstm.export.parity import measure_ap_loss, measure_parity
from convlstm.inference.engines.base import Engine
from convlstm.inference.engines.exported import ENDINGS, METADATA, ExportedModel, load_exported, save_exported
from convlstm.inference.engines.installed import is_installed
from convlstm.inference.engines.onnx import OnnxEngine
from convlstm.inference.engines.openvino import OpenVINOEngine
from convlstm.inference.engines.torch import TorchEngine
from convlstm.inference.stream import FRAMES_PER_CALL
from convlstm.models.average import average_checkpoints
from convlstm.models.checkpoint import SAFETENSORS, Checkpoint, load_checkpoint, save_safetensors
from convlstm.shipped import resolve_weights
from convlstm.sources.open import open_source
from convlstm.types import Frame, UInt8Array

logger = logging.getLogger(__name__)

FLOAT32_TOLERANCE = 1e-3
"""A float32 export whose heatmaps lie farther from torch's than this is not written."""

BF16_TOLERANCE = 0.05
"""`--precision auto` takes bf16 where heatmaps lie no farther from float32 than this."""

CALIBRATION_FRAMES = 1200
"""Of the footage, from its start; every other stretch of 12 frames sets the scales, all of them are judged."""

_FIRST_ANSWER = """
import sys
import numpy as np
from convlstm.inference.open import open_engine
engine = open_engine(sys.argv[1])
length, size = engine.weights.seq_length, engine.weights.target_size
gates, _ = engine.encode(np.zeros((length, *size, 3), dtype=np.uint8))
engine.window_head(gates, np.arange(length)[None])
"""


class ExportError(ConvLSTMError):
    """What came out is not close enough to the network that went in."""


@dataclass(frozen=True)
class ExportResult:
    """What was written. Sizes in bytes; the rest is None for safetensors, which nothing was measured on.

    `first_answer_seconds`: from the start of a fresh process to the heatmap of the first window.
    """

    path: Path
    digest: str
    size: int
    compressed_size: int
    exported: ExportedModel | None = None
    first_answer_seconds: float | None = None


def export(weights: str | Path = SHIPPED, *, output: Path, config: ExportConfig | None = None) -> ExportResult:
    """Write weights as `config.format`: one .safetensors file, or a folder of ONNX or OpenVINO graphs.

    Raises CheckpointError for unusable weights, DataError for unusable calibration footage, ConfigError for packages
    that are not installed and names that do not fit, ExportError where heatmaps come out too different.
    """
    config = config or ExportConfig()
    output = Path(output)
    if config.format == "safetensors" or (config.format == "auto" and output.suffix.lower() == SAFETENSORS):
        digest = save_safetensors(output, _checkpoint(weights, config))
        data = output.read_bytes()
        return ExportResult(output, digest, len(data), len(zlib.compress(data, 9)))
    if config.format == "auto":
        raise ConfigError(f"{output}: only {SAFETENSORS} files tell their format: add --format onnx or openvino")
    _check_folder(output)
    exported = _compare(_checkpoint(weights, config), config)
    save_exported(output, exported)
    written = load_exported(output)
    return ExportResult(
        path=output,
        digest=written.digest,
        size=sum(len(data) for data in written.files.values()),
        compressed_size=sum(len(zlib.compress(data, 9)) for data in written.files.values()),
        exported=written,
        first_answer_seconds=_first_answer_seconds(output),
    )


def _checkpoint(weights: str | Path, config: ExportConfig) -> Checkpoint:
    checkpoint = load_checkpoint(resolve_weights(weights))
    if config.average_with:
        others = {name: load_checkpoint(resolve_weights(name)) for name in config.average_with}
        checkpoint = average_checkpoints({str(weights): checkpoint, **others})
    return replace(checkpoint, target_size=config.target_size or checkpoint.target_size)


def _check_folder(output: Path) -> None:
    if output.suffix.lower() in (SAFETENSORS, *(ending for endings in ENDINGS.values() for ending in endings)):
        raise ConfigError(f"{output}: graphs go into a folder: name it {output.with_suffix('')}")
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output}: a file of that name is there: name a folder")
    if output.is_dir() and any(output.iterdir()) and not (output / METADATA).is_file():
        raise ConfigError(f"{output}: holds other files than an export: name an empty or a new folder")


def _compare(checkpoint: Checkpoint, config: ExportConfig) -> ExportedModel:
    """The export, with what was measured on it."""
    reference = TorchEngine(checkpoint, device="cpu", precision="32-true")
    scales = _calibrate(checkpoint, config) if config.int8 else None
    exported = _build(checkpoint, config, scales)
    engines = _engines(exported, checkpoint)
    measured = [(e.precision, measure_parity(reference, e)) for e in engines]
    exported = replace(exported, parity=dict(sorted(measured)))  # the larger, where two engines have a precision
    if not config.int8:
        return _judge_float(exported)
    fastest = engines[-1]
    loss = measure_ap_loss(reference, fastest, _footage(checkpoint, config), str(config.calibration))
    if loss > config.max_ap_loss:
        raise ExportError(
            f"int8 loses {loss:.4f} of the average precision on {config.calibration}, more than {config.max_ap_loss}: "
            "export without --int8, calibrate on more footage, or allow more with --max_ap_loss"
        )
    return replace(exported, ap_loss=loss, auto_precision=fastest.precision)


def _build(checkpoint: Checkpoint, config: ExportConfig, scales: Scales | None) -> ExportedModel:
    graphs = build_graphs(checkpoint, scales)
    if config.format == "openvino":
        return exported_model(checkpoint, "openvino", to_openvino(graphs), int8=config.int8)
    files = {f"{name}.onnx": data for name, data in graphs.items()}
    return exported_model(checkpoint, "onnx", files, int8=config.int8)


def _engines(exported: ExportedModel, checkpoint: Checkpoint) -> list[Engine]:
    """What runs the files here, in every precision, the fastest last; OpenVINO runs both formats.

    Where nothing has bf16, torch emulates it, since the files may be run elsewhere.
    """
    engines: list[Engine] = [OnnxEngine(exported)] if exported.format == "onnx" else []
    if exported.format == "openvino" or (is_installed("openvino") and not exported.int8):
        engine = OpenVINOEngine(exported, precision="32-true")
        engines += [engine, OpenVINOEngine(exported, precision="bf16-mixed")] if engine.has_bf16 else [engine]
    if not exported.int8 and engines[-1].precision == "32-true":
        engines.insert(0, TorchEngine(checkpoint, device="cpu", precision="bf16-mixed"))
    return engines


def _judge_float(exported: ExportedModel) -> ExportedModel:
    if exported.parity["32-true"] > FLOAT32_TOLERANCE:
        raise ExportError(
            f"heatmaps of the {exported.format} graphs differ by {exported.parity['32-true']:.2g} from torch's, "
            f"expected at most {FLOAT32_TOLERANCE}: nothing was written; use another version of {exported.format}"
        )
    is_close = exported.parity.get("bf16-mixed", 1) <= BF16_TOLERANCE
    return replace(exported, auto_precision="bf16-mixed" if is_close else "32-true")


def _footage(checkpoint: Checkpoint, config: ExportConfig) -> Iterator[Frame]:
    """Resized frames of the calibration source."""
    assert config.calibration is not None
    for frame in islice(open_source(config.calibration, fps=checkpoint.fps), CALIBRATION_FRAMES):
        yield Frame(resize_frame(frame.pixels, checkpoint.target_size), frame.index, frame.pts_seconds)


def _calibrate(checkpoint: Checkpoint, config: ExportConfig) -> Scales:
    frames = _footage(checkpoint, config)
    num_frames = 0

    def chunks() -> Iterator[UInt8Array]:
        nonlocal num_frames
        while chunk := list(islice(frames, FRAMES_PER_CALL)):
            num_frames += len(chunk)
            yield np.stack([frame.pixels for frame in chunk])
            list(islice(frames, FRAMES_PER_CALL))

    scales = calibrate(checkpoint, chunks())
    if num_frames < checkpoint.seq_length:
        raise DataError(f"{config.calibration}: {num_frames} frames are too few to calibrate on: give some hundred")
    logger.info("calibrated on %d frames of %s", num_frames, config.calibration)
    return scales


def _first_answer_seconds(folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", _FIRST_ANSWER, str(folder)], check=True, capture_output=True)
    return time.perf_counter() - started
