r"""How exported graphs are strung together, whatever runs them: nothing here imports torch.

    frame -> stem -> features -> encoder -> encoded -> gates ---> head (T gates) -> logits
               |                                          \-----> recurrence (1 gates, h, c) -> logits, h, c
               +--> greys, kept for the lags of later frames

Shapes: N new frames, M frames whose gates are at hand, W windows of T frames, D hidden channels, K output channels,
H W pixels, GH GW cells.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.config import Differences
from convlstm.errors import ConfigError
from convlstm.inference.engines.exported import ENCODER, GATES, HEAD, RECURRENCE, ExportedModel
from convlstm.types import Float32Array, UInt8Array

CONTRAST_FLOOR = 0.05 * 255
"""As in models/stem.py, for pixels from 0 to 255."""

OUTPUTS: Mapping[str, tuple[str, ...]] = {
    ENCODER: ("encoded",),
    GATES: ("gates",),
    RECURRENCE: ("logits", "next_h", "next_c"),
    HEAD: ("logits",),
}
"""Of every graph but the stem, which gives features and greys."""

Values = Mapping[str, NDArray[np.generic]]
Greys = Mapping[str, Float32Array]
Part = tuple[UInt8Array, deque[Greys] | None]
Encoded = tuple[list[Float32Array], deque[Greys]]


def grey_kinds(differences: Differences) -> tuple[str, ...]:
    """Outputs of the stem that later frames need again, in the order of the difference channels."""
    kinds = {"frame": ("frame_grey",), "local": ("local_grey",), "both": ("frame_grey", "local_grey")}
    return kinds[differences]


def lagged_name(kind: str, lag: int) -> str:
    """The stem's input that takes the grey of `lag` frames ago."""
    return f"{kind}_{lag}_ago"


def exposure(frame: UInt8Array) -> tuple[Float32Array, Float32Array]:
    """Mean and gain, (1, 3, 1, 1), that take the exposure out of a frame (H, W, 3): (frame - mean) * gain."""
    mean, deviation = cv2.meanStdDev(frame)
    gain = 1 / (deviation + CONTRAST_FLOOR)
    shape = (1, 3, 1, 1)
    return mean.reshape(shape).astype(np.float32), gain.reshape(shape).astype(np.float32)


class GraphEngine(ABC):
    """An `Engine` over five static graphs; its subclasses run one."""

    name: str
    precision: str

    def __init__(self, exported: ExportedModel) -> None:
        self.exported = exported
        config = exported.model
        self._kinds = grey_kinds(config.differences) if config.stem == "motion" else ()
        height, width = exported.target_size
        self._blank: Greys = dict.fromkeys(self._kinds, np.zeros((1, 1, height, width), dtype=np.float32))

    @property
    def weights(self) -> ExportedModel:
        """What the network was trained for."""
        return self.exported

    @abstractmethod
    def _features_and_greys(self, inputs: Values) -> tuple[NDArray[np.generic], Greys]:
        """Run the stem; the features hold until `_start_encoder` has them, the greys for good."""

    @abstractmethod
    def _start_encoder(self, features: NDArray[np.generic]) -> Any:
        """Begin to encode the features of the latest run of the stem; two frames may be under way at a time."""

    @abstractmethod
    def _finish_encoder(self, started: Any) -> dict[str, Float32Array]:
        """Wait for what `_start_encoder` began; the oldest one first."""

    @abstractmethod
    def _run(self, graph: str, inputs: Values) -> dict[str, Float32Array]:
        """Run one graph; what comes out stays as it is when it runs again."""

    def encode(self, frames: UInt8Array, context: deque[Greys] | None = None) -> Encoded:
        """As `Engine.encode`; gates float32 (1, 4D, GH, GW), the context is the greys of up to P frames.

        Raises ConfigError for frames of another size than the graphs were made for.
        """
        [encoded] = self.encode_streams([(frames, context)])
        return encoded

    def encode_streams(self, parts: Sequence[Part]) -> list[Encoded]:
        """As `Engine.encode_streams`: frame by frame, the stem of one while the one before is in the encoder."""
        for frames, _ in parts:
            self._check_size(frames)
        contexts = [
            context.copy() if context is not None else deque(maxlen=self.exported.model.num_context)
            for _, context in parts
        ]
        pairs = [(frame, earlier) for (frames, _), earlier in zip(parts, contexts, strict=True) for frame in frames]
        gates = self._encode_all(pairs)
        return [
            (list(islice(gates, len(frames))), earlier) for (frames, _), earlier in zip(parts, contexts, strict=True)
        ]

    def _check_size(self, frames: UInt8Array) -> None:
        size = self.exported.target_size
        if frames.shape[1:3] != size:
            raise ConfigError(
                f"these graphs are made for frames of {size[0]}x{size[1]}, got {frames.shape[1]}x{frames.shape[2]}: "
                "use --engine torch, with a weights file"
            )

    def _encode_all(self, pairs: Iterable[tuple[UInt8Array, deque[Greys]]]) -> Generator[Float32Array, None, None]:
        """Gates of each frame, in order; each is given with its stream's greys, to which its own are added."""
        before = None
        for frame, earlier in pairs:
            started = self._start_encoder(self._stem(frame, earlier))
            if before is not None:
                yield self._run(GATES, self._finish_encoder(before))["gates"]
            before = started
        if before is not None:
            yield self._run(GATES, self._finish_encoder(before))["gates"]

    def _stem(self, frame: UInt8Array, earlier: deque[Greys]) -> NDArray[np.generic]:
        inputs: dict[str, NDArray[np.generic]] = {"frame": frame[None]}
        if self._kinds:
            inputs["mean"], inputs["gain"] = exposure(frame)
        features, greys = self._features_and_greys(inputs | self._lagged(earlier or [self._blank]))
        if self._kinds and not earlier:  # the first frame's lags reach back to itself
            features, greys = self._features_and_greys(inputs | self._lagged([greys]))
        earlier.append(greys)
        return features

    def _lagged(self, earlier: Sequence[Greys]) -> dict[str, NDArray[np.generic]]:
        """Greys of earlier frames by the name of the stem's input; the first one's where a lag reaches too far."""
        return {
            lagged_name(kind, lag): earlier[max(0, len(earlier) - lag)][kind]
            for kind in self._kinds
            for lag in self.exported.model.lags
        }

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
