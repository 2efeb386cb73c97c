"""A checkpoint and a source to heatmaps."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch

from convlstm.clips import too_short
from convlstm.errors import ConfigError
from convlstm.inference.stream import HeatmapStream
from convlstm.models.checkpoint import Checkpoint, load_checkpoint
from convlstm.sources.base import Source
from convlstm.sources.open import open_source
from convlstm.types import Frame, Heatmap

FRAMES_PER_CALL = 12


class Predictor:
    """`for heatmap in Predictor("best.pth")("clip.mp4"): ...`

    Takes what detection needs from the checkpoint: classes, window length, frame size, threshold.
    """

    def __init__(self, weights: str | Path | Checkpoint, *, device: str = "auto", stride: int = 3) -> None:
        self.checkpoint = weights if isinstance(weights, Checkpoint) else load_checkpoint(Path(weights))
        self.device = resolve_device(device)
        self.stride = stride
        self.model = self.checkpoint.build_model().to(self.device)

    def __call__(self, source: Source | str | Path, *, pad_short: bool = False) -> Iterator[Heatmap]:
        """All windows of a source, in time order.

        Raises DataError where the source cannot be read, or is too short for one window and `pad_short` is off.
        """
        opened = source if isinstance(source, Source) else open_source(source)
        return self.heatmaps(opened, opened.name, pad_short=pad_short)

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

    def stream(self) -> HeatmapStream:
        """A fresh stream for frames that arrive one by one."""
        return HeatmapStream(
            self.model,
            seq_length=self.checkpoint.seq_length,
            stride=self.stride,
            target_size=self.checkpoint.target_size,
            device=self.device,
        )


def resolve_device(device: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU. Raises ConfigError for a device that is not there."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).splitlines()[:1])
        raise ConfigError(f"device {device!r} cannot be used: {reason}; use auto or cpu") from error
    return chosen
