"""What flickers, drifts and ripples, for many moments at once."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convlstm.utils.data.batched_actors.sampling import any_of, box_around, column, on, placed, sampled, scrolled
from convlstm.utils.data.synthetic.fluids import Fire, Flames, Smoke, Sparks, Water
from convlstm.utils.data.synthetic.scenes import ROUNDED_AWAY, placing_matrix


class BatchedFire:
    """As `BatchedActor`."""

    def __init__(self, fire: Fire, device: torch.device) -> None:
        self.parts: list[BatchedSmoke | BatchedFlames | BatchedSparks] = []
        if fire.smoke is not None:
            self.parts.append(BatchedSmoke(fire.smoke, device))
        self.parts += [BatchedFlames(flames, device) for flames in fire.flames]
        if fire.sparks is not None:
            self.parts.append(BatchedSparks(fire.sparks))

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """See BatchedActor.draw."""
        return any_of([part.draw(canvas, times) for part in self.parts])


class BatchedSparks:
    """As `BatchedActor`: specks of a pixel or two, which the processor draws onto a dark and a white canvas."""

    def __init__(self, sparks: Sparks) -> None:
        self.sparks = sparks

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """See BatchedActor.draw."""
        masks = []
        for place, time in enumerate(times):
            dark = np.zeros((*canvas.shape[-2:], 3), dtype=np.float32)
            white = np.ones_like(dark)
            masks.append(torch.from_numpy(self.sparks.draw(dark, time)))
            self.sparks.draw(white, time)
            target = canvas[:, place] if len(times) > 1 else canvas
            light = on(canvas.device, dark)
            target *= on(canvas.device, white) - light  # what is left of what is behind
            target += light
        return torch.stack(masks).to(canvas.device)


class BatchedFlames:
    """As `BatchedActor`."""

    def __init__(self, flames: Flames, device: torch.device) -> None:
        self.flames = flames
        self.glow = on(device, flames.glow)
        self.noises = on(device, np.stack([flames.coarse, flames.fine], axis=2))
        self.ramp = torch.from_numpy(flames.ramp).to(device)

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """See BatchedActor.draw."""
        flames, (height, width) = self.flames, canvas.shape[-2:]
        mask = torch.zeros((len(times), height, width), dtype=torch.bool, device=canvas.device)
        flicker = column(canvas.device, [flames.flicker(time) for time in times])
        canvas *= 1 + flicker[:, None] * self.glow
        rows = slice(max(0, flames.top), min(height, flames.top + flames.height))
        columns = slice(max(0, flames.left), min(width, flames.left + flames.width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return mask
        heat = self._heat(times, flicker)
        heat = heat[:, rows.start - flames.top : rows.stop - flames.top, columns.start - flames.left :]
        heat = heat[..., : columns.stop - columns.start]
        alpha = (heat / flames.softness).clamp(0, 1) * flames.opacity
        colours = self.ramp[(heat * 255).round().long()].permute(0, 3, 1, 2)
        target = canvas[..., rows, columns]
        target += alpha[:, None] * (colours - target)
        mask[:, rows, columns] = alpha > flames.VISIBLE
        return mask

    def _heat(self, times: Sequence[float], flicker: Tensor) -> Tensor:
        """Heat (N, height, width) in [0, 1], as of `Flames`."""
        flames, device = self.flames, flicker.device
        time, size, rates = column(device, times), (flames.height, flames.width), flames.rates.tolist()
        y = torch.linspace(1, 0, flames.height, device=device)[:, None]  # 0 at the base
        x = torch.linspace(-1, 1, flames.width, device=device)[None, :]
        coarse, fine = (
            scrolled(noise, F.pad(-float(rise) * time[:, 0], (1, 0)), size)
            for noise, rise in zip(self.noises, flames.rise, strict=True)
        )
        bent = x + y * (0.12 * torch.sin(rates[0] * time + 3 * y) + 0.16 * coarse)
        body = torch.full_like(coarse, -1.0)
        for index, (middle, half_width, tallness) in enumerate(flames.tongues):
            swing = 0.2 * (flicker - 1) + 0.12 * torch.sin(rates[index + 1] * time + index)
            reach = tallness * (1 + swing)
            narrowing = half_width * (1.05 - (y / reach) ** 1.5).clamp(min=0.02)
            tongue = 1 - ((bent - middle * (1 - 0.4 * y)) / narrowing) ** 2 - 0.55 * y / reach
            body = torch.maximum(body, tongue)
        edges = (8 * (1 - x.abs())).clamp(0, 1) * (10 * (1 - y)).clamp(0, 1) * (12 * y).clamp(0, 1)
        heat = (body + 0.32 * (0.3 + y) * (coarse + 0.8 * fine)) * edges
        return (heat * (0.85 + 0.15 * flicker)).clamp(0, 1)


class BatchedSmoke:
    """As `BatchedActor`."""

    def __init__(self, smoke: Smoke, device: torch.device) -> None:
        self.smoke = smoke
        self.puffs = [on(device, puff) for puff in smoke.puffs]
        self.colour = torch.from_numpy(smoke.colour).to(device)[:, None, None]

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """See BatchedActor.draw."""
        smoke = self.smoke
        now = self._opacity(times, canvas.device)
        before = self._opacity([time - smoke.LOOKBACK for time in times], canvas.device)
        contrast = (self.colour - canvas[0]).abs().amax(dim=1)
        canvas += now[:, None] * (self.colour - canvas)
        change = F.pad((now - before).abs()[:, None], (2, 2, 2, 2), mode="reflect")
        change = F.max_pool2d(F.avg_pool2d(change, 5, 1), 7, 1, 3)[:, 0]  # also between two fronts
        return (now * contrast > smoke.VISIBLE) & (change * contrast > smoke.VISIBLE / 3)

    def _opacity(self, times: Sequence[float], device: torch.device) -> Tensor:
        """Opacity (N, H, W) in [0, 1]."""
        smoke = self.smoke
        density = torch.zeros((len(times), *smoke.half), device=device)
        for index in range(smoke.count):
            self._add_puff(density, index, times)
        thickness = column(device, [smoke.thickness_at(time) for time in times])
        opacity = 1 - torch.exp(-thickness * density)
        return F.interpolate(opacity[:, None], size=smoke.size, mode="bilinear", align_corners=False)[:, 0]

    def _add_puff(self, density: Tensor, index: int, times: Sequence[float]) -> None:
        centres, radii, angles, strengths = zip(*(self.smoke.place_puff(index, t) for t in times), strict=True)
        box = box_around(centres, [math.sqrt(2) * radius + 1 for radius in radii], self.smoke.half)
        if box is None:
            return
        puff = self.puffs[index % len(self.puffs)]
        side = puff.shape[1]
        matrices = [
            placing_matrix((side, side), centre, angle=angle, scale=2 * radius / side)
            for centre, radius, angle in zip(centres, radii, angles, strict=True)
        ]
        shape = sampled(puff, *placed(matrices, box, density.device))[:, 0]
        density[:, box[0], box[1]] += column(density.device, strengths) * shape


class BatchedWater:
    """As `BatchedActor`."""

    def __init__(self, water: Water, device: torch.device) -> None:
        self.water = water
        self.surface, self.cover = on(device, water.surface), on(device, water.cover)
        self.waves = on(device, np.stack(water.waves, axis=2))
        self.x, self.y = on(device, water.x), on(device, water.y)
        self.pace = torch.from_numpy(water.pace).float().to(device)

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """See BatchedActor.draw."""
        size = canvas.shape[-2], canvas.shape[-1]
        time = column(canvas.device, times)[:, 0]
        first, second, third = (
            scrolled(wave, pace * time, size) for wave, pace in zip(self.waves, self.pace, strict=True)
        )
        strength = float(self.water.strength)
        x, y = self.x + strength * (first + second), self.y + strength * (second + third)
        bent = sampled(self.surface, x, y, "reflection")
        crest = float(self.water.glint) * (first + second * third)
        canvas += self.cover * (bent + crest[:, None] - canvas)
        return (self.cover > ROUNDED_AWAY).expand(len(times), -1, -1)
