"""The network in PyTorch, on CPU, CUDA or MPS: the reference for the other engines."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convlstm.config import DetectPrecision
from convlstm.errors import ConfigError
from convlstm.inference.engines.base import Frames
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.convlstm import State
from convlstm.types import Float32Array

Part = tuple[Frames, Tensor | None]
Encoded = tuple[list[Tensor], Tensor | None]


class TorchEngine:
    """An `Engine`. Raises ConfigError for a device that is not there.

    `auto` precision is float32; bf16-mixed computes the encoder in bf16 and all else in float32.
    """

    name = "torch"

    def __init__(self, checkpoint: Checkpoint, *, device: str = "auto", precision: DetectPrecision = "auto") -> None:
        self.checkpoint = checkpoint
        self.device = resolve_device(device)
        self.precision: str = "32-true" if precision == "auto" else precision
        self.model = checkpoint.build_model().to(self.device)

    @property
    def weights(self) -> Checkpoint:
        """What the network was trained for."""
        return self.checkpoint

    def encode(self, frames: Frames, context: Tensor | None = None) -> Encoded:
        """As `Engine.encode`; gates (1, 4D, GH, GW) on the device, the context is greys (up to P, kinds, H, W)."""
        [encoded] = self.encode_streams([(frames, context)])
        return encoded

    def encode_streams(self, parts: Sequence[Part]) -> list[Encoded]:
        """As `Engine.encode_streams`: all frames are one batch."""
        config = self.model.config
        places = _places(parts)
        encode = torch.cat([own[-len(frames) :] for own, (frames, _) in zip(places, parts, strict=True)])
        lagged = torch.cat(
            [_lagged(own, len(frames), config.lags) for own, (frames, _) in zip(places, parts, strict=True)]
        )
        contexts = [context for _, context in parts if context is not None]
        pixels = torch.from_numpy(np.stack([frame for frames, _ in parts for frame in frames]))
        pixels = pixels.to(self.device).permute(0, 3, 1, 2)  # (N, 3, H, W)
        with torch.inference_mode(), self._autocast():
            pixels = self.model.shrink(pixels)
            gates, greys = self.model.encode_frames(pixels, encode, lagged, torch.cat(contexts) if contexts else None)
        # Copies, since views would keep the whole call's memory.
        each = iter([frame.clone() for frame in gates.split(1)])
        return [
            (list(islice(each, len(frames))), None if greys is None else greys[own[-config.num_context :]])
            for own, (frames, _) in zip(places, parts, strict=True)
        ]

    def window_head(self, gates: Sequence[Tensor], windows: NDArray[np.int64]) -> Float32Array:
        """As `Engine.window_head`."""
        with torch.inference_mode():
            logits = self.model.window_head(torch.cat(list(gates)), torch.from_numpy(windows))
        return _to_numpy(logits)

    def step(self, gates: Tensor, state: State | None = None) -> tuple[Float32Array, State]:
        """As `Engine.step`."""
        with torch.inference_mode():
            state = self.model.cell.step(gates, state)
            return _to_numpy(self.model.final_classifier(state[0])[0]), state

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16-mixed")


def _places(parts: Sequence[Part]) -> list[Tensor]:
    """Of each stream's earlier greys and new frames, int64 (E+N,), where all greys stand first, then all frames."""
    counts = [(0 if context is None else len(context), len(frames)) for frames, context in parts]
    grey, frame = 0, sum(num_earlier for num_earlier, _ in counts)
    places = []
    for num_earlier, num_new in counts:
        places.append(torch.cat([torch.arange(grey, grey + num_earlier), torch.arange(frame, frame + num_new)]))
        grey, frame = grey + num_earlier, frame + num_new
    return places


def _lagged(own: Tensor, num_new: int, lags: Sequence[int]) -> Tensor:
    """Places (N, L) of what the lags of a stream's new frames reach back to, at most to its first one."""
    now = torch.arange(len(own) - num_new, len(own))
    return own[(now[:, None] - torch.tensor(lags)).clamp(min=0)]


def _to_numpy(values: Tensor) -> Float32Array:
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)


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


def has_bf16(device_type: str) -> bool:
    """Whether such a device (cpu, cuda, mps) multiplies in bf16; where it is emulated, it is slower than float32."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device_type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
