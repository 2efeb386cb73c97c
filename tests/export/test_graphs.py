"""Graphs are compared node by node with the modules they stand for; tests/contract/test_engines.py has the whole."""

import numpy as np
import pytest
import torch

from convlstm.config import ModelConfig
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

onnx = pytest.importorskip("onnx", reason="needs the package onnx: pip install -r requirements-engines.txt")

from convlstm.export.graphs import IR_VERSION, OPSET, Scales, build_graphs, in_memory  # noqa: E402
from convlstm.inference.engines.exported import ENCODER, GRAPHS, HEAD  # noqa: E402


def make_checkpoint(**options: object) -> Checkpoint:
    torch.manual_seed(0)
    model = TemporalClassifier(ModelConfig(**options))  # type: ignore[arg-type]
    return Checkpoint(model.state_dict(), model.config, 5, (64, 96), threshold=0.3, fps=10, digest="d")


def operators(data: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(data).graph.node]


def shapes(values: object) -> dict[str, list[int]]:
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}  # type: ignore[attr-defined]


def test_graphs_are_static_and_old_enough_to_be_read_anywhere() -> None:
    graphs = build_graphs(make_checkpoint(stem="motion", lags=(2, 5), differences="both"))
    assert set(graphs) == set(GRAPHS)
    for data in graphs.values():
        model = onnx.load_from_string(data)
        assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET) == (8, 17)
        for shape in (*shapes(model.graph.input).values(), *shapes(model.graph.output).values()):
            assert all(side > 0 for side in shape)
    assert shapes(onnx.load_from_string(graphs[ENCODER]).graph.input) == {"features": [1, 7, 64, 96]}
    head = onnx.load_from_string(graphs[HEAD]).graph
    assert shapes(head.input) == {"gates": [5, 128, 2, 3]} and shapes(head.output) == {"logits": [1, 1, 2, 3]}


def test_the_same_weights_give_the_same_bytes() -> None:
    assert build_graphs(make_checkpoint()) == build_graphs(make_checkpoint())


def test_int8_is_for_the_encoder_but_its_first_layer() -> None:
    checkpoint = make_checkpoint(stem="motion")
    plain, quantised = build_graphs(checkpoint), build_graphs(checkpoint, Scales((0.1, 0.2, 0.3, 0.4)))
    assert [name for name in GRAPHS if plain[name] != quantised[name]] == [ENCODER]
    assert operators(quantised[ENCODER]).count("QuantizeLinear") == 4
    assert operators(quantised[ENCODER])[:2] == ["Conv", "Relu"]
    constants = onnx.load_from_string(quantised[ENCODER]).graph.initializer
    floats = [
        tensor.name for tensor in constants if np.prod(tensor.dims) > 128 and tensor.data_type == onnx.TensorProto.FLOAT
    ]
    assert len(floats) == 2  # the first layer's kernel, and that of the gates


def test_int8_weights_are_rounded_to_the_nearest_step() -> None:
    checkpoint = make_checkpoint()
    kernel = checkpoint.weights["encoder.4.weight"].numpy()
    data = build_graphs(checkpoint, Scales((1.0,) * 4))[ENCODER]
    constants = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(data).graph.initializer]
    [rounded] = [c for c in constants if c.dtype == np.int8 and c.shape == kernel.shape]
    assert np.abs(rounded).max() == 127
    scale = np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127
    assert np.abs(rounded * scale - kernel).max() <= scale.max() / 2 + 1e-7


def test_an_export_says_what_the_checkpoint_says() -> None:
    checkpoint = make_checkpoint(classes=("a", "b", "c"))
    exported = in_memory(checkpoint)
    assert (exported.model, exported.seq_length, exported.target_size) == (checkpoint.model, 5, (64, 96))
    assert (exported.threshold, exported.fps, exported.checkpoint_digest, exported.int8) == (0.3, 10, "d", False)
    assert exported.graph(HEAD) == (build_graphs(checkpoint)[HEAD],)
