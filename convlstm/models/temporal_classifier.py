"""TemporalClassifier: strided CNN encoder, ConvLSTM, 1x1 head.

Shapes: B batch, T time, P context frames, H W pixels, GH = H / 32, GW = W / 32, K output channels (1 for two classes,
one per class for more).
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from convlstm.config import ModelConfig
from convlstm.models.convlstm import ConvLSTM, ConvLSTMCell, State
from convlstm.models.stem import NEIGHBOURHOOD, motion_features, num_differences, rgb_features, shrink
from convlstm.types import CELL_SIZE

ENCODER_CHANNELS = (16, 32, 64, 128, 64)
HIDDEN_CHANNELS = 32

DIFFERENCE_GAIN = 8
"""How much larger the first weights of difference channels start than those of colours."""


class Encoder(nn.Sequential):
    """Layers one after another; torch.compile passes over the forward of torch's own Sequential."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to (N, 64, GH, GW)."""
        for layer in self:
            features = layer(features)
        return features


class TemporalClassifier(nn.Module):
    """Clips to heatmaps. Without arguments the original network: 281,985 parameters, two classes, RGB frames.

    Options are the fields of `ModelConfig`: `TemporalClassifier(stem="motion")`, or a whole config.
    """

    def __init__(self, config: ModelConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = replace(config or ModelConfig(), **options)
        num_lags = len(self.config.lags) if self.config.stem == "motion" else 0
        num_inputs = 3 + num_differences(self.config.differences) * num_lags
        layers: list[nn.Module] = []
        channels = pairwise((num_inputs, *ENCODER_CHANNELS))
        for (before, after), stride in zip(channels, self.config.strides, strict=True):
            layers += [nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.ReLU()]
        self.encoder = Encoder(*layers)
        self.temporal_layer = ConvLSTM(ENCODER_CHANNELS[-1], HIDDEN_CHANNELS, 3)
        num_classes = len(self.config.classes)
        self.final_classifier = nn.Conv2d(HIDDEN_CHANNELS, 1 if num_classes == 2 else num_classes, 1)
        self._init_weights()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in the stubs

    def _init_weights(self) -> None:
        """Start where learning starts at once; docs/log.md has the figures.

        He's scale keeps five ReLU layers alive, a forget gate that is open lets gradients through ten steps, and
        differences, which are near zero almost everywhere, are brought to the scale of the colours.
        """
        with torch.no_grad():
            for layer in self.encoder:
                if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
            first = self.encoder[0]
            assert isinstance(first, nn.Conv2d) and self.cell.conv_x.bias is not None
            first.weight[:, 3:] *= DIFFERENCE_GAIN
            self.cell.conv_x.bias[HIDDEN_CHANNELS : 2 * HIDDEN_CHANNELS] = 1  # the gates stand in the order i, f, o, g

    def forward(self, clips: Tensor, num_context: int = 0) -> Tensor:
        """Clips (B, P+T, 3, H, W), float in [0, 1] or uint8, to probabilities.

        (B, 1, GH, GW), the probability of the second class, for two classes; (B, K, GH, GW), a softmax, for more. The
        first `num_context` frames (P) only feed the lags of the motion stem. Raises ValueError for sizes that are no
        multiples of 32.
        """
        return self.to_probabilities(self.logits(clips, num_context))

    def logits(self, clips: Tensor, num_context: int = 0) -> Tensor:
        """As `forward`, before sigmoid or softmax: what losses use."""
        self._check_clips(clips, num_context)
        batch, num_frames = clips.shape[:2]
        frames = self.shrink(clips.flatten(0, 1))
        starts = num_frames * torch.arange(batch)[:, None]  # (B, 1)
        window = torch.arange(num_context, num_frames)
        lags = torch.tensor(self.config.lags if self.config.stem == "motion" else [], dtype=torch.int64)
        lagged = starts[:, :, None] + (window[:, None] - lags).clamp(min=0)  # (B, T, L)
        windows = torch.arange(batch * len(window)).unflatten(0, (batch, len(window)))
        return self.window_logits(frames, (starts + window).flatten(), lagged.flatten(0, 1), windows)

    def shrink(self, frames: Tensor) -> Tensor:
        """Whole frames (N, 3, H, W), uint8 or float in [0, 1], to what the network sees, sides by `downsample`.

        Raises ValueError for sizes that are no multiples of 32.
        """
        self._check_frames(frames)
        return shrink(frames, self.config.downsample)

    def window_logits(self, frames: Tensor, encode: Tensor, lagged: Tensor, windows: Tensor) -> Tensor:
        """Logits (B, K, GH, GW) of windows that may share frames; each frame is encoded once.

        `frames` (N, 3, H, W), uint8 or float in [0, 1], as `shrink` gives them; `encode` int64 (M,) places in `frames`
        of those that windows hold; `lagged` int64 (M, L) those that their lags reach back to; `windows` int64 (B, T)
        places in `encode`.
        """
        gates, _ = self.encode_frames(frames, encode, lagged)
        return self.window_head(gates, windows)

    def encode_frames(
        self, frames: Tensor, encode: Tensor, lagged: Tensor, earlier_greys: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Frames as in `window_logits` to gates (M, 4D, GH, GW), for the recurrence, and the greys of the motion stem.

        Where a stream of frames is cut into calls, the greys (E, D, H, W) that came out of the last call go into the
        next one; places in `encode` and `lagged` then begin with those E frames.
        """
        features, greys = self.features(frames, encode, lagged, earlier_greys)
        encoded = self.encoder(features)
        with self._full_precision(frames):
            gates: Tensor = self.cell.conv_x(encoded.float())
        return gates, greys

    def features(
        self, frames: Tensor, encode: Tensor, lagged: Tensor, earlier_greys: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the encoder takes of frames as in `encode_frames`, (M, C, H, W), and the greys."""
        if self.config.stem == "rgb":
            return rgb_features(frames, encode), None
        neighbourhood = NEIGHBOURHOOD // self.config.downsample
        return motion_features(frames, encode, lagged, earlier_greys, self.config.differences, neighbourhood)

    def window_head(self, gates: Tensor, windows: Tensor) -> Tensor:
        """Gates (M, 4D, GH, GW) and windows int64 (B, T), places in them, to logits (B, K, GH, GW), in float32."""
        with self._full_precision(gates):
            state: State | None = None
            for step in windows.unbind(1):
                state = self.cell.step(gates[step], state)
            assert state is not None
            logits: Tensor = self.final_classifier(state[0])
        return logits

    def _full_precision(self, values: Tensor) -> torch.autocast:
        """The recurrence computes in float32, whatever the encoder does: in bf16 it learns late or not at all."""
        return torch.autocast(values.device.type, enabled=False)

    def to_probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid for two classes, softmax over dim 1 for more."""
        return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)

    def dynamic_probability(self, logits: Tensor) -> Tensor:
        """Logits (B, K, GH, GW) to heatmaps (B, GH, GW): how probably a cell is dynamic.

        With more than two classes this is the class named `dynamic`, else everything but the first class.
        """
        probabilities = self.to_probabilities(logits)
        if probabilities.shape[1] == 1:
            return probabilities[:, 0]
        index = self.config.dynamic_index
        return probabilities[:, index] if index is not None else 1 - probabilities[:, 0]

    @property
    def cell(self) -> ConvLSTMCell:
        """The one recurrent cell, for callers that keep `conv_x` of shared frames."""
        cell = self.temporal_layer.cell_list[0]
        assert isinstance(cell, ConvLSTMCell)
        return cell

    def _check_clips(self, clips: Tensor, num_context: int) -> None:
        if clips.ndim != 5 or clips.shape[2] != 3:
            raise ValueError(f"clips must be (B, T, 3, H, W), got {tuple(clips.shape)}")
        if not 0 <= num_context < clips.shape[1]:
            raise ValueError(f"num_context must leave at least one frame of {clips.shape[1]}, got {num_context}")

    def _check_frames(self, frames: Tensor) -> None:
        height, width = frames.shape[-2:]
        if height % CELL_SIZE or width % CELL_SIZE or not height or not width:
            raise ValueError(
                f"frame height and width must be multiples of {CELL_SIZE}, got ({height}, {width}): resize to "
                f"({_nearest(height)}, {_nearest(width)})"
            )
        if frames.dtype != torch.uint8 and not frames.is_floating_point():
            raise ValueError(f"clips must be uint8, or float in [0, 1], got {frames.dtype}")


def clip_logits(logits: Tensor) -> Tensor:
    """Cell logits (B, K, GH, GW) to clip logits (B, classes), the first class at 0.

    Each further class stands by its highest margin over the first class among all cells. For two classes the softmax of
    this is the sigmoid of the spatial maximum.
    """
    margins = logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]
    highest = margins.flatten(2).amax(dim=2)
    return torch.cat([torch.zeros_like(highest[:, :1]), highest], dim=1)


def _nearest(side: int) -> int:
    return max(CELL_SIZE, round(side / CELL_SIZE) * CELL_SIZE)
