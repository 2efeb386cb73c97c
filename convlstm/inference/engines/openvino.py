"""Exported graphs in OpenVINO, on the CPU."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convlstm.config import DetectPrecision
from convlstm.errors import CheckpointError, ConfigError
from convlstm.inference.engines.exported import ENCODER, GATES, GRAPHS, HEAD, RECURRENCE, STEM, ExportedModel
from convlstm.inference.engines.graphs import OUTPUTS, GraphEngine, Greys, Values
from convlstm.inference.engines.installed import require
from convlstm.inference.engines.signal_stack import drop_signal_stack
from convlstm.types import Float32Array

DEVICE = "CPU"


class OpenVINOEngine(GraphEngine):
    """An `Engine`; takes ONNX files as well as OpenVINO's own. Two frames are under way at a time, see `_Lane`.

    Raises ConfigError where OpenVINO is not installed, and for bf16 on a processor without it.
    """

    name = "openvino"

    def __init__(self, exported: ExportedModel, *, precision: DetectPrecision = "auto") -> None:
        openvino = require("openvino")
        super().__init__(exported)
        core = openvino.Core()
        self.has_bf16 = "BF16" in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
        self.precision = resolve_precision(exported, precision, has_bf16=self.has_bf16)
        self._tensor = openvino.Tensor
        try:
            compiled = {graph: self._compile(core, graph) for graph in GRAPHS}
            self._requests = {graph: compiled[graph].create_infer_request() for graph in (GATES, RECURRENCE, HEAD)}
            self._lanes = [_Lane(compiled) for _ in range(2)]
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"OpenVINO cannot load the export: {reason}") from error
        finally:
            drop_signal_stack()

    def _compile(self, core: Any, graph: str) -> Any:
        files = self.exported.graph(graph)
        if len(files) == 1:
            model = core.read_model(files[0])
        else:
            model = core.read_model(files[0], self._tensor(np.frombuffer(files[1], dtype=np.uint8)))
        # Left alone, OpenVINO would take bf16 wherever the processor has it.
        hint = "bf16" if graph == ENCODER and self.precision == "bf16-mixed" else "f32"
        settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        return core.compile_model(model, DEVICE, settings)

    def _features_and_greys(self, inputs: Values) -> tuple[NDArray[np.generic], Greys]:
        lane = self._lanes[0]
        lane.encoder.wait()  # still busy where an interrupt came between its start and its end
        lane.stem.infer(inputs, share_inputs=True)
        return lane.features, {kind: lane.stem.get_tensor(kind).data.copy() for kind in self._kinds}

    def _start_encoder(self, features: NDArray[np.generic]) -> "_Lane":
        del features  # they are in its memory already
        lane = self._lanes[0]
        lane.encoder.start_async()
        self._lanes.reverse()
        return lane

    def _finish_encoder(self, started: "_Lane") -> dict[str, Float32Array]:
        started.encoder.wait()
        return _outputs(started.encoder, ENCODER)

    def _run(self, graph: str, inputs: Values) -> dict[str, Float32Array]:
        request = self._requests[graph]
        request.infer(inputs, share_inputs=True)
        return _outputs(request, graph)


class _Lane:
    """A stem and an encoder that share the memory of the features: one lane's stem while the other's encoder runs."""

    def __init__(self, compiled: Mapping[str, Any]) -> None:
        self.stem, self.encoder = (compiled[graph].create_infer_request() for graph in (STEM, ENCODER))
        features = self.stem.get_tensor("features")
        self.encoder.set_tensor("features", features)
        self.features: NDArray[np.generic] = features.data


def _outputs(request: Any, graph: str) -> dict[str, Float32Array]:
    return {name: request.get_tensor(name).data.copy() for name in OUTPUTS[graph]}


def resolve_precision(exported: ExportedModel, precision: DetectPrecision, *, has_bf16: bool) -> str:
    """`auto` is what the export found good enough, or float32 on a processor without that.

    Raises ConfigError where bf16 is asked for and the processor lacks it.
    """
    if precision == "bf16-mixed" and not has_bf16:
        raise ConfigError("this processor has no bf16: use --precision auto or 32-true")
    if precision == "auto":
        return exported.auto_precision if has_bf16 else "32-true"
    return precision
