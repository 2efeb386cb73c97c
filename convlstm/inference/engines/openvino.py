"""Exported graphs in OpenVINO, on the CPU."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.config import DetectPrecision
from convlstm.errors import CheckpointError, ConfigError
from convlstm.inference.engines.exported import ENCODER, HEAD, RECURRENCE, ExportedModel
from convlstm.inference.engines.graphs import OUTPUTS, GraphEngine, Values
from convlstm.inference.engines.installed import require
from convlstm.inference.engines.signal_stack import drop_signal_stack
from convlstm.types import Float32Array, UInt16Array

DEVICE = "CPU"
NUM_HEADS = 2
"""Windows whose recurrence runs at a time, each in a thread of its own."""
UPPER_HALF = int(sys.byteorder == "little")
LOST = 0.721 / 256
"""Share of a float that `pack_bf16` cuts off on average: half a unit of the eighth bit, over mantissas from 1 to 2."""


class OpenVINOEngine(GraphEngine):
    """An `Engine`; takes ONNX files as well as OpenVINO's own. Two frames are under way at a time, see `_Lane`.

    Raises ConfigError where OpenVINO is not installed, and for bf16 on a processor without it.
    """

    name = "openvino"

    def __init__(self, exported: ExportedModel, *, precision: DetectPrecision = "auto") -> None:
        openvino = require("openvino")
        core = openvino.Core()
        self.has_bf16 = "BF16" in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
        self.precision = resolve_precision(exported, precision, has_bf16=self.has_bf16)
        super().__init__(exported, amplify=1 + LOST if self.precision == "bf16-mixed" else 1.0)
        self._openvino = openvino
        try:
            self._recurrence = self._compile(core, RECURRENCE).create_infer_request()
            head = self._compile(core, HEAD)
            self._heads = [head.create_infer_request() for _ in range(NUM_HEADS)]
            encoder = self._compile(core, ENCODER)
            self._lanes = [_Lane(encoder) for _ in range(2)]
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
            model = core.read_model(files[0], self._openvino.Tensor(np.frombuffer(files[1], dtype=np.uint8)))
        # Left alone, OpenVINO would take bf16 wherever the processor has it.
        in_bf16 = graph != RECURRENCE and self.precision == "bf16-mixed"
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if in_bf16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": "NO",  # or the encoder and this thread's stem are held to one core
        }
        if graph == HEAD:  # many small steps, which threads cannot share: windows side by side instead
            settings |= {"NUM_STREAMS": str(NUM_HEADS), "INFERENCE_NUM_THREADS": str(NUM_HEADS)}
        is_packed = graph == ENCODER and in_bf16
        return core.compile_model(self._taking_packed(model) if is_packed else model, DEVICE, settings)

    def _taking_packed(self, encoder: Any) -> Any:
        """An encoder that takes its features in bf16 (1, H, W, C), as it computes: see `pack_bf16`."""
        steps = self._openvino.preprocess.PrePostProcessor(encoder)
        steps.input(0).tensor().set_layout(self._openvino.Layout("NHWC")).set_element_type(self._openvino.Type.bf16)
        steps.input(0).model().set_layout(self._openvino.Layout("NCHW"))
        return steps.build()

    def _features(self) -> Float32Array:
        lane = self._lanes[0]
        lane.encoder.wait()  # still busy where an interrupt came between its start and its end
        return lane.features

    def _start_encoder(self) -> "_Lane":
        lane = self._lanes[0]
        lane.start()
        self._lanes.reverse()
        return lane

    def _finish_encoder(self, started: "_Lane") -> dict[str, Float32Array]:
        started.encoder.wait()
        return _outputs(started.encoder, ENCODER)

    def _run(self, graph: str, inputs: Values) -> dict[str, Float32Array]:
        assert graph == RECURRENCE
        self._recurrence.infer(inputs, share_inputs=True)
        return _outputs(self._recurrence, RECURRENCE)

    def window_head(self, gates: Sequence[Float32Array], windows: NDArray[np.int64]) -> Float32Array:
        """As `Engine.window_head`, NUM_HEADS windows at a time."""
        return np.concatenate(list(self._window_logits(gates, windows)))

    def _window_logits(self, gates: Sequence[Float32Array], windows: NDArray[np.int64]) -> Iterator[Float32Array]:
        for begin in range(0, len(windows), NUM_HEADS):
            started = []
            for request, window in zip(self._heads, windows[begin : begin + NUM_HEADS], strict=False):
                request.wait()  # still busy where an interrupt came
                np.concatenate([gates[place] for place in window], out=request.get_input_tensor().data)
                request.start_async()
                started.append(request)
            for request in started:
                request.wait()
                yield _outputs(request, HEAD)["logits"]


class _Lane:
    """An encoder and the memory of its features: one lane's features are made while the other's encoder runs."""

    def __init__(self, compiled: Any) -> None:
        self.encoder = compiled.create_infer_request()
        given = self.encoder.get_input_tensor().data[0]
        self._packed: UInt16Array | None = None
        if given.itemsize == 2:
            self._packed = given.view(np.uint16)
            height, width, num_features = given.shape
            self.features: Float32Array = np.empty((num_features, height, width), dtype=np.float32)
        else:
            self.features = given

    def start(self) -> None:
        """Encode the features, without waiting for it."""
        if self._packed is not None:
            pack_bf16(self.features, self._packed)
        self.encoder.start_async()


def pack_bf16(features: Float32Array, packed: UInt16Array) -> None:
    """Features (C, H, W) as bf16 (H, W, C), in less than half the time that OpenVINO takes to convert them.

    What is cut off is not rounded; the stem makes up for what that loses on average, see LOST.
    """
    halves = [feature.view(np.uint16).reshape(*feature.shape, 2) for feature in features]
    places = [place for channel in range(len(halves)) for place in (2 * channel + UPPER_HALF, channel)]
    cv2.mixChannels(halves, [packed], places)


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
