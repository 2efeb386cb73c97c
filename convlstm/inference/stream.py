"""Frames in, heatmaps out. Each frame is encoded once; only the recurrence is run per window.

Shapes: N new frames, T frames per window, W finished windows, GH GW cells.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from convlstm.clips import resize_frame
from convlstm.models.temporal_classifier import TemporalClassifier, clip_logits
from convlstm.types import Frame, Heatmap


class HeatmapStream:
    """The windows of one source, frame by frame.

    Windows are `seq_length` consecutive frames and start `stride` frames apart, at the first frame and again after
    every gap in the frames' `index`; none spans a gap, and neither do the lags of the motion stem. What is kept does
    not grow: `conv_x` of the encoder's output for the last `seq_length` frames, and the greys that the lags need.
    """

    def __init__(
        self,
        model: TemporalClassifier,
        *,
        seq_length: int,
        stride: int,
        target_size: tuple[int, int],
        device: torch.device,
    ) -> None:
        self.model = model
        self.seq_length = seq_length
        self.stride = stride
        self.target_size = target_size
        self.device = device
        self._reset()

    def process(self, frames: Sequence[Frame]) -> list[Heatmap]:
        """Take the next frames, in order, and return the windows that they finish.

        How frames are cut into calls changes nothing but speed.
        """
        heatmaps: list[Heatmap] = []
        for part in _gapless(frames):
            if self._last is not None and part[0].index != self._last.index + 1:
                self._reset()
            heatmaps += self._process_gapless(part)
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
        self._places: deque[tuple[int, float]] = deque(maxlen=self.seq_length)
        self._gates: Tensor | None = None  # (up to T - 1, 4D, GH, GW)
        self._greys: Tensor | None = None  # (up to P, H, W)

    def _process_gapless(self, frames: Sequence[Frame]) -> list[Heatmap]:
        with torch.inference_mode():
            gates = self._encode(frames)
            num_before = len(gates) - len(frames)
            self._gates = gates[max(0, len(gates) - self.seq_length + 1) :].clone()
            ends: list[int] = []  # places in gates
            spans: list[tuple[tuple[int, float], tuple[int, float]]] = []
            for i, frame in enumerate(frames):
                self._places.append((frame.index, frame.pts_seconds))
                self._num_seen += 1
                over = self._num_seen - self.seq_length
                if over >= 0 and over % self.stride == 0:
                    ends.append(num_before + i)
                    spans.append((self._places[0], self._places[-1]))
            self._last = frames[-1]
            return self._heatmaps(gates, ends, spans) if ends else []

    def _heatmaps(
        self, gates: Tensor, ends: Sequence[int], spans: Sequence[tuple[tuple[int, float], tuple[int, float]]]
    ) -> list[Heatmap]:
        windows = torch.tensor(ends)[:, None] - torch.arange(self.seq_length).flip(0)  # (W, T)
        logits = self.model.window_head(gates, windows)
        heatmaps = self.model.dynamic_probability(logits).cpu().numpy().astype(np.float32)
        classes = clip_logits(logits).softmax(dim=1).tolist()
        return [
            Heatmap(heatmaps[i], first[0], last[0], first[1], last[1], tuple(classes[i]))
            for i, (first, last) in enumerate(spans)
        ]

    def _encode(self, frames: Sequence[Frame]) -> Tensor:
        """`conv_x` of the encoded frames, (up to T - 1 earlier ones + N, 4D, GH, GW)."""
        resized = np.stack([resize_frame(frame.pixels, self.target_size) for frame in frames])
        pixels = torch.from_numpy(resized).to(self.device).permute(0, 3, 1, 2)  # (N, 3, H, W)
        config = self.model.config
        num_earlier = len(self._greys) if self._greys is not None else 0
        now = torch.arange(num_earlier, num_earlier + len(frames))
        lagged = (now[:, None] - torch.tensor(config.lags)).clamp(min=0)
        gates, greys = self.model.encode_frames(pixels, now, lagged, self._greys)
        if greys is not None:
            self._greys = greys[-config.num_context :].clone()
        return gates if self._gates is None else torch.cat([self._gates, gates])


def _gapless(frames: Sequence[Frame]) -> list[Sequence[Frame]]:
    cuts = [i for i in range(1, len(frames)) if frames[i].index != frames[i - 1].index + 1]
    bounds = [0, *cuts, len(frames)] if frames else []
    return [frames[a:b] for a, b in pairwise(bounds)]
