"""What is timed: all measures of one run take turns, so that whatever else the machine does falls on all alike.

Shapes: N frames, T frames of a window, W windows, K classes, GH GW cells.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from convlstm.benchmark.clip import stacked
from convlstm.benchmark.machine import seconds_of
from convlstm.benchmark.plain import PlainNetwork, plain_heatmaps, plain_network
from convlstm.config import DetectConfig
from convlstm.detection import DetectJob
from convlstm.events import EventTracker
from convlstm.heatmap import hot_cells, window_score
from convlstm.inference.engines.base import Context, Engine, Gates
from convlstm.inference.predictor import Predictor
from convlstm.inference.probabilities import dynamic_probability
from convlstm.inference.stream import FRAMES_PER_CALL
from convlstm.models.checkpoint import Checkpoint
from convlstm.opencv_threads import opencv_in_one_thread
from convlstm.report.results import ResultsFolder
from convlstm.sources.ahead import decoded_ahead
from convlstm.sources.open import find_sources
from convlstm.sources.video import VideoSource
from convlstm.types import Float32Array, Frame, Heatmap

logger = logging.getLogger(__name__)

MAX_PLAIN_WINDOWS = 12
"""The plain baseline is slow: more windows would only take longer."""


@dataclass(frozen=True)
class Measure:
    """Something to time: `work` does it for `num_frames` frames, anew with each call.

    `gflop` is what one frame costs, None where that is not counted.
    """

    name: str
    work: Callable[[], object]
    num_frames: int
    engine: str = ""
    precision: str = ""
    gflop: float | None = None

    @property
    def title(self) -> str:
        """For people."""
        return " ".join(word for word in (self.name, self.engine, self.precision) if word)


def time_all(measures: Sequence[Measure], repeats: int) -> list[list[float]]:
    """Seconds of every run of each measure; each is run once before, which is not counted, and then all take turns."""
    seconds: list[list[float]] = [[] for _ in measures]
    with _without_warnings():
        for number, measure in enumerate(measures, start=1):
            logger.info("warming up: %s (%d of %d)", measure.title, number, len(measures))
            measure.work()
        for repeat in range(1, repeats + 1):
            logger.info("measuring: %d of %d", repeat, repeats)
            for times, measure in zip(seconds, measures, strict=True):
                times.append(seconds_of(measure.work))
    return seconds


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Detection would say the same of the clip with each run."""
    loggers = [logging.getLogger(f"convlstm.{name}") for name in ("watch", "detection")]
    levels = [quiet.level for quiet in loggers]
    try:
        for quiet in loggers:
            quiet.setLevel(logging.ERROR)
        yield
    finally:
        for quiet, level in zip(loggers, levels, strict=True):
            quiet.setLevel(level)


def classical_measures(clip: Path, frames: list[Frame], size: tuple[int, int]) -> list[Measure]:
    """The decoder alone, OpenCV's background subtractors, and MOG2 fed by the decoder."""
    num_frames = len(frames)

    def decode() -> None:
        for _ in VideoSource(clip):
            pass

    def subtract(make: Callable[[], cv2.BackgroundSubtractor]) -> None:
        subtractor = make()
        for frame in frames:
            subtractor.apply(frame.pixels)

    def decode_and_subtract() -> None:
        subtractor = cv2.createBackgroundSubtractorMOG2()
        for _, resized in decoded_ahead(VideoSource(clip), size):
            subtractor.apply(resized.pixels)

    return [
        Measure("decode", decode, num_frames),
        Measure("mog2", lambda: subtract(cv2.createBackgroundSubtractorMOG2), num_frames),
        Measure("knn", lambda: subtract(cv2.createBackgroundSubtractorKNN), num_frames),
        Measure("decode and mog2", decode_and_subtract, num_frames),
    ]


class PlainBaseline:
    """Window by window in torch, float32; `heatmaps` (W, GH, GW) are those of its windows, for comparison."""

    def __init__(self, checkpoint: Checkpoint, frames: list[Frame], *, stride: int, device: torch.device) -> None:
        self.seq_length, self.stride, self.device = checkpoint.seq_length, stride, device
        self.network = plain_network(checkpoint.model, checkpoint.weights).to(device)
        most = self.seq_length + stride * (MAX_PLAIN_WINDOWS - 1)
        self.frames = stacked(frames[:most])
        outputs = np.stack(list(self._run()))
        index = checkpoint.model.dynamic_index
        is_binary = outputs.shape[1] == 1
        self.heatmaps: Float32Array = (
            outputs[:, 0] if is_binary else outputs[:, index] if index is not None else 1 - outputs[:, 0]
        )

    def measure(self) -> Measure:
        """A window stands for the `stride` frames by which it goes on."""
        encode, recur = frame_gflop(self.network, self.frames.shape[1:3])
        gflop = self.seq_length * (encode + recur) / self.stride
        num_frames = len(self.heatmaps) * self.stride
        return Measure("plain baseline", lambda: list(self._run()), num_frames, "torch", "32-true", gflop)

    def _run(self) -> Iterator[Float32Array]:
        return plain_heatmaps(
            self.network, self.frames, seq_length=self.seq_length, stride=self.stride, device=self.device
        )

    def difference_of(self, engine: Engine) -> float:
        """The largest difference of an engine's heatmaps from these, in probability."""
        gates = encode_all(engine, [Frame(pixels, i, 0.0) for i, pixels in enumerate(self.frames)])
        windows = windows_of(len(gates), self.seq_length, self.stride)
        found = dynamic_probability(engine.window_head(gates, windows), engine.weights.model)
        return float(np.abs(found - self.heatmaps).max())


def engine_measures(
    predictor: Predictor, label: str, clip: Path, frames: list[Frame], network: PlainNetwork
) -> list[Measure]:
    """Encoder (with stem) alone, recurrence alone, both through the window stream, and detection from file to files."""
    engine, stride = predictor.engine, predictor.stride
    gates = encode_all(engine, frames)
    windows = windows_of(len(frames), engine.weights.seq_length, stride)
    encode_gflop, step_gflop = frame_gflop(network, engine.weights.target_size)
    recur_gflop = step_gflop * engine.weights.seq_length / stride

    def stream() -> None:
        through = predictor.stream()
        for chunk in chunks(frames):
            through.process(chunk)

    def recur() -> None:
        per_call = max(1, FRAMES_PER_CALL // stride)
        for begin in range(0, len(windows), per_call):
            some = windows[begin : begin + per_call]
            first = int(some[0, 0])
            engine.window_head(gates[first : int(some[-1, -1]) + 1], some - first)

    def end_to_end() -> None:
        with tempfile.TemporaryDirectory() as folder:
            config = DetectConfig(output=Path(folder), stride=stride)
            DetectJob(predictor, config).run(find_sources(clip, batch=False))

    def make(name: str, work: Callable[[], object], gflop: float | None) -> Measure:
        return Measure(name, opencv_in_one_thread()(work), len(frames), engine.name, label, gflop)  # as in `detect`

    return [
        make("encode", lambda: encode_all(engine, frames), encode_gflop),
        make("recurrence", recur, recur_gflop),
        make("engine", stream, encode_gflop + recur_gflop),
        make("end to end", end_to_end, encode_gflop + recur_gflop),
    ]


def write_measure(predictor: Predictor, frames: list[Frame]) -> Measure:
    """Events and result files of heatmaps that are there already."""
    stream, threshold = predictor.stream(), predictor.checkpoint.threshold
    heatmaps: list[Heatmap] = [heatmap for chunk in chunks(frames) for heatmap in stream.process(chunk)]
    config = DetectConfig()

    def write() -> None:
        tracker = EventTracker(
            threshold=threshold,
            hysteresis=config.event_hysteresis,
            min_seconds=config.event_min_seconds,
            max_gap_seconds=config.event_max_gap_seconds,
            max_distance=config.event_max_distance,
        )
        with tempfile.TemporaryDirectory() as folder:
            results = ResultsFolder(Path(folder))
            results.begin("clip")
            for heatmap in heatmaps:
                num_hot = int(hot_cells(heatmap.probabilities, threshold).sum())
                probability = window_score(heatmap.probabilities)
                results.add_window("clip", heatmap, probability=probability, num_hot=num_hot)
                tracker.process(heatmap)
            tracker.flush()

    return Measure("write", write, len(frames))


def encode_all(engine: Engine, frames: list[Frame]) -> list[Gates]:
    """Gates of all frames of a stream, as many a call as detection takes."""
    gates: list[Gates] = []
    context: Context = None
    for chunk in chunks(frames):
        new, context = engine.encode([frame.pixels for frame in chunk], context)
        gates += new
    return gates


def chunks(frames: list[Frame]) -> Iterator[list[Frame]]:
    """As many frames as detection takes in a call."""
    return (frames[begin : begin + FRAMES_PER_CALL] for begin in range(0, len(frames), FRAMES_PER_CALL))


def windows_of(num_frames: int, seq_length: int, stride: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Places int64 (W, T) of the frames of all windows."""
    starts = np.arange(0, num_frames - seq_length + 1, stride, dtype=np.int64)
    return starts[:, None] + np.arange(seq_length, dtype=np.int64)


def frame_gflop(network: PlainNetwork, size: tuple[int, int]) -> tuple[float, float]:
    """What convolutions take to encode a frame, and for one step of the recurrence; counted from shapes."""
    first = network.encoder[0]
    assert isinstance(first, torch.nn.Conv2d)
    blank = deepcopy(network).to("meta")
    height, width = (side // network.downsample for side in size)
    features = torch.empty(1, first.in_channels, height, width, device="meta")
    with torch.inference_mode():
        with FlopCounterMode(display=False) as encode:
            gates = blank.conv_x(blank.encoder(features))
        with FlopCounterMode(display=False) as recur:
            blank.conv_h(gates[:, : blank.conv_h.in_channels])
    return encode.get_total_flops() / 1e9, recur.get_total_flops() / 1e9
