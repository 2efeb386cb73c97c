"""Every engine computes what the network computes, windowed and stateful, whatever way frames come in."""

from collections import deque
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.config import Differences, EngineName, Mode, ModelConfig, Stem, Unhalved
from convlstm.inference.engines.base import Engine
from convlstm.inference.engines.graphs import GraphEngine
from convlstm.inference.engines.installed import is_installed
from convlstm.inference.open import open_engine
from convlstm.inference.probabilities import dynamic_probability
from convlstm.inference.stream import HeatmapStream
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.types import Float32Array, Frame

SEQ_LENGTH = 4
SIZE = (64, 96)
LAGS = (1, 3, 9)
TOLERANCES = {"torch": 1e-5, "onnx": 1e-3, "openvino": 1e-3}
ENGINES: list[EngineName] = ["torch", "onnx", "openvino"]
Network = tuple[Stem, Differences, tuple[str, ...], int, Unhalved]
NETWORKS: list[Network] = [
    ("rgb", "frame", ("static", "dynamic"), 1, "first"),
    ("motion", "frame", ("static", "dynamic"), 1, "first"),
    ("motion", "local", ("static", "dynamic", "negative"), 2, "first"),
    ("motion", "both", ("calm", "smoke", "fire"), 1, "first"),
    ("rgb", "frame", ("static", "dynamic"), 2, "first"),
    ("motion", "local", ("static", "dynamic"), 2, "last"),
]
FEW = settings(max_examples=max(4, settings().max_examples // 10))  # each runs the network


@pytest.fixture(params=ENGINES, scope="module")
def name(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    if name != "torch" and not (is_installed(name) and is_installed("export")):
        pytest.skip(f"needs the packages of engine {name}: pip install -r requirements-engines.txt")
    return name


@cache
def make_checkpoint(
    stem: Stem, differences: Differences, classes: tuple[str, ...], downsample: int, unhalved: Unhalved
) -> Checkpoint:
    """Random weights, large enough that heatmaps of different windows differ a lot."""
    torch.manual_seed(0)
    config = ModelConfig(classes, stem, LAGS, differences, downsample, unhalved)
    model = TemporalClassifier(config)
    with torch.no_grad():
        for layer in model.encoder:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(1.5)
        model.final_classifier.weight.mul_(3)
    return Checkpoint(model.state_dict(), model.config, SEQ_LENGTH, SIZE, threshold=0.5, fps=25)


@cache
def make_engine(name: EngineName, *network: *Network) -> Engine:
    return open_engine(make_checkpoint(*network), engine=name, device="cpu", precision="32-true")


@cache
def make_frame(index: int) -> Frame:
    random = np.random.RandomState(index % 5)
    pattern = np.kron(random.randint(0, 256, (8, 12, 3)), np.ones((8, 8, 1), dtype=np.int64)) * (3 + index % 4) // 6
    return Frame(pattern.astype(np.uint8), index, index / 25)


def plain(checkpoint: Checkpoint, indices: Sequence[int], seq_length: int) -> Float32Array:
    """The heatmap of the last `seq_length` of consecutive frames, from the network that takes whole windows."""
    chosen = [max(i, indices[0]) for i in range(indices[-1] - seq_length + 1 - max(LAGS), indices[-1] + 1)]
    clip = torch.from_numpy(np.stack([make_frame(i).pixels for i in chosen])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits = checkpoint.build_model().logits(clip[None], max(LAGS))
    [heatmap] = dynamic_probability(logits.numpy(), checkpoint.model)
    return np.asarray(heatmap)


@pytest.mark.parametrize(
    "network", NETWORKS, ids=lambda network: "-".join((*network[:2], str(len(network[2])), str(network[3]), network[4]))
)
@pytest.mark.parametrize("mode", ["windowed", "stateful"])
def test_heatmaps_equal_those_of_the_plain_network(name: EngineName, network: Network, mode: Mode) -> None:
    checkpoint, engine = make_checkpoint(*network), make_engine(name, *network)
    frames = [make_frame(index) for index in (*range(14), *range(20, 26))]  # with a gap
    stream = HeatmapStream(engine, stride=1, mode=mode)
    heatmaps = [*stream.process(frames[:5]), *stream.process(frames[5:])]
    assert len(heatmaps) == 11 + 3
    for heatmap in heatmaps:
        start = 0 if heatmap.last_frame < 14 else 20
        seen = range(start, heatmap.last_frame + 1)
        wanted = plain(checkpoint, seen, SEQ_LENGTH if mode == "windowed" else len(seen))
        np.testing.assert_allclose(heatmap.probabilities, wanted, atol=TOLERANCES[name], rtol=0)
    assert np.ptp([heatmap.probabilities for heatmap in heatmaps], axis=0).max() > 0.05  # it is not one number


@FEW
@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_how_frames_are_cut_into_calls_changes_nothing(name: EngineName, sizes: list[int]) -> None:
    engine = make_engine(name, *NETWORKS[3])
    frames = [make_frame(index) for index in range(13)]
    whole = HeatmapStream(engine, stride=2).process(frames)
    stream, parts = HeatmapStream(engine, stride=2), []
    while frames:
        size = sizes[len(frames) % len(sizes)]
        parts += stream.process(frames[:size])
        frames = frames[size:]
    for part, wanted in zip(parts, whole, strict=True):
        assert (part.first_frame, part.last_frame) == (wanted.first_frame, wanted.last_frame)
        np.testing.assert_allclose(part.probabilities, wanted.probabilities, atol=1e-5, rtol=0)


def test_streams_that_share_an_engine_do_not_disturb_each_other(name: EngineName) -> None:
    engine = make_engine(name, *NETWORKS[1])
    alone = HeatmapStream(engine, stride=1).process([make_frame(index) for index in range(8)])
    ours, other = HeatmapStream(engine, stride=1), HeatmapStream(engine, stride=1)
    together = []
    for index in range(8):
        together += ours.process([make_frame(index)])
        other.process([make_frame(index + 3)])
    for heatmap, wanted in zip(together, alone, strict=True):
        np.testing.assert_allclose(heatmap.probabilities, wanted.probabilities, atol=1e-5, rtol=0)


def test_an_engine_says_what_it_is(name: EngineName) -> None:
    engine, checkpoint = make_engine(name, *NETWORKS[2]), make_checkpoint(*NETWORKS[2])
    assert (engine.name, engine.precision) == (name, "32-true")
    weights = engine.weights
    assert (weights.model, weights.seq_length, weights.target_size) == (checkpoint.model, SEQ_LENGTH, SIZE)
    assert (weights.threshold, weights.fps, weights.digest) == (0.5, 25, checkpoint.digest)


PARTS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=4)


@FEW
@given(parts=PARTS, number=st.integers(0, len(NETWORKS) - 1))
def test_streams_encoded_together_get_what_each_gets_alone(
    name: EngineName, parts: list[tuple[int, int]], number: int
) -> None:
    """`parts` are frames that a stream had before, and its new ones."""
    engine = make_engine(name, *NETWORKS[number])
    given_parts, alone = [], []
    for place, (num_before, num_new) in enumerate(parts):
        frames = np.stack([make_frame(place + index).pixels for index in range(num_before + num_new)])
        context = engine.encode(frames[:num_before])[1] if num_before else None
        given_parts.append((frames[num_before:], context))
        alone.append(engine.encode(frames[num_before:], context))
    together = engine.encode_streams(given_parts)
    atol = 1e-4 if name == "torch" else 0  # sums of a batch may be taken in another order
    for (gates, context), (wanted_gates, wanted_context) in zip(together, alone, strict=True):
        assert len(gates) == len(wanted_gates)
        for one, wanted in zip(gates, wanted_gates, strict=True):
            np.testing.assert_allclose(one, wanted, atol=atol, rtol=0)
        follow = [engine.encode(frames[:1], then)[0][0] for then in (context, wanted_context)]
        np.testing.assert_allclose(follow[0], follow[1], atol=atol, rtol=0)


def test_frames_under_way_at_a_time_come_out_as_one_by_one(name: EngineName) -> None:
    engine = make_engine(name, *NETWORKS[3])
    frames = np.stack([make_frame(index).pixels for index in range(9)])
    together, _ = engine.encode(frames)
    context = None
    for frame, wanted in zip(frames, together, strict=True):
        [gates], context = engine.encode([frame], context)
        np.testing.assert_allclose(gates, wanted, atol=1e-4 if name == "torch" else 0, rtol=0)


@pytest.mark.parametrize("engine_name", ["onnx", "openvino"])
def test_a_call_that_was_interrupted_leaves_nothing_behind(engine_name: EngineName) -> None:
    if not (is_installed(engine_name) and is_installed("export")):
        pytest.skip(f"needs the packages of engine {engine_name}: pip install -r requirements-engines.txt")
    engine = make_engine(engine_name, *NETWORKS[1])
    assert isinstance(engine, GraphEngine)
    frames = np.stack([make_frame(index).pixels for index in range(4)])
    wanted, _ = engine.encode(frames)
    for num_taken in (1, 2, 3):
        under_way = engine._encode_all([(frame, deque(maxlen=max(LAGS))) for frame in frames])
        for _ in range(num_taken):
            next(under_way)
        under_way.close()  # with a frame in the encoder
        np.testing.assert_array_equal(engine.encode(frames)[0], wanted)
