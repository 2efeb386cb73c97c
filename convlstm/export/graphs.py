"""The network as three static ONNX graphs, written node by node: no tracing, and no torch in what runs them.

The features of one frame go through `encoder`; `recurrence` is one step with the state as input and output, `head` the
T steps of a window from the zero state. `inference/engines/graphs.py` shows how they are strung together,
`inference/engines/stem.py` what makes features of frames.
Sizes are fixed: dynamic ones cost speed, and an exporter once fixed T in silence.

Shapes: K output channels, D hidden channels, C features, H W pixels, GH GW cells. All names of inputs and outputs are
those of the format; `https://onnx.ai/onnx/operators` has the operators.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convlstm.config import GraphFormat, ModelConfig
from convlstm.inference.engines.exported import ENCODER, HEAD, RECURRENCE, ExportedModel
from convlstm.inference.engines.installed import require
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import HIDDEN_CHANNELS
from convlstm.types import CELL_SIZE, Float32Array

OPSET = 17
IR_VERSION = 8
"""Of ONNX 1.12: what reads newer files reads these, too."""


@dataclass(frozen=True)
class Scales:
    """What one step of uint8 stands for, for the outputs of all encoder layers but the last."""

    activations: tuple[float, ...]


class GraphWriter:
    """Puts an ONNX graph together: methods add nodes and give the names of their results."""

    def __init__(self, name: str) -> None:
        self.onnx = require("export")
        self.name = name
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def input(self, name: str, shape: Sequence[int], kind: str = "FLOAT") -> str:
        """An input of that name."""
        data_type = getattr(self.onnx.TensorProto, kind)
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, data_type, list(shape)))
        return name

    def output(self, name: str, value: str, shape: Sequence[int]) -> None:
        """Let a value come out under that name."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, list(shape)))

    def constant(self, values: NDArray[np.generic]) -> str:
        """A constant tensor."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def number(self, value: float) -> str:
        """A float32 constant."""
        return self.constant(np.array(value, dtype=np.float32))

    def split(self, value: str, parts: int) -> list[str]:
        """Equal parts along the channels."""
        names = [f"{self.name}_{len(self.nodes)}_{part}" for part in range(parts)]
        self.nodes.append(self.onnx.helper.make_node("Split", [value], names, axis=1))
        return names

    def __call__(self, operator: str, *values: str, **attributes: Any) -> str:
        """One node with one result."""
        name = f"{self.name}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, list(values), [name], **attributes))
        return name

    def conv(self, value: str, weight: str, bias: str | None = None, *, stride: int = 1, padding: int = 1) -> str:
        """A convolution."""
        values = (value, weight) if bias is None else (value, weight, bias)
        return self("Conv", *values, strides=[stride] * 2, pads=[padding] * 4)

    def model(self) -> bytes:
        """The checked graph as the content of an .onnx file."""
        graph = self.onnx.helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.constants)
        opset = self.onnx.helper.make_opsetid("", OPSET)
        model = self.onnx.helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="convlstm"
        )
        self.onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def in_memory(checkpoint: Checkpoint) -> ExportedModel:
    """Graphs that were written nowhere and compared with nothing."""
    return exported_model(checkpoint, "onnx", {f"{name}.onnx": data for name, data in build_graphs(checkpoint).items()})


def exported_model(
    checkpoint: Checkpoint, kind: GraphFormat, files: Mapping[str, bytes], *, int8: bool = False
) -> ExportedModel:
    """What a checkpoint says of itself, with graphs in place of weights; for now its digest is the checkpoint's."""
    return ExportedModel(
        format=kind,
        int8=int8,
        model=checkpoint.model,
        seq_length=checkpoint.seq_length,
        target_size=checkpoint.target_size,
        threshold=checkpoint.threshold,
        fps=checkpoint.fps,
        checkpoint_digest=checkpoint.digest,
        metrics=checkpoint.metrics,
        digest=checkpoint.digest,
        files=files,
    )


def build_graphs(checkpoint: Checkpoint, scales: Scales | None = None) -> dict[str, bytes]:
    """ONNX files by the name of the graph; with `scales`, convolutions of the encoder but the first in int8.

    Raises ConfigError where the package onnx is not installed.
    """
    weights = {name: tensor.float().cpu().numpy() for name, tensor in checkpoint.weights.items()}
    size = checkpoint.target_size
    grid = (size[0] // CELL_SIZE, size[1] // CELL_SIZE)
    return {
        ENCODER: _encoder(weights, size, checkpoint.model, scales),
        RECURRENCE: _recurrence(weights, grid),
        HEAD: _head(weights, grid, checkpoint.seq_length),
    }


def _encoder(
    weights: Mapping[str, Float32Array], size: tuple[int, int], model: ModelConfig, scales: Scales | None
) -> bytes:
    """Features (1, C, H, W), sides by `model.downsample`, to gates, `conv_x` of the encoded frame, (1, 4D, GH, GW)."""
    graph = GraphWriter(ENCODER)
    grid = (size[0] // CELL_SIZE, size[1] // CELL_SIZE)
    shape = (1, weights["encoder.0.weight"].shape[1], size[0] // model.downsample, size[1] // model.downsample)
    value = graph.input("features", shape)
    for layer, stride in enumerate(model.strides):
        kernel, bias = weights[f"encoder.{2 * layer}.weight"], graph.constant(weights[f"encoder.{2 * layer}.bias"])
        if scales is None or layer == 0:  # the first layer's inputs, colours and differences, differ too much
            weight = graph.constant(kernel)
        else:
            value = _quantised(graph, value, scales.activations[layer - 1])
            weight = _quantised_weight(graph, kernel)
        value = graph("Relu", graph.conv(value, weight, bias, stride=stride))
    conv_x = (graph.constant(weights[f"temporal_layer.cell_list.0.conv_x.{kind}"]) for kind in ("weight", "bias"))
    graph.output("gates", graph.conv(value, *conv_x), (1, 4 * HIDDEN_CHANNELS, *grid))
    return graph.model()


def _quantised(graph: GraphWriter, value: str, scale: float) -> str:
    """A value that is never negative, rounded to uint8 and back: runtimes make int8 convolutions of that."""
    parameters = graph.number(scale), graph.constant(np.array(0, dtype=np.uint8))
    return graph("DequantizeLinear", graph("QuantizeLinear", value, *parameters), *parameters)


def _quantised_weight(graph: GraphWriter, kernel: Float32Array) -> str:
    """A kernel (out, in, 3, 3) in int8, with a scale for each output channel."""
    scale = np.maximum(np.abs(kernel).max(axis=(1, 2, 3)), 1e-12).astype(np.float32) / np.float32(127)
    rounded = np.rint(kernel / scale[:, None, None, None]).astype(np.int8)
    zero = graph.constant(np.zeros(len(kernel), dtype=np.int8))
    return graph("DequantizeLinear", graph.constant(rounded), graph.constant(scale), zero, axis=0)


def _recurrence(weights: Mapping[str, Float32Array], grid: tuple[int, int]) -> bytes:
    """Gates (1, 4D, GH, GW), h and c (1, D, GH, GW) to the next h and c, and logits (1, K, GH, GW)."""
    graph = GraphWriter(RECURRENCE)
    shape = (1, HIDDEN_CHANNELS, *grid)
    gates = graph.input("gates", (1, 4 * HIDDEN_CHANNELS, *grid))
    h, c = _step(graph, gates, (graph.input("h", shape), graph.input("c", shape)), _conv_h(graph, weights))
    graph.output("next_h", h, shape)
    graph.output("next_c", c, shape)
    _classify(graph, weights, h, grid)
    return graph.model()


def _head(weights: Mapping[str, Float32Array], grid: tuple[int, int], seq_length: int) -> bytes:
    """The gates of a window (T, 4D, GH, GW) to logits (1, K, GH, GW)."""
    graph = GraphWriter(HEAD)
    window = graph.input("gates", (seq_length, 4 * HIDDEN_CHANNELS, *grid))
    kernel = _conv_h(graph, weights)
    state: tuple[str, str] | None = None
    for step in range(seq_length):
        gates = graph("Gather", window, graph.constant(np.array([step], dtype=np.int64)), axis=0)
        state = _step(graph, gates, state, kernel)
    assert state is not None
    _classify(graph, weights, state[0], grid)
    return graph.model()


def _conv_h(graph: GraphWriter, weights: Mapping[str, Float32Array]) -> str:
    return graph.constant(weights["temporal_layer.cell_list.0.conv_h.weight"])


def _step(graph: GraphWriter, gates: str, state: tuple[str, str] | None, kernel: str) -> tuple[str, str]:
    """As `ConvLSTMCell.step`; None is the zero state, of which the convolution and the forget gate keep nothing."""
    if state is not None:
        gates = graph("Add", gates, graph.conv(state[0], kernel))
    i, f, o, g = graph.split(gates, 4)
    c = graph("Mul", graph("Sigmoid", i), graph("Tanh", g))
    if state is not None:
        c = graph("Add", graph("Mul", graph("Sigmoid", f), state[1]), c)
    return graph("Mul", graph("Sigmoid", o), graph("Tanh", c)), c


def _classify(graph: GraphWriter, weights: Mapping[str, Float32Array], h: str, grid: tuple[int, int]) -> None:
    kernel, bias = (graph.constant(weights[f"final_classifier.{kind}"]) for kind in ("weight", "bias"))
    graph.output("logits", graph.conv(h, kernel, bias, padding=0), (1, len(weights["final_classifier.bias"]), *grid))
