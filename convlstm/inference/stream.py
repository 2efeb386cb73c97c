"""Frames in, heatmaps out. Each frame is encoded once; only the recurrence is run per window.

Shapes: N new frames, T frames per window, W finished windows, GH GW cells.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest

import numpy as np

from convlstm.clips import resize_frame
from convlstm.config import Mode
from convlstm.inference.engines.base import Context, Engine, Gates, State
from convlstm.inference.probabilities import class_probabilities, dynamic_probability
from convlstm.types import Float32Array, Frame, Heatmap, UInt8Array

FRAMES_PER_CALL = 12
"""Frames that are encoded in one call where so many wait: more would take memory and gain nothing."""

Place = tuple[int, float]
"""Index and presentation time of a frame."""


class HeatmapStream:
    """The windows of one source, frame by frame.

    Windows are `seq_length` consecutive frames and start `stride` frames apart, at the first frame and again after
    every gap in the frames' `index`; none spans a gap, and neither do the lags of the motion stem. What is kept does
    not grow: `conv_x` of the encoder's output for the last `seq_length` frames, and the greys that the lags need.

    With `mode` "stateful" the state of the recurrence goes on from frame to frame instead, from the first one after a
    gap: one step a frame, whatever the stride, and a memory that is not cut off at the window's start. Heatmaps come at
    the same frames and bear the same spans; the first one after a gap is that of the windowed mode.

    `target_size` (height, width) is by default that of the weights; only torch takes another.
    """

    def __init__(
        self, engine: Engine, *, stride: int, mode: Mode = "windowed", target_size: tuple[int, int] | None = None
    ) -> None:
        self.engine = engine
        self.target_size = target_size or engine.weights.target_size
        self.seq_length = engine.weights.seq_length
        self.stride = stride
        self.mode = mode
        self._reset()

    def process(self, frames: Sequence[Frame]) -> list[Heatmap]:
        """Take the next frames, in order, and return the windows that they finish.

        How frames are cut into calls changes nothing but speed.
        """
        [heatmaps] = process_streams([(self, frames)])
        return heatmaps

    def pad(self) -> list[Heatmap]:
        """End a stretch that is too short for a window by repeating its last frame; nothing where it had one."""
        if self._last is None or self._num_seen >= self.seq_length:
            return []
        last, missing = self._last, self.seq_length - self._num_seen
        padding = [Frame(last.pixels, last.index + 1 + i, last.pts_seconds) for i in range(missing)]
        return [
            Heatmap(
                h.probabilities, h.first_frame, last.index, h.start_seconds, last.pts_seconds, h.class_probabilities
            )
            for h in self.process(padding)
        ]

    def _reset(self) -> None:
        self._num_seen = 0
        self._last: Frame | None = None
        self._places: deque[Place] = deque(maxlen=self.seq_length)
        self._gates: list[Gates] = []  # of up to T - 1 frames; none where the state is carried on
        self._context: Context = None
        self._state: State = None

    def _to_encode(self, frames: Sequence[Frame]) -> tuple[list[UInt8Array], Context]:
        """The next frames, gapless, resized, and the context for their encoding."""
        if self._last is not None and frames[0].index != self._last.index + 1:
            self._reset()
        return [resize_frame(frame.pixels, self.target_size) for frame in frames], self._context

    def _process_encoded(self, frames: Sequence[Frame], gates: list[Gates], context: Context) -> list[Heatmap]:
        self._context = context
        ends: list[int] = []  # places in frames
        spans: list[tuple[Place, Place]] = []
        for i, frame in enumerate(frames):
            self._places.append((frame.index, frame.pts_seconds))
            self._num_seen += 1
            over = self._num_seen - self.seq_length
            if over >= 0 and over % self.stride == 0:
                ends.append(i)
                spans.append((self._places[0], self._places[-1]))
        self._last = frames[-1]
        logits = self._windowed(gates, ends) if self.mode == "windowed" else self._stateful(gates, ends)
        return self._heatmaps(logits, spans) if spans else []

    def _windowed(self, new_gates: list[Gates], ends: Sequence[int]) -> Float32Array:
        gates, num_before = self._gates + new_gates, len(self._gates)
        self._gates = gates[max(0, len(gates) - self.seq_length + 1) :]
        if not ends:
            return np.empty(0, dtype=np.float32)
        windows = num_before + np.array(ends)[:, None] + np.arange(1 - self.seq_length, 1)  # (W, T)
        return self.engine.window_head(gates, windows)

    def _stateful(self, new_gates: list[Gates], ends: Sequence[int]) -> Float32Array:
        logits = []
        for gates in new_gates:
            step_logits, self._state = self.engine.step(gates, self._state)
            logits.append(step_logits)
        return np.stack(logits)[np.array(ends, dtype=np.int64)]

    def _heatmaps(self, logits: Float32Array, spans: Sequence[tuple[Place, Place]]) -> list[Heatmap]:
        heatmaps = dynamic_probability(logits, self.engine.weights.model)
        classes = class_probabilities(logits).tolist()
        return [
            Heatmap(heatmaps[i], first[0], last[0], first[1], last[1], tuple(classes[i]))
            for i, (first, last) in enumerate(spans)
        ]


def process_streams(work: Sequence[tuple[HeatmapStream, Sequence[Frame]]]) -> list[list[Heatmap]]:
    """As `process` of each stream with its frames; what several streams wait for is encoded in one call.

    The streams are different ones, with one engine and one frame size.
    """
    heatmaps: list[list[Heatmap]] = [[] for _ in work]
    for parts in zip_longest(*(_gapless(frames) for _, frames in work)):  # of each stream what follows without a gap
        for call in _calls([(number, part) for number, part in enumerate(parts) if part]):
            streams = [work[number][0] for number, _ in call]
            given = [stream._to_encode(part) for stream, (_, part) in zip(streams, call, strict=True)]
            encoded = streams[0].engine.encode_streams(given)
            for stream, (number, part), (gates, context) in zip(streams, call, encoded, strict=True):
                heatmaps[number] += stream._process_encoded(part, gates, context)
    return heatmaps


def _calls(parts: Sequence[tuple[int, Sequence[Frame]]]) -> Iterator[list[tuple[int, Sequence[Frame]]]]:
    """Numbered parts in groups of at most FRAMES_PER_CALL frames; a longer part stands alone."""
    call: list[tuple[int, Sequence[Frame]]] = []
    num_frames = 0
    for number, part in parts:
        if call and num_frames + len(part) > FRAMES_PER_CALL:
            yield call
            call, num_frames = [], 0
        call.append((number, part))
        num_frames += len(part)
    if call:
        yield call


def _gapless(frames: Sequence[Frame]) -> list[Sequence[Frame]]:
    cuts = [i for i in range(1, len(frames)) if frames[i].index != frames[i - 1].index + 1]
    bounds = [0, *cuts, len(frames)] if frames else []
    return [frames[a:b] for a, b in pairwise(bounds)]
