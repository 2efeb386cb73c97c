"""What the encoder sees of a frame: `rgb` as it is, or `motion`, exposure taken out and differences added.

Shapes: P context frames, T window frames, N frames, L lags, H W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

CONTRAST_FLOOR = 0.05
"""Added to a frame's standard deviation: a flat, noisy frame is not blown up to full contrast."""


def to_unit_range(frames: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]; float stays as it is."""
    return frames.float() / 255 if frames.dtype == torch.uint8 else frames


def take_out_exposure(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames (N, 3, H, W), uint8 or float in [0, 1], to normalised frames (N, 3, H, W) and their greys (N, H, W).

    Each channel minus its mean, over its standard deviation plus a floor; grey is the mean of the channels.
    """
    with torch.autocast(frames.device.type, enabled=False):
        full_scale = 255.0 if frames.dtype == torch.uint8 else 1.0
        pixels = frames.permute(0, 2, 3, 1).flatten(1, 2).float()  # (N, HW, 3): no copy of frames as they are decoded
        num_pixels = pixels.shape[1]
        mean_of = pixels.new_full((1, 1, num_pixels), 1 / num_pixels).expand(pixels.shape[0], -1, -1)
        centred = pixels - mean_of @ pixels
        variance = (centred.transpose(1, 2) @ centred).diagonal(dim1=1, dim2=2) / num_pixels  # (N, 3)
        scale = 1 / (variance.sqrt() + CONTRAST_FLOOR * full_scale)
        grey = (centred @ scale[:, :, None]).squeeze(2) / 3
        normalised = centred * scale[:, None]
    height, width = frames.shape[-2:]
    return normalised.unflatten(1, (height, width)).permute(0, 3, 1, 2), grey.unflatten(1, (height, width))


def motion_features(normalised: Tensor, greys: Tensor, lags: Sequence[int], out: Tensor | None = None) -> Tensor:
    """Normalised frames (T, 3, H, W) and greys (P+T, H, W) of one sequence to features (T, 3+L, H, W), channels last.

    `greys` holds P earlier frames and then those of `normalised`. A channel per lag is the difference of a frame's grey
    to the one `lag` earlier, or to the first there is. Written to `out`, where it is given.
    """
    num_frames, channels, height, width = normalised.shape
    if out is None:
        out = new_features((num_frames, channels + len(lags), height, width), normalised.device)
    num_context = len(greys) - num_frames
    out[:, :channels] = normalised
    now = torch.arange(num_context, len(greys), device=greys.device)
    for channel, lag in enumerate(lags, start=channels):
        out[:, channel] = greys[num_context:] - greys[(now - lag).clamp(min=0)]
    return out


def new_features(shape: tuple[int, int, int, int], device: torch.device) -> Tensor:
    """An empty tensor in the layout and the type in which convolutions will compute, which saves a pass each."""
    dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
    return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
