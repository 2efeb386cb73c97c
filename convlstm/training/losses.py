"""Losses on cells where masks exist, on the spatial maximum where only the clip's label is known.

Shapes: B batch, K output channels (1 for two classes, one per class for more), GH GW cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from convlstm.models.temporal_classifier import clip_logits
from convlstm.utils.data.batch import IGNORED

SMALLEST_WEIGHT = 1e-6
"""Stands in for a sum of weights that is 0, where nothing is known: the loss is 0 then."""


def clip_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy (B,) of clip labels int64 (B,) against the spatial maximum; BCE for two classes."""
    return F.cross_entropy(clip_logits(logits), labels, reduction="none")


def cell_loss(logits: Tensor, cells: Tensor, positive_weight: float = 1.0) -> Tensor:
    """Mean cross entropy over the known cells of each clip (B,); 0 for a clip with none.

    `cells` int64 (B, GH, GW) holds class indices, -1 where ignored; those over 0 count `positive_weight` times.
    """
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    per_cell = F.cross_entropy(logits, cells, ignore_index=IGNORED, reduction="none")
    weights = torch.where(cells > 0, positive_weight, 1.0) * (cells != IGNORED)
    return (per_cell * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp(min=SMALLEST_WEIGHT)


def training_loss(
    logits: Tensor, labels: Tensor, cells: Tensor, *, class_weights: Tensor | None = None, positive_weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Weighted sum over clips of the loss on cells where a clip has known ones, else of that on its label.

    `class_weights` (classes,) weighs each clip by its label. Also returns the sum of the weights: both add up over the
    parts of a step and over processes, and their quotient is the loss.
    """
    logits = logits.float()
    has_cells = (cells != IGNORED).flatten(1).any(dim=1)
    loss = torch.where(has_cells, cell_loss(logits, cells, positive_weight), clip_loss(logits, labels))
    weights = class_weights[labels] if class_weights is not None else torch.ones_like(loss)
    return (loss * weights).sum(), weights.sum()


def balanced_class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Weights (classes,) by which all classes that occur count alike; 0 for those that do not occur."""
    counts = torch.bincount(labels, minlength=num_classes).float()
    present = counts > 0
    return torch.where(present, counts.sum() / (counts.clamp(min=1) * present.sum()), torch.zeros_like(counts))
