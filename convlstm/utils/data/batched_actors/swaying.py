"""What moves to and fro, or changes, on its place, for many moments at once."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from convlstm.utils.data.batched_actors.sampling import column, on, sampled
from convlstm.utils.data.synthetic.swaying import Foliage, Screen


class BatchedFoliage:
    """As `BatchedActor`."""

    def __init__(self, foliage: Foliage, device: torch.device) -> None:
        self.foliage = foliage
        self.cover, self.phase = on(device, foliage.cover), on(device, foliage.phase)
        self.picture = torch.cat([on(device, foliage.texture), self.cover])
        self.x, self.y = on(device, foliage.x), on(device, foliage.y)

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """See BatchedActor.draw."""
        time, reach = column(canvas.device, times), self.foliage.reach.tolist()
        slow, fast = self.foliage.rates.tolist()
        sway = torch.sin(slow * time + self.phase) + 0.5 * torch.sin(fast * 2.3 * time + 1.7 * self.phase)
        swaying = sampled(self.picture, self.x + reach[0] * sway, self.y + reach[1] * sway)
        cover = swaying[:, 3:]
        canvas += cover * (swaying[:, :3] - canvas)
        return torch.maximum(cover[:, 0], self.cover) > self.foliage.VISIBLE


class BatchedScreen:
    """As `BatchedActor`; what it shows is small and comes from the processor."""

    def __init__(self, screen: Screen, device: torch.device) -> None:
        self.screen = screen
        self.changing = torch.from_numpy(screen.changing).to(device)

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """See BatchedActor.draw."""
        rows, columns = self.screen.region
        pictures = np.stack([self.screen.picture(time) for time in times], dtype=np.float32)
        shown = torch.from_numpy(pictures).to(canvas.device).permute(0, 3, 1, 2)
        target = canvas[..., rows, columns]
        target.copy_(target + shown if self.screen.is_lamp else shown.expand_as(target))
        mask = torch.zeros((len(times), *canvas.shape[-2:]), dtype=torch.bool, device=canvas.device)
        mask[:, rows, columns] = self.changing
        return mask
