"""What the encoder sees of a frame: `rgb` as it is, or `motion`, exposure taken out and differences added.

Shapes: N frames, M encoded frames, E earlier frames, L lags, H W pixels.
"""

import torch
from torch import Tensor

CONTRAST_FLOOR = 0.05
"""Added to a frame's standard deviation: a flat, noisy frame is not blown up to full contrast."""

FRAMES_AT_ONCE = 8
"""Float copies of a whole batch would take gigabytes, and on a CPU these few stay in its caches."""


def to_unit_range(frames: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]; float stays as it is."""
    return frames.float() / 255 if frames.dtype == torch.uint8 else frames


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
        normalised = planes / (deviation + CONTRAST_FLOOR * full_scale)
        red, green, blue = normalised.unbind(1)
        return normalised, (red + green + blue) / 3


def motion_features(
    frames: Tensor, encode: Tensor, lagged: Tensor, earlier_greys: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Frames (N, 3, H, W) to features (M, 3+L, H, W), channels last, and greys (E+N, H, W).

    `encode` int64 (M,) names the frames to give features of, `lagged` int64 (M, L) for each those that its differences
    are taken to: a channel per lag, the grey now minus the grey then. Both are places in the E frames whose greys are
    given, followed by `frames`.
    """
    num_earlier = len(earlier_greys) if earlier_greys is not None else 0
    height, width = frames.shape[-2:]
    greys = torch.empty((num_earlier + len(frames), height, width), device=frames.device)
    if earlier_greys is not None:
        greys[:num_earlier] = earlier_greys
    features = new_features((len(encode), 3 + lagged.shape[1], height, width), frames.device)
    places = [place - num_earlier for place in encode.tolist()]
    for begin in range(0, len(frames), FRAMES_AT_ONCE):
        normalised, grey = take_out_exposure(frames[begin : begin + FRAMES_AT_ONCE])
        greys[num_earlier + begin : num_earlier + begin + len(grey)] = grey
        rows = [row for row, place in enumerate(places) if begin <= place < begin + len(grey)]
        if rows:
            taken = normalised[_slice_of([places[row] - begin for row in rows])]
            features[_slice_of(rows), :3] = taken.to(features.dtype)  # first the type, then the layout: twice as fast
    for begin in range(0, len(encode), FRAMES_AT_ONCE):
        chunk = slice(begin, begin + FRAMES_AT_ONCE)
        now = greys[encode[chunk]]
        for lag in range(lagged.shape[1]):
            features[chunk, 3 + lag] = (now - greys[lagged[chunk, lag]]).to(features.dtype)
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
