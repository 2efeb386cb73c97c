"""Encoding every frame once must give what the network gives for every window by itself."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from convlstm.clips import consecutive_runs, count_windows, resize_frame, window_frames, window_starts
from convlstm.config import Mode, Stem
from convlstm.inference.engines.base import Context, Frames, Gates
from convlstm.inference.engines.torch import TorchEngine
from convlstm.inference.stream import FRAMES_PER_CALL, HeatmapStream, process_streams
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.types import Frame, Heatmap

SEQ_LENGTH = 4
SIZE = (64, 96)
THREE = ("static", "dynamic", "negative")
TOLERANCE = 1e-5
MODES: tuple[Mode, ...] = ("stateful", "windowed")
FEW = settings(max_examples=max(5, settings().max_examples // 6))  # each runs the network


@cache
def make_model(stem: Stem = "rgb", classes: tuple[str, ...] = ("static", "dynamic")) -> TemporalClassifier:
    """Random weights, large enough that heatmaps of different windows differ a lot; rounding is then about 1e-6."""
    torch.manual_seed(0)
    model = TemporalClassifier(stem=stem, classes=classes).eval()
    with torch.no_grad():
        for layer in model.encoder:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(2)
    return model


@cache
def make_frame(index: int, size: tuple[int, int] = SIZE) -> Frame:
    pixels = np.random.RandomState(index).randint(0, 256, (*size, 3)).astype(np.uint8)
    return Frame(pixels, index, index / 10)


def make_stream(
    model: TemporalClassifier, stride: int = 1, seq_length: int = SEQ_LENGTH, mode: Mode = "windowed"
) -> HeatmapStream:
    checkpoint = Checkpoint(model.state_dict(), model.config, seq_length, SIZE, threshold=0.5, fps=10)
    return HeatmapStream(TorchEngine(checkpoint, device="cpu"), stride=stride, mode=mode)


def in_chunks(frames: Sequence[Frame], sizes: Sequence[int]) -> list[Sequence[Frame]]:
    """Frames cut into calls of these sizes, over and over."""
    chunks: list[Sequence[Frame]] = []
    start = 0
    while start < len(frames):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(frames[start : start + size])
        start += size
    return chunks


def run(stream: HeatmapStream, chunks: Sequence[Sequence[Frame]]) -> list[Heatmap]:
    return [heatmap for chunk in chunks for heatmap in stream.process(chunk)]


@cache
def expected(
    stem: Stem, stride: int, indices: tuple[int, ...], classes: tuple[str, ...] = ("static", "dynamic")
) -> list[tuple[int, NDArray[np.float32]]]:
    """First frame and output (K, GH, GW) of each window, from the network that takes whole windows."""
    model = make_model(stem, classes)
    num_context = model.config.num_context
    firsts, clips = [], []
    for stretch in consecutive_runs(indices):
        for start in window_starts(len(stretch), SEQ_LENGTH, stride):
            firsts.append(stretch.start + start)
            chosen = window_frames(firsts[-1], SEQ_LENGTH, num_context, stretch)
            clips.append(np.stack([make_frame(index).pixels for index in chosen]))
    if not clips:
        return []
    with torch.inference_mode():
        outputs = model(torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3), num_context).numpy()
    return list(zip(firsts, outputs, strict=True))


def check(stem: Stem, stride: int, indices: Sequence[int], sizes: Sequence[int]) -> None:
    frames = [make_frame(index) for index in indices]
    heatmaps = run(make_stream(make_model(stem), stride), in_chunks(frames, sizes))
    wanted = expected(stem, stride, tuple(indices))
    assert [heatmap.first_frame for heatmap in heatmaps] == [first for first, _ in wanted]
    for heatmap, (first, output) in zip(heatmaps, wanted, strict=True):
        np.testing.assert_allclose(heatmap.probabilities, output[0], atol=TOLERANCE, rtol=0)
        assert (heatmap.last_frame, heatmap.start_seconds) == (first + SEQ_LENGTH - 1, first / 10)
        assert heatmap.end_seconds == (first + SEQ_LENGTH - 1) / 10


@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_windows_differ_by_far_more_than_the_tolerance(stem: Stem) -> None:
    outputs = [output for _, output in expected(stem, 1, tuple(range(22)))]
    differences = [np.abs(a - b).max() for i, a in enumerate(outputs) for b in outputs[:i]]
    assert min(differences) > 1000 * TOLERANCE


@pytest.mark.parametrize("stride", [1, 3, 7])
@pytest.mark.parametrize("stem", ["rgb", "motion"])
@FEW
@given(sizes=st.lists(st.integers(1, 25), min_size=1, max_size=6))
def test_windows_equal_those_run_one_by_one(stem: Stem, stride: int, sizes: list[int]) -> None:
    check(stem, stride, range(22), sizes)


@pytest.mark.parametrize("stem", ["rgb", "motion"])
@FEW
@given(
    lost=st.sets(st.integers(0, 21), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=4),
)
def test_no_window_and_no_lag_reaches_over_a_gap(stem: Stem, lost: set[int], sizes: list[int]) -> None:
    check(stem, 1, [index for index in range(22) if index not in lost], sizes)


def test_strides_start_anew_after_a_gap() -> None:
    frames = [make_frame(index) for index in (*range(6), *range(10, 18))]
    heatmaps = make_stream(make_model(), stride=3).process(frames)
    assert [(h.first_frame, h.last_frame) for h in heatmaps] == [(0, 3), (10, 13), (13, 16)]
    assert [(h.start_seconds, h.end_seconds) for h in heatmaps] == [(0.0, 0.3), (1.0, 1.3), (1.3, 1.6)]


def test_an_index_that_goes_back_is_a_gap_too() -> None:
    stream = make_stream(make_model("motion"))
    once = stream.process([make_frame(index) for index in range(5)])
    again = stream.process([make_frame(index) for index in range(5)])
    assert [h.first_frame for h in again] == [0, 1]
    for first, second in zip(once, again, strict=True):
        np.testing.assert_array_equal(first.probabilities, second.probabilities)


@FEW
@given(num_frames=st.integers(0, 40), seq_length=st.integers(1, 6), stride=st.integers(1, 9))
def test_number_of_windows(num_frames: int, seq_length: int, stride: int) -> None:
    stream = make_stream(make_model(), stride, seq_length)
    frame = make_frame(0)
    frames = [Frame(frame.pixels, index, 0.0) for index in range(num_frames)]
    count = len(run(stream, in_chunks(frames, [12])))
    assert count == count_windows(num_frames, seq_length, stride)
    if num_frames >= seq_length:
        assert count == (num_frames - seq_length) // stride + 1


@pytest.mark.parametrize("classes", [THREE, ("calm", "smoke", "fire")])
def test_more_classes_become_one_probability_of_being_dynamic(classes: tuple[str, ...]) -> None:
    model = make_model("rgb", classes)
    frames = [make_frame(index) for index in range(6)]
    heatmaps = make_stream(model).process(frames)
    outputs = [output for _, output in expected("rgb", 1, tuple(range(6)), classes)]
    assert len(heatmaps) == len(outputs) == 3
    for heatmap, output in zip(heatmaps, outputs, strict=True):
        dynamic = output[1] if "dynamic" in classes else output[1] + output[2]
        np.testing.assert_allclose(heatmap.probabilities, dynamic, atol=TOLERANCE, rtol=0)
        # The window as a whole: softmax over each class's highest margin over the first class.
        margins = np.log(output) - np.log(output[0])
        odds = np.exp(margins.max(axis=(1, 2)))
        np.testing.assert_allclose(heatmap.class_probabilities, odds / odds.sum(), rtol=1e-3)
        assert sum(heatmap.class_probabilities) == pytest.approx(1, abs=1e-6)


def test_two_classes_the_window_is_dynamic_as_its_highest_cell() -> None:
    for heatmap in make_stream(make_model()).process([make_frame(index) for index in range(8)]):
        static, dynamic = heatmap.class_probabilities
        assert dynamic == pytest.approx(float(heatmap.probabilities.max()), abs=1e-6)
        assert static + dynamic == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("size", [(50, 70), (128, 192), (300, 40)])
def test_frames_of_other_sizes_are_resized(size: tuple[int, int]) -> None:
    frames = [make_frame(index, size) for index in range(SEQ_LENGTH)]
    resized = [Frame(resize_frame(frame.pixels, SIZE), frame.index, 0.0) for frame in frames]
    [heatmap], [wanted] = (make_stream(make_model("motion")).process(some) for some in (frames, resized))
    assert heatmap.probabilities.shape == (2, 3)
    np.testing.assert_array_equal(heatmap.probabilities, wanted.probabilities)


@pytest.mark.parametrize("stem", ["rgb", "motion"])
@pytest.mark.parametrize("chunk", [1, 5])
def test_what_is_kept_does_not_grow(stem: Stem, chunk: int) -> None:
    stream = make_stream(make_model(stem), stride=50)
    frames = [make_frame(index) for index in range(60)]
    kept = []
    for part in in_chunks(frames, [chunk]):
        stream.process(part)
        assert len(stream._gates) < SEQ_LENGTH and len(stream._places) <= SEQ_LENGTH
        assert stream._context is None or len(stream._context) <= 9
        tensors = [tensor for tensor in (*stream._gates, stream._context) if tensor is not None]
        for tensor in tensors:
            assert tensor.untyped_storage().nbytes() == tensor.nbytes  # no view that keeps a whole call alive
        kept.append(sum(tensor.nbytes for tensor in tensors))
    assert max(kept[len(kept) // 2 :]) <= max(kept[: len(kept) // 2])
    assert (stream._context is None) == (stem == "rgb")


def test_padding_repeats_the_last_frame_and_keeps_its_true_place() -> None:
    stream = make_stream(make_model("motion"))
    frames = [make_frame(7), make_frame(8)]
    assert stream.process(frames) == []
    [heatmap] = stream.pad()
    assert (heatmap.first_frame, heatmap.last_frame) == (7, 8)
    assert (heatmap.start_seconds, heatmap.end_seconds) == (0.7, 0.8)
    repeated = [*frames, *(Frame(frames[1].pixels, 9 + i, 0.0) for i in range(SEQ_LENGTH - 2))]
    [wanted] = make_stream(make_model("motion")).process(repeated)
    np.testing.assert_array_equal(heatmap.probabilities, wanted.probabilities)
    assert heatmap.class_probabilities == wanted.class_probabilities


def test_nothing_to_pad() -> None:
    stream = make_stream(make_model())
    assert stream.pad() == [] and stream.process([]) == []
    assert len(stream.process([make_frame(index) for index in range(SEQ_LENGTH)])) == 1
    assert stream.pad() == []


@pytest.mark.parametrize("stem", ["rgb", "motion"])
@FEW
@given(stride=st.integers(1, 4), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_a_carried_state_is_that_of_all_frames_since_the_gap(stem: Stem, stride: int, sizes: list[int]) -> None:
    frames = [make_frame(index) for index in (*range(8), *range(10, 17))]
    heatmaps = run(make_stream(make_model(stem), stride, mode="stateful"), in_chunks(frames, sizes))
    windowed = run(make_stream(make_model(stem), stride), in_chunks(frames, sizes))
    assert [(h.first_frame, h.last_frame) for h in heatmaps] == [(h.first_frame, h.last_frame) for h in windowed]
    for heatmap in heatmaps:
        start = 0 if heatmap.last_frame < 8 else 10
        length = heatmap.last_frame + 1 - start
        [wanted] = make_stream(make_model(stem), seq_length=length).process(
            [make_frame(index) for index in range(start, start + length)]
        )
        np.testing.assert_allclose(heatmap.probabilities, wanted.probabilities, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(heatmap.class_probabilities, wanted.class_probabilities, atol=TOLERANCE, rtol=0)


def test_a_carried_state_keeps_no_gates() -> None:
    stream = make_stream(make_model("motion"), mode="stateful")
    for index in range(20):
        stream.process([make_frame(index)])
        assert stream._gates == [] and len(stream._places) <= SEQ_LENGTH


def test_a_carried_state_differs_from_a_window_once_there_is_more_before_it() -> None:
    frames = [make_frame(index) for index in range(8)]
    stateful, windowed = (make_stream(make_model(), mode=mode).process(frames) for mode in MODES)
    np.testing.assert_allclose(stateful[0].probabilities, windowed[0].probabilities, atol=TOLERANCE, rtol=0)
    assert np.abs(stateful[-1].probabilities - windowed[-1].probabilities).max() > 100 * TOLERANCE


def test_a_short_stretch_is_padded_with_a_carried_state_too() -> None:
    stateful, windowed = (make_stream(make_model("motion"), mode=mode) for mode in MODES)
    for stream in (stateful, windowed):
        assert stream.process([make_frame(7), make_frame(8)]) == []
    [heatmap], [wanted] = stateful.pad(), windowed.pad()
    assert (heatmap.first_frame, heatmap.last_frame) == (7, 8)
    np.testing.assert_allclose(heatmap.probabilities, wanted.probabilities, atol=TOLERANCE, rtol=0)


def test_another_size_than_the_weights_have() -> None:
    engine = make_stream(make_model("motion")).engine
    [heatmap] = HeatmapStream(engine, stride=1, target_size=(32, 64)).process([make_frame(i) for i in range(4)])
    assert heatmap.probabilities.shape == (1, 2)


@FEW
@given(
    runs=st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=4), min_size=1, max_size=4),
    mode=st.sampled_from(MODES),
)
def test_streams_processed_together_find_what_each_finds_alone(runs: list[list[tuple[int, int]]], mode: Mode) -> None:
    """`runs`: of each stream, how many frames are missing before how many that come."""
    model = make_model("motion")
    work = []
    for stretches in runs:
        index, frames = 0, []
        for num_missing, num_frames in stretches:
            index += num_missing
            frames += [make_frame(i) for i in range(index, index + num_frames)]
            index += num_frames
        work.append(frames)
    alone = [make_stream(model, mode=mode).process(frames) for frames in work]
    shared = make_stream(model, mode=mode).engine
    streams = [HeatmapStream(shared, stride=1, mode=mode) for _ in work]
    halves = [(frames[: len(frames) // 2], frames[len(frames) // 2 :]) for frames in work]
    first = process_streams([(stream, half) for stream, (half, _) in zip(streams, halves, strict=True)])
    second = process_streams([(stream, half) for stream, (_, half) in zip(streams, halves, strict=True)])
    for wanted, *found in zip(alone, first, second, strict=True):
        together = found[0] + found[1]
        assert [h.first_frame for h in together] == [h.first_frame for h in wanted]
        for one, other in zip(together, wanted, strict=True):
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=TOLERANCE, rtol=0)
            assert (one.last_frame, one.start_seconds, one.end_seconds) == (
                other.last_frame,
                other.start_seconds,
                other.end_seconds,
            )


def test_frames_of_several_streams_share_calls_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_stream(make_model()).engine
    calls: list[list[int]] = []
    encode_streams = engine.encode_streams

    def count(parts: Sequence[tuple[Frames, Context]]) -> list[tuple[list[Gates], Context]]:
        calls.append([len(frames) for frames, _ in parts])
        return encode_streams(parts)

    monkeypatch.setattr(engine, "encode_streams", count)
    frames = [make_frame(index) for index in range(FRAMES_PER_CALL + 1)]
    waiting = [FRAMES_PER_CALL - 2, 1, 1, 0, 1, FRAMES_PER_CALL + 1, 2]
    process_streams([(HeatmapStream(engine, stride=1), frames[:number]) for number in waiting])
    assert calls == [[FRAMES_PER_CALL - 2, 1, 1], [1], [FRAMES_PER_CALL + 1], [2]]
