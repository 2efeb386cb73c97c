"""One face for all that can run the network: frames in, gates out; windows of gates in, logits out.

Shapes: N new frames, M frames whose gates are at hand, W windows of T frames, D hidden channels, K output channels,
H W pixels, GH GW cells.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convlstm.config import ModelConfig
from convlstm.types import Float32Array, UInt8Array

Gates: TypeAlias = Any
"""`conv_x` of one encoded frame, 4D x GH x GW values, in the form and on the device in which its engine wants it."""

Context: TypeAlias = Any
"""What an engine keeps of earlier frames for the lags of the motion stem; None at the start of a stretch."""

Frames: TypeAlias = Sequence[UInt8Array] | UInt8Array
"""RGB frames uint8 (N, H, W, 3) of one size, one by one or in one array."""

State: TypeAlias = Any
"""(h, c) of the ConvLSTM in the engine's form; None is the zero state."""


class Weights(Protocol):
    """What detection asks of weights: `models.checkpoint.Checkpoint` and an `ExportedModel` both answer."""

    @property
    def model(self) -> ModelConfig:
        """What the network is."""

    @property
    def seq_length(self) -> int:
        """T: frames per window."""

    @property
    def target_size(self) -> tuple[int, int]:
        """(H, W) of the resized frame."""

    @property
    def threshold(self) -> float:
        """Probability from which a cell counts as dynamic."""

    @property
    def fps(self) -> float:
        """Frame rate seen in training."""

    @property
    def digest(self) -> str:
        """Identifies the content."""


class Engine(Protocol):
    """Runs one network; holds nothing of any stream, so that many streams can share it.

    `name` is torch, onnx or openvino, `precision` that of the encoder: 32-true or bf16-mixed. The recurrence computes
    in float32 always.
    """

    name: str
    precision: str

    @property
    def weights(self) -> Weights:
        """What the network was trained for."""

    def encode(self, frames: Frames, context: Context = None) -> tuple[list[Gates], Context]:
        """Frames that follow each other to the gates of each, and the context for the next call."""

    def encode_streams(self, parts: Sequence[tuple[Frames, Context]]) -> list[tuple[list[Gates], Context]]:
        """As `encode` for each part, frames of one size and a context: together, which is faster than in turns."""

    def window_head(self, gates: Sequence[Gates], windows: NDArray[np.int64]) -> Float32Array:
        """M gates and windows (W, T), places in them, to logits (W, K, GH, GW), from the zero state."""

    def step(self, gates: Gates, state: State = None) -> tuple[Float32Array, State]:
        """The gates of one frame and the state before it to logits (K, GH, GW) and the state after it."""
