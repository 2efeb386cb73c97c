"""What the encoder sees of a frame: `rgb` as it is, or `motion`, exposure taken out and differences added."""

from collections.abc import Sequence

import torch
from torch import Tensor

CONTRAST_FLOOR = 0.05
"""Added to a frame's standard deviation: a flat, noisy frame is not blown up to full contrast."""


def to_unit_range(frames: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]; float stays as it is."""
    return frames.float() / 255 if frames.dtype == torch.uint8 else frames


def take_out_exposure(frames: Tensor) -> Tensor:
    """Each channel of (..., 3, H, W) minus its mean, over its standard deviation plus a floor."""
    deviation, mean = torch.std_mean(frames, dim=(-2, -1), keepdim=True, correction=0)
    return (frames - mean) / (deviation + CONTRAST_FLOOR)


def grey(frames: Tensor) -> Tensor:
    """Mean of the channels, (..., 3, H, W) to (..., 1, H, W)."""
    return frames.mean(dim=-3, keepdim=True)


def motion_channels(normalised: Tensor, greys: Tensor, lags: Sequence[int]) -> Tensor:
    """Frames (B, T, 3, H, W) and greys (B, P+T, 1, H, W) to features (B, T, 3+L, H, W).

    `greys` holds P earlier frames and then those of `normalised`. A channel per lag is the difference of a frame's
    grey to the one `lag` earlier, or to the first there is.
    """
    num_frames, num_context = normalised.shape[1], greys.shape[1] - normalised.shape[1]
    now = torch.arange(num_context, num_context + num_frames, device=greys.device)
    current = greys[:, num_context:]
    differences = [current - greys[:, (now - lag).clamp(min=0)] for lag in lags]
    return torch.cat([normalised, *differences], dim=2)
