"""What the encoder sees of a frame: `rgb` as it is, or `motion`, exposure taken out and differences added.

Either may see a frame of half its size (`shrink`), which costs a quarter and averages noise away.

Shapes: N frames, M encoded frames, E earlier frames, L lags, D kinds of grey that differences are taken of, H W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from convlstm.config import Differences

CONTRAST_FLOOR = 0.05
"""Added to a frame's standard deviation: a flat, noisy frame is not blown up to full contrast."""

NEIGHBOURHOOD = 16
"""Pixels: light is taken to be even over about two of these."""

LOCAL_FLOOR = 0.2
"""As CONTRAST_FLOOR, for a neighbourhood, in units of the whole frame's contrast."""

FRAMES_AT_ONCE = 8
"""Float copies of a whole batch would take gigabytes, and on a CPU these few stay in its caches."""


def to_unit_range(frames: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]; float stays as it is."""
    return frames.float() / 255 if frames.dtype == torch.uint8 else frames


def shrink(frames: Tensor, factor: int) -> Tensor:
    """Frames (N, 3, H, W) to means of `factor` x `factor` pixels, of the same type; factor 1 leaves them as they are.

    Means are rounded to the 255 levels of uint8, half up as OpenCV does it, in floats in [0, 1] too.
    """
    if factor == 1:
        return frames
    is_float = frames.dtype != torch.uint8
    shrunk = frames.new_empty((*frames.shape[:2], frames.shape[2] // factor, frames.shape[3] // factor))
    with torch.autocast(frames.device.type, enabled=False):
        for begin in range(0, len(frames), FRAMES_AT_ONCE):
            chunk = frames[begin : begin + FRAMES_AT_ONCE]
            planes = torch.empty(chunk.shape, device=frames.device).copy_(chunk)
            if is_float:
                planes *= 255
            means = F.avg_pool2d(planes, factor).add_(0.51).floor_()  # quarters, as exact as floats are
            shrunk[begin : begin + len(chunk)] = means / 255 if is_float else means
    return shrunk


def take_out_exposure(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames (N, 3, H, W), uint8 or float in [0, 1], to normalised frames (N, 3, H, W) and their greys (N, H, W).

    Each channel minus its mean, over its standard deviation plus a floor; grey is the mean of the channels.
    """
    with torch.autocast(frames.device.type, enabled=False):
        full_scale = 255.0 if frames.dtype == torch.uint8 else 1.0
        # Plane by plane, whatever the layout of the input: a third of the time of arithmetic on interleaved colours.
        planes = torch.empty(frames.shape, device=frames.device).copy_(frames)
        planes -= planes.mean(dim=(2, 3), keepdim=True)
        deviation = planes.square().mean(dim=(2, 3), keepdim=True).sqrt()
        normalised = planes.div_(deviation + CONTRAST_FLOOR * full_scale)
        red, green, blue = normalised.unbind(1)
        return normalised, (red + green + blue) / 3


def take_out_local_light(greys: Tensor, neighbourhood: int = NEIGHBOURHOOD) -> Tensor:
    """Greys (N, H, W) minus the mean of their neighbourhood, over its standard deviation plus a floor; same shape.

    What a lamp or the shadow of a cloud does to a place is gone, as far as it does the same to the whole neighbourhood:
    local contrast normalisation (Jarrett et al. 2009), with statistics on a coarse grid. H and W: multiples of
    `neighbourhood`.
    """
    with torch.autocast(greys.device.type, enabled=False):
        planes = greys.unsqueeze(1)
        moments = torch.cat([F.avg_pool2d(planes, neighbourhood), F.avg_pool2d(planes.square(), neighbourhood)], dim=1)
        moments = F.avg_pool2d(moments, 3, stride=1, padding=1, count_include_pad=False)
        mean, square = moments.unbind(1)
        scale = 1 / ((square - mean.square()).clamp(min=0).sqrt() + LOCAL_FLOOR)
        fields = torch.stack([mean * scale, scale], dim=1)
        offset, gain = F.interpolate(fields, size=greys.shape[-2:], mode="bilinear", align_corners=False).unbind(1)
        return gain.mul_(greys).sub_(offset)


def num_differences(differences: Differences) -> int:
    """D: kinds of grey that the motion stem takes differences of."""
    return 2 if differences == "both" else 1


def motion_features(
    frames: Tensor,
    encode: Tensor,
    lagged: Tensor,
    earlier_greys: Tensor | None = None,
    differences: Differences = "frame",
    neighbourhood: int = NEIGHBOURHOOD,
) -> tuple[Tensor, Tensor]:
    """Frames (N, 3, H, W) to features (M, 3+D*L, H, W), channels last, and greys (E+N, D, H, W).

    `encode` int64 (M,) names the frames to give features of, `lagged` int64 (M, L) for each those that its differences
    are taken to: a channel per lag, the grey now minus the grey then, of each kind of grey one after another. Both are
    places in the E frames whose greys are given, followed by `frames`.
    """
    num_earlier = len(earlier_greys) if earlier_greys is not None else 0
    height, width = frames.shape[-2:]
    num_kinds, num_lags = num_differences(differences), lagged.shape[1]
    greys = torch.empty((num_earlier + len(frames), num_kinds, height, width), device=frames.device)
    if earlier_greys is not None:
        greys[:num_earlier] = earlier_greys
    features = new_features((len(encode), 3 + num_kinds * num_lags, height, width), frames.device)
    places = [place - num_earlier for place in encode.tolist()]
    for begin in range(0, len(frames), FRAMES_AT_ONCE):
        normalised, grey = take_out_exposure(frames[begin : begin + FRAMES_AT_ONCE])
        new_greys = greys[num_earlier + begin : num_earlier + begin + len(grey)]
        if differences != "local":
            new_greys[:, 0] = grey
        if differences != "frame":
            new_greys[:, -1] = take_out_local_light(grey, neighbourhood)
        rows = [row for row, place in enumerate(places) if begin <= place < begin + len(grey)]
        if rows:
            taken = normalised[_slice_of([places[row] - begin for row in rows])]
            features[_slice_of(rows), :3] = taken.to(features.dtype)  # first the type, then the layout: twice as fast
    for begin in range(0, len(encode), FRAMES_AT_ONCE):
        chunk = slice(begin, begin + FRAMES_AT_ONCE)
        apart = greys[encode[chunk]].unsqueeze(2) - greys[lagged[chunk]].transpose(1, 2)  # (n, D, L, H, W)
        features[chunk, 3:] = apart.flatten(1, 2).to(features.dtype)
    return features, greys


def rgb_features(frames: Tensor, encode: Tensor) -> Tensor:
    """Frames (N, 3, H, W), uint8 or float in [0, 1], to features (M, 3, H, W) in [0, 1], channels last."""
    features = new_features((len(encode), *frames.shape[1:]), frames.device)
    places = encode.tolist()
    for begin in range(0, len(places), FRAMES_AT_ONCE):
        chunk = frames[_slice_of(places[begin : begin + FRAMES_AT_ONCE])]
        features[begin : begin + len(chunk)] = to_unit_range(chunk)
    return features


def _slice_of(places: list[int]) -> slice | list[int]:
    """Neighbouring places as a slice, which is read without a copy."""
    first, last = places[0], places[-1]
    return slice(first, last + 1) if places == list(range(first, last + 1)) else places


def new_features(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """An empty tensor in the layout and the type in which convolutions will compute, which saves a pass each."""
    dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
    return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
