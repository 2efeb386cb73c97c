"""The generator's actors drawn by torch, for many moments at once, on any device.

Who they are, and where at which moment, is up to the numpy actor that each of them is made of
(`convlstm/utils/data/synthetic/`); only pixels are worked out here. Sparks alone come from the processor.

Shapes: K canvases that are drawn on alike, N moments, H W pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from convlstm.utils.data.batched_actors.fluids import BatchedFire, BatchedSmoke, BatchedWater
from convlstm.utils.data.batched_actors.swaying import BatchedFoliage, BatchedScreen
from convlstm.utils.data.batched_actors.things import BatchedThings
from convlstm.utils.data.synthetic.actors import Actor
from convlstm.utils.data.synthetic.fluids import Fire, Smoke, Water
from convlstm.utils.data.synthetic.swaying import Foliage, Screen
from convlstm.utils.data.synthetic.things import Things


class BatchedActor(Protocol):
    """An actor at several moments at once."""

    def draw(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        """Draw onto `canvas` float32 (K, N, 3, H, W) in [0, 1], in place, each moment onto its own, or one onto all.

        Returns which pixels the actor changes visibly at each moment, bool (N or 1, H, W); smoke is visible or not by
        what is behind it on the first canvas, at every N.
        """
        ...


BATCHED: dict[type, Callable[[Any, torch.device], BatchedActor]] = {
    Things: BatchedThings,
    Fire: BatchedFire,
    Smoke: BatchedSmoke,
    Water: BatchedWater,
    Foliage: BatchedFoliage,
    Screen: BatchedScreen,
}
"""What draws each of the generator's actors."""


def batched(actor: Actor, device: torch.device) -> BatchedActor:
    """The same actor, drawn on `device`."""
    return BATCHED[type(actor)](actor, device)
