"""TemporalClassifier: strided CNN encoder, ConvLSTM, 1x1 head.

Shapes: B batch, T time, P context frames, H W pixels, GH = H / 32, GW = W / 32, K output channels (1 for two classes,
one per class for more).
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from convlstm.config import ModelConfig
from convlstm.models.convlstm import ConvLSTM, ConvLSTMCell
from convlstm.models.stem import motion_features, new_features, take_out_exposure, to_unit_range
from convlstm.types import CELL_SIZE

ENCODER_CHANNELS = (16, 32, 64, 128, 64)
HIDDEN_CHANNELS = 32

DIFFERENCE_GAIN = 8
"""How much larger the first weights of difference channels start than those of colours."""


class TemporalClassifier(nn.Module):
    """Clips to heatmaps. Without arguments the original network: 281,985 parameters, two classes, RGB frames.

    Options are the fields of `ModelConfig`: `TemporalClassifier(stem="motion")`, or a whole config.
    """

    def __init__(self, config: ModelConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = replace(config or ModelConfig(), **options)
        num_inputs = 3 + (len(self.config.lags) if self.config.stem == "motion" else 0)
        layers: list[nn.Module] = []
        for before, after in zip((num_inputs, *ENCODER_CHANNELS), ENCODER_CHANNELS, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)
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
        features = self.encode_clips(clips, num_context)
        outputs, _ = self.temporal_layer(features)
        return self.head(outputs[-1][:, -1])

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

    def encode_clips(self, clips: Tensor, num_context: int = 0) -> Tensor:
        """Clips (B, P+T, 3, H, W) to encoder features (B, T, 64, GH, GW)."""
        self._check_clips(clips, num_context)
        if self.config.stem == "motion":
            features = self._motion_features(clips, num_context)
        else:
            features = to_unit_range(clips[:, num_context:]).flatten(0, 1)
        encoded = self.encode(features)
        return encoded.reshape(clips.shape[0], clips.shape[1] - num_context, *encoded.shape[1:])

    def _motion_features(self, clips: Tensor, num_context: int) -> Tensor:
        """Clip by clip: float copies of a whole batch take gigabytes."""
        batch, num_frames, _, height, width = clips.shape
        num_frames -= num_context
        features = new_features((batch * num_frames, 3 + len(self.config.lags), height, width), clips.device)
        for clip, out in zip(clips, features.split(num_frames), strict=True):
            normalised, greys = take_out_exposure(clip)
            motion_features(normalised[num_context:], greys, self.config.lags, out)
        return features

    def encode(self, features: Tensor) -> Tensor:
        """What the stem gives (N, C, H, W) to encoder features (N, 64, GH, GW)."""
        encoded: Tensor = self.encoder(features.contiguous(memory_format=torch.channels_last))
        return encoded

    def head(self, hidden: Tensor) -> Tensor:
        """Hidden state (B, 32, GH, GW) to logits (B, K, GH, GW)."""
        logits: Tensor = self.final_classifier(hidden)
        return logits

    @property
    def cell(self) -> ConvLSTMCell:
        """The one recurrent cell, for callers that keep `conv_x` of shared frames."""
        cell = self.temporal_layer.cell_list[0]
        assert isinstance(cell, ConvLSTMCell)
        return cell

    def _check_clips(self, clips: Tensor, num_context: int) -> None:
        if clips.ndim != 5 or clips.shape[2] != 3:
            raise ValueError(f"clips must be (B, T, 3, H, W), got {tuple(clips.shape)}")
        height, width = clips.shape[-2:]
        if height % CELL_SIZE or width % CELL_SIZE or not height or not width:
            raise ValueError(
                f"frame height and width must be multiples of {CELL_SIZE}, got ({height}, {width}): resize to "
                f"({_nearest(height)}, {_nearest(width)})"
            )
        if not 0 <= num_context < clips.shape[1]:
            raise ValueError(f"num_context must leave at least one frame of {clips.shape[1]}, got {num_context}")
        if clips.dtype != torch.uint8 and not clips.is_floating_point():
            raise ValueError(f"clips must be uint8, or float in [0, 1], got {clips.dtype}")


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
