"""Solid things on their way: cutouts placed, turned and bent for many moments at once."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from convlstm.utils.data.batched_actors.sampling import any_of, box_around, column, on, placed, sampled
from convlstm.utils.data.synthetic.scenes import ROUNDED_AWAY, SHADOW_LOSS, SHADOW_SOFTNESS, placing_matrix
from convlstm.utils.data.synthetic.things import Thing, Things


class BatchedThings:
    """As `BatchedActor`."""

    def __init__(self, things: Things, device: torch.device) -> None:
        self.things = [BatchedThing(thing, device) for thing in things.things]

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """See BatchedActor.draw."""
        return any_of([thing.draw(canvas, times) for thing in self.things])


class BatchedThing:
    """As `BatchedActor`; its shadow is blurred once, before it is placed."""

    def __init__(self, thing: Thing, device: torch.device) -> None:
        self.thing = thing
        self.size = thing.rgba.shape[0], thing.rgba.shape[1]
        self.rgba = on(device, thing.rgba)
        self.soft = SHADOW_SOFTNESS * max(self.size) if thing.shadow else 0.0
        if thing.shadow:
            self.margin = math.ceil(3 * self.soft)
            outline = np.pad(thing.rgba[..., 3], self.margin)
            blurred = cv2.GaussianBlur(outline, (0, 0), max(self.soft, 0.5))
            self.shade = on(device, thing.shadow * np.maximum(blurred - np.float32(SHADOW_LOSS), 0))

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """See BatchedActor.draw."""
        size = canvas.shape[-2], canvas.shape[-1]
        mask = torch.zeros((len(times), *size), dtype=torch.bool, device=canvas.device)
        poses = [self.thing.pose(time) for time in times]
        reach = 0.5 * math.hypot(*self.size) + 6 * self.soft
        box = box_around([centre for centre, _, _ in poses], [reach * scale + 2 for _, _, scale in poses], size)
        if box is None:
            return mask
        matrices = [placing_matrix(self.size, centre, angle=angle, scale=scale) for centre, angle, scale in poses]
        cutout = self._sampled(self.rgba, *placed(matrices, box, canvas.device), times)
        target, alpha = canvas[..., box[0], box[1]], cutout[:, 3:]
        changed = alpha
        if self.soft:
            for matrix, (_, _, scale) in zip(matrices, poses, strict=True):
                matrix[:, 2] += np.array([1.0, 2.0]) * self.soft * scale
            x, y = placed(matrices, box, canvas.device)
            shade = self._sampled(self.shade, x, y, times, self.margin)
            target *= 1 - shade
            changed = torch.maximum(alpha, shade)
        target *= 1 - alpha
        target += cutout[:, :3]
        mask[:, box[0], box[1]] = changed[:, 0] > ROUNDED_AWAY
        return mask

    def _sampled(self, picture: Tensor, x: Tensor, y: Tensor, times: Sequence[float], margin: int = 0) -> Tensor:
        """`picture` with `margin` around the cutout, at places x, y (N, H, W) of the cutout, deformed as it is."""
        if self.thing.deformation:
            phase = 0.35 * column(x.device, times)
            x = x + self.thing.deformation * torch.sin(phase + 5.0 * y / self.size[0])
        return sampled(picture, x + margin, y + margin)
