"""Weights, of whatever kind, to the engine that runs them."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from convlstm.config import SHIPPED, DetectPrecision, EngineName
from convlstm.errors import ConfigError
from convlstm.inference.engines.base import Engine
from convlstm.inference.engines.exported import ExportedModel, load_exported
from convlstm.inference.engines.installed import is_installed
from convlstm.inference.engines.onnx import OnnxEngine
from convlstm.inference.engines.openvino import OpenVINOEngine
from convlstm.shipped import resolve_weights, shipped_graphs

if TYPE_CHECKING:  # what runs exported graphs must not wait for torch
    from convlstm.models.checkpoint import Checkpoint

GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""Of NVIDIA, AMD, and Windows' Linux."""

logger = logging.getLogger(__name__)


def open_engine(
    weights: "str | Path | Checkpoint",
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    precision: DetectPrecision = "auto",
) -> Engine:
    """The engine for a weights file, a checkpoint or the folder of an export, and a line in the log that names it.

    `auto` takes the first that is installed and able of openvino, onnx and torch, or torch where there is a GPU; the
    other engines compute on the CPU. They run weights files too: the graphs are built in memory, with the package onnx.
    Raises CheckpointError for unusable weights, ConfigError for an engine, a device or a precision that cannot be had.
    """
    found: Checkpoint | ExportedModel
    if not isinstance(weights, str | Path):
        found = weights
    elif weights == SHIPPED and _takes_graphs(engine, device, precision):
        found = load_exported(shipped_graphs())
    elif (path := resolve_weights(weights)).is_dir():
        found = load_exported(path)
    else:
        from convlstm.models.checkpoint import load_checkpoint

        found = load_checkpoint(path)
    if isinstance(found, ExportedModel):
        opened = _open_exported(found, engine, device, precision)
    else:
        opened = _open_checkpoint(found, engine, device, precision)
    logger.info("engine: %s, precision %s", opened.name, opened.precision)
    return opened


def _open_exported(exported: ExportedModel, engine: EngineName, device: str, precision: DetectPrecision) -> Engine:
    if engine == "torch":
        raise ConfigError("engine torch needs a weights file, .pth or .safetensors, and this is an export")
    if engine == "auto":
        needs_openvino = exported.format == "openvino" or precision == "bf16-mixed"
        engine = "openvino" if needs_openvino or is_installed("openvino") else "onnx"
    if device not in ("auto", "cpu"):
        raise ConfigError(f"engine {engine} computes on the CPU, got device {device!r}: use auto or cpu")
    kinds: dict[str, type[OpenVINOEngine | OnnxEngine]] = {"openvino": OpenVINOEngine, "onnx": OnnxEngine}
    return kinds[engine](exported, precision=precision)


def _takes_graphs(engine: EngineName, device: str, precision: DetectPrecision) -> bool:
    """Whether exported graphs would run on this device, in this engine or in the one that `auto` would take."""
    if engine != "auto":
        return engine != "torch"
    if _graph_engine(precision) is None:
        return False
    if device == "cpu" or (device == "auto" and _is_without_gpu()):
        return True
    from convlstm.inference.engines.torch import resolve_device

    return resolve_device(device).type == "cpu"


def _is_without_gpu() -> bool:
    """Whether torch, whose import takes seconds, need not be asked: on Linux no driver shows a device."""
    return sys.platform == "linux" and not any(Path(device).exists() for device in GPU_DEVICES)


def _open_checkpoint(checkpoint: "Checkpoint", engine: EngineName, device: str, precision: DetectPrecision) -> Engine:
    from convlstm.inference.engines.torch import TorchEngine, has_bf16, resolve_device

    if engine == "auto":
        engine = _fastest(precision) if resolve_device(device).type == "cpu" else "torch"
    if engine == "torch":
        if precision == "bf16-mixed" and not has_bf16(resolve_device(device).type):
            logger.warning("this device has no bf16 of its own: --precision bf16-mixed is slower than 32-true here")
        return TorchEngine(checkpoint, device=device, precision=precision)
    from convlstm.export.graphs import in_memory

    return _open_exported(in_memory(checkpoint), engine, device, precision)


def _fastest(precision: DetectPrecision) -> EngineName:
    """The first engine that is installed, with what building graphs takes."""
    return (_graph_engine(precision) if is_installed("export") else None) or "torch"


def _graph_engine(precision: DetectPrecision) -> EngineName | None:
    """The fastest that is installed of those that run graphs."""
    if is_installed("openvino"):
        return "openvino"
    return "onnx" if is_installed("onnx") and precision != "bf16-mixed" else None
