r"""How exported graphs are strung together, whatever runs them: nothing here imports torch.

    frame -> FrameStem -> features -> encoder -> gates ---> head (T gates) -> logits
               |                                    \-----> recurrence (1 gates, h, c) -> logits, h, c
               +--> greys, kept for the lags of later frames

Shapes: N new frames, M frames whose gates are at hand, W windows of T frames, C features, D hidden channels, K output
channels, H W pixels, GH GW cells.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convlstm.errors import ConfigError
from convlstm.inference.engines.base import Frames
from convlstm.inference.engines.exported import ENCODER, HEAD, RECURRENCE, ExportedModel
from convlstm.inference.engines.stem import FrameStem, Greys
from convlstm.types import Float32Array, UInt8Array

OUTPUTS: Mapping[str, tuple[str, ...]] = {
    ENCODER: ("gates",),
    RECURRENCE: ("logits", "next_h", "next_c"),
    HEAD: ("logits",),
}

Values = Mapping[str, NDArray[np.generic]]
Part = tuple[Frames, deque[Greys] | None]
Encoded = tuple[list[Float32Array], deque[Greys]]


class GraphEngine(ABC):
    """An `Engine` over three static graphs; its subclasses run one."""

    name: str
    precision: str

    def __init__(self, exported: ExportedModel, *, amplify: float = 1.0) -> None:
        self.exported = exported
        self._stem = FrameStem(exported.model, exported.target_size, amplify=amplify)

    @property
    def weights(self) -> ExportedModel:
        """What the network was trained for."""
        return self.exported

    @abstractmethod
    def _features(self) -> Float32Array:
        """Where the next frame's features (C, H, W) belong; two frames may be under way at a time."""

    @abstractmethod
    def _start_encoder(self) -> Any:
        """Begin to encode what was written there."""

    @abstractmethod
    def _finish_encoder(self, started: Any) -> dict[str, Float32Array]:
        """Wait for what `_start_encoder` began; the oldest one first."""

    @abstractmethod
    def _run(self, graph: str, inputs: Values) -> dict[str, Float32Array]:
        """Run one graph; what comes out stays as it is when it runs again."""

    def encode(self, frames: Frames, context: deque[Greys] | None = None) -> Encoded:
        """As `Engine.encode`; gates float32 (1, 4D, GH, GW), the context is the greys of up to P frames.

        Raises ConfigError for frames of another size than the graphs were made for.
        """
        [encoded] = self.encode_streams([(frames, context)])
        return encoded

    def encode_streams(self, parts: Sequence[Part]) -> list[Encoded]:
        """As `Engine.encode_streams`: frame by frame, the stem of one while the one before is in the encoder."""
        contexts = [
            context.copy() if context is not None else deque(maxlen=self.exported.model.num_context)
            for _, context in parts
        ]
        pairs = [(frame, earlier) for (frames, _), earlier in zip(parts, contexts, strict=True) for frame in frames]
        for frame, _ in pairs:
            self._check_size(frame)
        gates = self._encode_all(pairs)
        return [
            (list(islice(gates, len(frames))), earlier) for (frames, _), earlier in zip(parts, contexts, strict=True)
        ]

    def _check_size(self, frame: UInt8Array) -> None:
        height, width = self.exported.target_size
        if frame.shape[:2] != (height, width):
            raise ConfigError(
                f"these graphs are made for frames of {height}x{width}, got {frame.shape[0]}x{frame.shape[1]}: "
                "use --engine torch, with a weights file"
            )

    def _encode_all(self, pairs: Iterable[tuple[UInt8Array, deque[Greys]]]) -> Generator[Float32Array, None, None]:
        """Gates of each frame, in order; each is given with its stream's greys, to which its own are added."""
        before = None
        for frame, earlier in pairs:
            self._stem(frame, earlier, self._features())
            started = self._start_encoder()
            if before is not None:
                yield self._finish_encoder(before)["gates"]
            before = started
        if before is not None:
            yield self._finish_encoder(before)["gates"]

    def window_head(self, gates: Sequence[Float32Array], windows: NDArray[np.int64]) -> Float32Array:
        """As `Engine.window_head`."""
        logits = [self._run(HEAD, {"gates": np.concatenate([gates[place] for place in w])})["logits"] for w in windows]
        return np.concatenate(logits)

    def step(
        self, gates: Float32Array, state: tuple[Float32Array, Float32Array] | None = None
    ) -> tuple[Float32Array, tuple[Float32Array, Float32Array]]:
        """As `Engine.step`; h and c are float32 (1, D, GH, GW)."""
        num_gates = gates.shape[1]
        h, c = state or (np.zeros((1, num_gates // 4, *gates.shape[2:]), dtype=np.float32),) * 2
        outputs = self._run(RECURRENCE, {"gates": gates, "h": h, "c": c})
        return outputs["logits"][0], (outputs["next_h"], outputs["next_c"])
