"""Weights and a source to heatmaps."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from convlstm.clips import too_short
from convlstm.config import SHIPPED, DetectPrecision, EngineName, Mode
from convlstm.inference.engines.base import Weights
from convlstm.inference.open import open_engine
from convlstm.inference.stream import FRAMES_PER_CALL, HeatmapStream
from convlstm.sources.ahead import decoded_ahead
from convlstm.sources.base import Source
from convlstm.sources.live import LiveSource
from convlstm.sources.open import open_source
from convlstm.types import Frame, Heatmap

if TYPE_CHECKING:  # what runs exported graphs must not wait for torch
    from convlstm.models.checkpoint import Checkpoint


class Predictor:
    """`for heatmap in Predictor("best.pth")("clip.mp4"): ...`

    Takes what detection needs from the weights, a file, a Checkpoint or the folder of an export: classes, window
    length, frame size, threshold. Without an argument they are those that come with the package. Raises
    CheckpointError, and ConfigError for a device, an engine or a precision that cannot be had.
    """

    def __init__(
        self,
        weights: "str | Path | Checkpoint" = SHIPPED,
        *,
        device: str = "auto",
        stride: int = 3,
        mode: Mode = "windowed",
        engine: EngineName = "auto",
        precision: DetectPrecision = "auto",
    ) -> None:
        self.engine = open_engine(weights, engine=engine, device=device, precision=precision)
        self.stride = stride
        self.mode = mode

    @property
    def checkpoint(self) -> Weights:
        """What the weights say of themselves: classes, window length, frame size, threshold, digest."""
        return self.engine.weights

    def __call__(self, source: Source | str | Path, *, pad_short: bool = False) -> Iterator[Heatmap]:
        """All windows of a source, in time order.

        Raises DataError where the source cannot be read, or is too short for one window and `pad_short` is off.
        """
        opened = source if isinstance(source, Source) else open_source(source)
        frames: Iterable[Frame] = opened
        if not isinstance(opened, LiveSource):  # which decodes in a process of its own
            frames = (resized for _, resized in decoded_ahead(opened, self.checkpoint.target_size))
        return self.heatmaps(frames, opened.name, pad_short=pad_short)

    def heatmaps(self, frames: Iterable[Frame], name: str, *, pad_short: bool = False) -> Iterator[Heatmap]:
        """As calling, for any frames in time order; `name` is used in messages."""
        stream = self.stream()
        remaining = iter(frames)
        num_windows, longest, run, last_index = 0, 0, 0, -2
        while chunk := list(islice(remaining, FRAMES_PER_CALL)):
            for frame in chunk:
                run = run + 1 if frame.index == last_index + 1 else 1
                longest, last_index = max(longest, run), frame.index
            for heatmap in stream.process(chunk):
                num_windows += 1
                yield heatmap
        padded = stream.pad() if pad_short and not num_windows else []
        yield from padded
        if not num_windows and not padded:
            seq_length = self.checkpoint.seq_length
            raise too_short(name, longest, seq_length, remedies="set short_sequences to repeat_last to pad it")

    def stream(self, *, target_size: tuple[int, int] | None = None) -> HeatmapStream:
        """A fresh stream for frames that arrive one by one; `target_size` as in HeatmapStream."""
        return HeatmapStream(self.engine, stride=self.stride, mode=self.mode, target_size=target_size)
