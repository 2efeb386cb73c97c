"""The network as it is usually written in PyTorch: window by window, every frame of every window encoded anew.

Default memory layout, float32, eager. Nothing of the package's own network runs here.

Shapes: B batch, P context frames, T frames of a window, L lags, D kinds of difference, H W pixels, GH = H / 32,
GW = W / 32.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convlstm.config import Differences, ModelConfig
from convlstm.types import Float32Array, UInt8Array

HIDDEN = 32
STD_FLOOR = 0.05
NEIGHBOURHOOD = 16
LOCAL_FLOOR = 0.2


class PlainNetwork(nn.Module):
    """Clips float32 (B, P+T, 3, H, W) in [0, 1] to probabilities (B, 1, GH, GW), or with more classes (B, K, GH, GW).

    Without `lags` the original network; with them the motion stem, computed for each clip, where P is the largest lag.
    """

    def __init__(
        self,
        lags: Sequence[int] = (),
        differences: Differences = "frame",
        num_outputs: int = 1,
        *,
        downsample: int = 1,
        strides: Sequence[int] = (2, 2, 2, 2, 2),
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.lags = tuple(lags)
        self.differences = differences
        num_differences = len(self.lags) * (2 if differences == "both" else 1)
        channels = (3 + num_differences, 16, 32, 64, 128, 64)
        layers: list[nn.Module] = []
        for i in range(5):
            layers += [nn.Conv2d(channels[i], channels[i + 1], 3, stride=strides[i], padding=1), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)
        self.conv_x = nn.Conv2d(64, 4 * HIDDEN, 3, padding=1)
        self.conv_h = nn.Conv2d(HIDDEN, 4 * HIDDEN, 3, padding=1, bias=False)
        self.final_classifier = nn.Conv2d(HIDDEN, num_outputs, 1)

    def forward(self, clips: Tensor) -> Tensor:
        """As the class says."""
        if self.downsample > 1:
            means = F.avg_pool2d(clips.flatten(0, 1) * 255, self.downsample)
            clips = (means + 0.51).floor().div(255).unflatten(0, clips.shape[:2])
        if self.lags:
            clips = self.motion_stem(clips)
        batch, length = clips.shape[:2]
        features = self.encoder(clips.flatten(0, 1)).unflatten(0, (batch, length))  # (B, T, 64, GH, GW)
        logits = self.recurrence(self.conv_x(features.flatten(0, 1)).unflatten(0, (batch, length)))
        return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)

    def recurrence(self, gates: Tensor) -> Tensor:
        """`conv_x` of all frames (B, T, 128, GH, GW) to logits (B, K, GH, GW)."""
        h = gates.new_zeros(gates.shape[0], HIDDEN, *gates.shape[-2:])
        c = torch.zeros_like(h)
        for t in range(gates.shape[1]):
            i, f, o, g = (gates[:, t] + self.conv_h(h)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        logits: Tensor = self.final_classifier(h)
        return logits

    def motion_stem(self, clips: Tensor) -> Tensor:
        """Normalised frames and grey differences, one per lag and kind: (B, P+T, 3, H, W) to (B, T, 3+D*L, H, W)."""
        mean = clips.mean(dim=(3, 4), keepdim=True)
        std = clips.std(dim=(3, 4), keepdim=True, unbiased=False)
        clips = (clips - mean) / (std + STD_FLOOR)
        grey = clips.mean(dim=2, keepdim=True)
        kinds = {"frame": [grey]}
        if self.differences != "frame":
            local = _without_local_light(grey, NEIGHBOURHOOD // self.downsample)
            kinds |= {"local": [local], "both": [grey, local]}
        context, end = max(self.lags), clips.shape[1]
        differences = [
            greys[:, context:] - greys[:, context - lag : end - lag]
            for greys in kinds[self.differences]
            for lag in self.lags
        ]
        return torch.cat([clips[:, context:], *differences], dim=2)


def _without_local_light(greys: Tensor, neighbourhood: int) -> Tensor:
    """Greys (B, P+T, 1, H, W) minus the mean around each place, over the standard deviation there plus a floor."""
    planes = greys.flatten(0, 1)
    mean, square = (
        F.avg_pool2d(F.avg_pool2d(values, neighbourhood), 3, stride=1, padding=1, count_include_pad=False)
        for values in (planes, planes.square())
    )
    scale = 1 / ((square - mean.square()).clamp(min=0).sqrt() + LOCAL_FLOOR)
    offset, gain = (
        F.interpolate(field, size=planes.shape[-2:], mode="bilinear", align_corners=False)
        for field in (mean * scale, scale)
    )
    return (planes * gain - offset).view(greys.shape)


def blank_network(config: ModelConfig) -> PlainNetwork:
    """The plain network of a model, with weights of its own."""
    num_outputs = 1 if len(config.classes) == 2 else len(config.classes)
    lags = config.lags if config.stem == "motion" else ()
    return PlainNetwork(lags, config.differences, num_outputs, downsample=config.downsample, strides=config.strides)


def plain_network(config: ModelConfig, weights: Mapping[str, Tensor]) -> PlainNetwork:
    """The plain network of a model, with its weights, in PyTorch's default layout."""
    network = blank_network(config)
    names = {"conv_x": "temporal_layer.cell_list.0.conv_x", "conv_h": "temporal_layer.cell_list.0.conv_h"}
    state = {}
    for name in network.state_dict():
        layer, _, kind = name.rpartition(".")
        state[name] = weights[f"{names.get(layer, layer)}.{kind}"].contiguous()
    network.load_state_dict(state)
    return network.eval()


def plain_heatmaps(
    network: PlainNetwork, frames: UInt8Array, *, seq_length: int, stride: int, device: torch.device
) -> Iterator[Float32Array]:
    """The output (K, GH, GW) of every window of consecutive frames (N, H, W, 3), one window after another."""
    num_context = max(network.lags, default=0)
    for start in range(0, len(frames) - seq_length + 1, stride):
        chosen = [max(i, 0) for i in range(start - num_context, start + seq_length)]
        clip = torch.from_numpy(frames[chosen]).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            yield network(clip.contiguous()[None])[0].cpu().numpy()
