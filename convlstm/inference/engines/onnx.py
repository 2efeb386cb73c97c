"""Exported ONNX graphs in ONNX Runtime, on the CPU."""

import numpy as np

from convlstm.config import DetectPrecision
from convlstm.errors import CheckpointError, ConfigError
from convlstm.inference.engines.exported import ENCODER, GRAPHS, ExportedModel
from convlstm.inference.engines.graphs import OUTPUTS, GraphEngine, Values
from convlstm.inference.engines.installed import require
from convlstm.types import Float32Array


class OnnxEngine(GraphEngine):
    """An `Engine`, in float32, or int8 where the export says so.

    Raises ConfigError where ONNX Runtime is not installed, for OpenVINO's files, and for bf16, which it has not.
    """

    name = "onnx"
    precision = "32-true"

    def __init__(self, exported: ExportedModel, *, precision: DetectPrecision = "auto") -> None:
        onnxruntime = require("onnx")
        if exported.format != "onnx":
            raise ConfigError(f"engine onnx cannot run {exported.format} files: use --engine openvino, or export again")
        if precision == "bf16-mixed":
            raise ConfigError("engine onnx computes in float32 only: use --precision auto, or another engine")
        super().__init__(exported)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        try:
            self._sessions = {
                graph: onnxruntime.InferenceSession(exported.graph(graph)[0], options, ["CPUExecutionProvider"])
                for graph in GRAPHS
            }
            shape = self._sessions[ENCODER].get_inputs()[0].shape
        except Exception as error:  # its exceptions have no common base but this
            raise CheckpointError(f"ONNX Runtime cannot load the export: {' '.join(str(error).split())}") from error
        self._encoder_input: Float32Array = np.empty(shape, dtype=np.float32)  # (1, C, H, W)

    def _features(self) -> Float32Array:
        features: Float32Array = self._encoder_input[0]
        return features

    def _start_encoder(self) -> dict[str, Float32Array]:
        return self._run(ENCODER, {"features": self._encoder_input})

    def _finish_encoder(self, started: dict[str, Float32Array]) -> dict[str, Float32Array]:
        return started

    def _run(self, graph: str, inputs: Values) -> dict[str, Float32Array]:
        names = OUTPUTS[graph]
        return dict(zip(names, self._sessions[graph].run(names, inputs), strict=True))
