import logging

import numpy as np
import pytest
import torch

from convlstm.benchmark.measures import Measure, PlainBaseline, chunks, encode_all, frame_gflop, time_all, windows_of
from convlstm.benchmark.plain import PlainNetwork
from convlstm.clips import window_starts
from convlstm.inference.engines.torch import TorchEngine
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.types import Frame


def make_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = TemporalClassifier(stem="motion")
    return Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25)


def make_frames(count: int) -> list[Frame]:
    random = np.random.RandomState(0)
    return [Frame(random.randint(0, 256, (64, 96, 3)).astype(np.uint8), i, i / 25) for i in range(count)]


def test_all_take_turns_after_a_warm_up_that_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    measures = [Measure(name, lambda name=name: calls.append(name), 1) for name in "ab"]  # type: ignore[misc]
    with caplog.at_level(logging.INFO, logger="convlstm"):
        seconds = time_all(measures, 3)
    assert "".join(calls) == "ababab" + "ab"
    assert [len(times) for times in seconds] == [3, 3]
    assert caplog.messages[0] == "warming up: a (1 of 2)" and caplog.messages[-1] == "measuring: 3 of 3"


def test_detection_is_silent_only_while_it_is_timed(caplog: pytest.LogCaptureFixture) -> None:
    detection = logging.getLogger("convlstm.detection")
    with caplog.at_level(logging.INFO, logger="convlstm"):
        time_all([Measure("a", lambda: detection.warning("again"), 1)], 2)
        detection.warning("once")
    assert [message for message in caplog.messages if message in ("again", "once")] == ["once"]


@pytest.mark.parametrize(("num_frames", "stride"), [(16, 3), (12, 1), (4, 3), (3, 1)])
def test_windows_are_those_of_detection(num_frames: int, stride: int) -> None:
    windows = windows_of(num_frames, 4, stride)
    assert windows.tolist() == [list(range(s, s + 4)) for s in window_starts(num_frames, 4, stride)]


def test_frames_come_in_calls_as_detection_makes_them() -> None:
    frames = make_frames(30)
    parts = list(chunks(frames))
    assert [len(part) for part in parts] == [12, 12, 6] and [f for part in parts for f in part] == frames
    engine = TorchEngine(make_checkpoint(), device="cpu")
    whole, _ = engine.encode(np.stack([frame.pixels for frame in frames]))
    for one, other in zip(encode_all(engine, frames), whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_the_work_of_a_frame_is_counted_from_shapes() -> None:
    def products(inputs: int, outputs: int, height: int, width: int) -> int:
        return 2 * inputs * outputs * height * width * 9

    channels, sides = (6, 16, 32, 64, 128, 64), ((32, 48), (16, 24), (8, 12), (4, 6), (2, 3))
    encoder = sum(products(channels[i], channels[i + 1], *sides[i]) for i in range(5))
    encode, step = frame_gflop(PlainNetwork((1, 3, 9)), (64, 96))
    assert encode == pytest.approx((encoder + products(64, 128, 2, 3)) / 1e9)
    assert step == pytest.approx(products(32, 128, 2, 3) / 1e9)


def test_the_baseline_knows_how_far_an_engine_is_off() -> None:
    checkpoint, frames = make_checkpoint(), make_frames(16)
    baseline = PlainBaseline(checkpoint, frames, stride=3, device=torch.device("cpu"))
    measure = baseline.measure()
    assert len(baseline.heatmaps) == 5 and measure.num_frames == 15
    assert measure.gflop == pytest.approx(4 / 3 * sum(frame_gflop(baseline.network, (64, 96))))
    assert baseline.difference_of(TorchEngine(checkpoint, device="cpu")) < 1e-5
    other = make_checkpoint()
    other.weights["final_classifier.bias"] += 1
    assert baseline.difference_of(TorchEngine(other, device="cpu")) > 0.01
