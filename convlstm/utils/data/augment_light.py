"""Light that changes over a stretch of training frames: the generator's exposures, lamps and clouds, on any device.

What happens is drawn as for synthetic footage (`synthetic/lighting.py`); here it falls on frames that exist already.

Shapes: N frames, H W pixels, L lamps, h w pixels of the fields that lamps and clouds are drawn in: smaller than the
frame where that is large, and enlarged on the device.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convlstm.types import Float32Array
from convlstm.utils.data.augment_pixels import FRAMES_AT_ONCE, keep_black
from convlstm.utils.data.batched_actors.sampling import scrolled
from convlstm.utils.data.synthetic.lighting import Lighting

LIGHT_KINDS = ("clouds", "lights", "exposure")
"""In the order in which they act: from the sky to the camera."""

SEVERITY = (0.1, 1.0)
"""From a change that one hardly sees to one that leaves little of the picture; as of synthetic footage."""

LARGEST_FIELD = 160
"""Pixels of a field's longer side: light is smooth, and noise is drawn by the processor."""


@dataclass(frozen=True)
class Light:
    """Which of LIGHT_KINDS happen to a stretch; each is drawn from `seed` for itself."""

    kinds: tuple[str, ...] = ()
    seed: int = 0


def apply_light(frames: Tensor, light: Light) -> Tensor:
    """Frames of one stretch, uint8 (N, H, W, 3) RGB, under this light; same dtype and shape.

    Black pixels stay as they are. `frames` itself where nothing happens.
    """
    if not light.kinds:
        return frames
    num_frames, size = len(frames), (frames.shape[1], frames.shape[2])
    lights = [_DeviceLight(draw_lighting(kind, light.seed, num_frames, size), frames.device) for kind in light.kinds]
    lit = torch.empty_like(frames)
    step = FRAMES_AT_ONCE.get(frames.device.type, 16)
    for start in range(0, num_frames, step):
        part = slice(start, start + step)
        recorded = frames[part].permute(0, 3, 1, 2).contiguous()  # (N, 3, H, W)
        factors = math.prod((light.factors(part) for light in lights), start=torch.ones((), device=frames.device))
        planes = recorded * (factors if factors.shape[2:] in ((1, 1), size) else _enlarged(factors, size))
        for device_light in lights:
            planes = device_light.tone(planes, part)
        lit[part] = keep_black(recorded, planes).permute(0, 2, 3, 1)
    return lit


def draw_lighting(kind: str, seed: int, num_frames: int, size: tuple[int, int]) -> Lighting:
    """One of LIGHT_KINDS over `num_frames` frames, in fields that have the shape of `size` = (height, width)."""
    rng = np.random.default_rng((seed, LIGHT_KINDS.index(kind)))
    scale = min(1.0, LARGEST_FIELD / max(size))
    field = max(2, round(scale * size[0])), max(2, round(scale * size[1]))
    suffers = {name: name == kind for name in LIGHT_KINDS}
    return Lighting.sample(rng, suffers, num_frames, field, float(rng.uniform(*SEVERITY)))


def _enlarged(factors: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(factors, size=size, mode="bilinear", align_corners=False)


class _DeviceLight:
    """A `Lighting` as tensors on a device, for several frames at once."""

    def __init__(self, lighting: Lighting, device: torch.device) -> None:
        def column(values: Float32Array) -> Tensor:
            """Of (N,) or (N, C) values, shaped to multiply planes (N, C, H, W)."""
            return torch.from_numpy(values.reshape(len(values), -1, 1, 1)).to(device)

        gains = (
            lighting.gains if (lighting.gains != 1).any() else lighting.gains[:, :1]
        )  # one plane of factors, not three
        self.gains, self.gammas = column(gains), column(lighting.gammas)
        self.saturations, self.levels = column(lighting.saturations), column(lighting.lamp_levels)
        self.lamps = torch.from_numpy(lighting.lamps).permute(0, 3, 1, 2).to(device)  # (L, 3, h, w)
        self.changes_tone = bool((lighting.gammas != 1).any() or (lighting.saturations != 1).any())
        self.transmission: Tensor | None = None
        if lighting.clouds is not None:
            self.transmission = torch.from_numpy(lighting.clouds.transmission).to(device)
            self.way = torch.from_numpy(lighting.clouds.way).to(device)

    def factors(self, part: slice) -> Tensor:
        """What the frames at `part` are multiplied by before their tone changes: (N, 3 or 1, h or 1, w or 1)."""
        factors = torch.ones_like(self.gains[part]) if self.changes_tone else self.gains[part]
        for lamp, levels in zip(self.lamps, self.levels[part].unbind(1), strict=True):
            factors = factors * (1 + levels[:, None] * lamp)
        return factors if self.transmission is None else factors * self._shade(self.way[part])

    def tone(self, planes: Tensor, part: slice) -> Tensor:
        """Planes float32 (N, 3, H, W), in levels of 255, as infrared and gamma make them, and the gains after those."""
        if not self.changes_tone:
            return planes
        grey = planes.mean(dim=1, keepdim=True)
        shares = torch.lerp(grey, planes, self.saturations[part]).clamp_(min=0).div_(255)
        return shares.pow_(self.gammas[part]).mul_(255 * self.gains[part])

    def _shade(self, way: Tensor) -> Tensor:
        """Transmission (N, 1, h, w) after the shadow has moved by `way` (N, 2), x and y in pixels."""
        assert self.transmission is not None
        return scrolled(self.transmission, way, (self.transmission.shape[0], self.transmission.shape[1]))[:, None]
