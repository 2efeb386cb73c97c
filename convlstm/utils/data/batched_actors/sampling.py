"""Pictures looked up at places between their pixels, bilinear, for many moments at once.

Shapes: N moments, C channels, h w pixels of the picture, H W of where it goes.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.scenes import Float64Array
from convlstm.utils.data.synthetic.textures import Size

Box = tuple[slice, slice]
"""Rows and columns."""


def on(device: torch.device, picture: Float32Array) -> Tensor:
    """A picture (h, w) or (h, w, C) as planes float32 (C, h, w)."""
    planes = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32)).to(device)


def column(device: torch.device, values: Sequence[float]) -> Tensor:
    """One value per moment, shaped to meet rows and columns: float32 (N, 1, 1)."""
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def sampled(picture: Tensor, x: Tensor, y: Tensor, beyond: str = "zeros") -> Tensor:
    """`picture` (C, h, w) at places x, y (N, H, W), counted in its pixels; (N, C, H, W).

    `beyond` its edges: "zeros", "border" or "reflection", as of torch's grid_sample.
    """
    height, width = picture.shape[1:]
    places = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=3)
    return F.grid_sample(picture.expand(len(x), -1, -1, -1), places, padding_mode=beyond, align_corners=False)


def placed(matrices: Sequence[Float64Array], box: Box, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where in a picture each pixel of `box` lies, x and y (N, H, W), under affine (2, 3) from picture to canvas."""
    inverse = np.linalg.inv(np.stack([np.vstack([matrix, [0, 0, 1]]) for matrix in matrices]))[:, :2]
    rows, columns = (torch.arange(part.start, part.stop, device=device) for part in box)
    x, y = (
        column(device, line[:, 0]) * columns[None, None, :]
        + column(device, line[:, 1]) * rows[None, :, None]
        + column(device, line[:, 2])
        for line in inverse.transpose(1, 0, 2)
    )
    return x, y


def box_around(centres: Sequence[tuple[float, float]], reaches: Sequence[float], size: Size) -> Box | None:
    """The smallest box that holds all pixels within reach of the centres (x, y); None where it lies outside `size`."""
    middles, reach = np.array(centres), np.array(reaches)[:, None]
    left, top = np.floor((middles - reach).min(axis=0)).clip(0).astype(int).tolist()
    right, bottom = np.ceil((middles + reach).max(axis=0)).clip(0).astype(int).tolist()
    right, bottom = min(size[1], right), min(size[0], bottom)
    return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


def any_of(masks: Sequence[Tensor]) -> Tensor:
    """Where any of the masks, bool (N or 1, H, W), is set."""
    return reduce(torch.logical_or, masks)


def scrolled(noise: Tensor, ways: Tensor, size: Size) -> Tensor:
    """A part of `size` of wrapping noise (h, w) that has moved by `ways` (N, 2), x and y in pixels; (N, H, W)."""
    height, width = noise.shape
    whole = F.pad(noise[None, None], (0, 1, 0, 1), mode="circular")[0]
    x = (torch.arange(size[1], device=ways.device) - ways[:, 0, None]) % width  # (N, W)
    y = (torch.arange(size[0], device=ways.device) - ways[:, 1, None]) % height  # (N, H)
    shape = (len(ways), *size)
    return sampled(whole, x[:, None].expand(shape), y[:, :, None].expand(shape), "border")[:, 0]
