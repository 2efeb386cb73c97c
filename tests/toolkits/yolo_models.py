"""Tiny networks in the layout of YOLO exports that really find coloured squares: no weights need to be fetched.

A pixel is as red, or as blue, as its channel exceeds the two others; where a window of the size of the squares is full
of it, there is a thing. Masks come from two prototypes, how red and how blue a pixel is. Each anchor is a place of the
window, so that boxes have one size.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

RED, BLUE = 0, 1
NAMES = {RED: "fire", BLUE: "smoke"}

_STRIDE = 2
_COLOURS = ((1.0, -0.6, -0.6), (-0.6, -0.6, 1.0))


def write_yolo(
    path: Path,
    *,
    segments: bool,
    size: tuple[int, int] = (96, 96),
    window: tuple[int, int] = (16, 16),
    batch: int | None = None,
    names: dict[int, str] | None = NAMES,
    half: bool = False,
    colours: tuple[tuple[float, float, float], ...] = _COLOURS,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a detect or segment model for inputs of `size` = (height, width); squares are of `window` there.

    `batch` None lets any number of images in.
    """
    height, width = size
    rows, columns = (height - window[0]) // _STRIDE + 1, (width - window[1]) // _STRIDE + 1
    graph = _Graph(half)
    dims = [batch or "batch", 3, height, width]
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    images = "images"
    if half:
        images = graph.node("Cast", ["images"], to=TensorProto.FLOAT)
    weights = np.array(colours, dtype=np.float32).reshape(len(colours), 3, 1, 1)
    colour = graph.node("Relu", [graph.node("Conv", [images, graph.constant(weights)])])
    full = graph.node("AveragePool", [colour], kernel_shape=list(window), strides=[_STRIDE, _STRIDE])
    flat = graph.node("Reshape", [full, graph.constant(np.array([0, len(colours), -1]))])
    steep = graph.node("Mul", [flat, graph.constant(np.float32(4))])
    scores = graph.node(
        "Clip",
        [
            graph.node("Add", [steep, graph.constant(np.float32(-2.6))]),
            graph.constant(np.float32(0)),
            graph.constant(np.float32(0.95)),
        ],
    )
    none = graph.node("ReduceSum", [scores, graph.constant(np.array([1]))], keepdims=1)
    none = graph.node("Mul", [none, graph.constant(np.float32(0))])
    boxes = graph.node("Add", [none, graph.constant(_anchors(rows, columns, window))])
    parts, outputs = [boxes, scores], ["output0"]
    if segments:
        total = graph.node("ReduceSum", [scores, graph.constant(np.array([1]))], keepdims=1)
        bias = graph.node("Mul", [total, graph.constant(np.float32(-0.5))])
        parts += [scores, bias]
        prototypes = graph.node("AveragePool", [colour], kernel_shape=[4, 4], strides=[4, 4])
        ones = graph.node("ReduceSum", [prototypes, graph.constant(np.array([1]))], keepdims=1)
        ones = graph.node("Mul", [ones, graph.constant(np.float32(0))])
        ones = graph.node("Add", [ones, graph.constant(np.float32(1))])
        graph.result(graph.node("Concat", [prototypes, ones], axis=1), "output1", kind)
        outputs.append("output1")
    graph.result(graph.node("Concat", parts, axis=1), "output0", kind)
    num_rows = 4 + len(colours) + (len(colours) + 1 if segments else 0)
    shapes = {"output0": [dims[0], num_rows, rows * columns]}
    shapes["output1"] = [dims[0], len(colours) + 1, height // 4, width // 4]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tiny",
            [helper.make_tensor_value_info("images", kind, dims)],
            [helper.make_tensor_value_info(name, kind, shapes[name]) for name in outputs],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    known = {} if names is None else {"names": str(names)}
    helper.set_model_props(model, {**known, "task": "segment" if segments else "detect", **(metadata or {})})
    onnx.save(model, str(path))
    return path


class _Graph:
    """Nodes and constants, named as they come."""

    def __init__(self, half: bool) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.half = half

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def result(self, name: str, output: str, kind: int) -> None:
        self.nodes.append(helper.make_node("Cast", [name], [output], to=kind))


def _anchors(rows: int, columns: int, window: tuple[int, int]) -> NDArray[np.float32]:
    """Centre x, centre y, width, height of each place of the window: (1, 4, A)."""
    y, x = np.mgrid[:rows, :columns].reshape(2, 1, -1) * _STRIDE
    sizes = [np.full_like(x, window[1]), np.full_like(x, window[0])]
    return np.stack([x + window[1] / 2, y + window[0] / 2, *sizes], axis=1).astype(np.float32)
