"""Losses on cells where masks exist, on the spatial maximum where only the clip's label is known.

Shapes: B batch, K output channels (1 for two classes, one per class for more), GH GW cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from convlstm.models.temporal_classifier import clip_logits
from convlstm.utils.data.batch import IGNORED

HARD_SHARE = 0.04
"""Share of a window's cells that `hard_cell_weight` is about: the 4 with the highest loss of 10 x 10, 16 of 20 x 20."""

SMALLEST_WEIGHT = 1e-6
"""Stands in for a sum of weights that is 0, where nothing is known: the loss is 0 then."""


def clip_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy (B,) of clip labels int64 (B,) against the spatial maximum; BCE for two classes."""
    return F.cross_entropy(clip_logits(logits), labels, reduction="none")


def cell_loss(
    logits: Tensor,
    cells: Tensor,
    positive_weight: float = 1.0,
    hard_cell_weight: float = 0.0,
    cell_weights: Tensor | None = None,
) -> Tensor:
    """Mean cross entropy over the known cells of each clip (B,); 0 for a clip with none.

    `cells` int64 (B, GH, GW) holds class indices, -1 where ignored; those over 0 count `positive_weight` times,
    and each as often as `cell_weights` (B, GH, GW) says.
    Added is `hard_cell_weight` times the mean over the HARD_SHARE of cells that are worst: three hot cells make a false
    alarm of a still window, and the mean of hundreds of cells hardly shows them (online hard example mining,
    Shrivastava et al. 2016, arXiv:1604.03540).
    """
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    per_cell = F.cross_entropy(logits, cells, ignore_index=IGNORED, reduction="none")
    weights = torch.where(cells > 0, positive_weight, 1.0) * (cells != IGNORED)
    if cell_weights is not None:
        weights = weights * cell_weights
    loss = (per_cell * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp(min=SMALLEST_WEIGHT)
    if hard_cell_weight:
        num_hard = max(1, round(HARD_SHARE * cells.shape[1:].numel()))
        loss = loss + hard_cell_weight * per_cell.flatten(1).topk(num_hard, dim=1).values.mean(dim=1)
    return loss


def training_loss(
    logits: Tensor,
    labels: Tensor,
    cells: Tensor,
    *,
    class_weights: Tensor | None = None,
    positive_weight: float = 1.0,
    hard_cell_weight: float = 0.0,
    cell_weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Weighted sum over clips of the loss on cells where a clip has known ones, else of that on its label.

    `class_weights` (classes,) weighs each clip by its label. Also returns the sum of the weights: both add up over the
    parts of a step and over processes, and their quotient is the loss.
    """
    logits = logits.float()
    has_cells = (cells != IGNORED).flatten(1).any(dim=1)
    cell_losses = cell_loss(logits, cells, positive_weight, hard_cell_weight, cell_weights)
    loss = torch.where(has_cells, cell_losses, clip_loss(logits, labels))
    weights = class_weights[labels] if class_weights is not None else torch.ones_like(loss)
    return (loss * weights).sum(), weights.sum()


def balanced_class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Weights (classes,) by which all classes that occur count alike; 0 for those that do not occur."""
    counts = torch.bincount(labels, minlength=num_classes).float()
    present = counts > 0
    return torch.where(present, counts.sum() / (counts.clamp(min=1) * present.sum()), torch.zeros_like(counts))
