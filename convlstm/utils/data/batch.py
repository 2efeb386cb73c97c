"""What the loader gives: frames, each of them once, and which windows they make.

Shapes: N frames, M encoded frames, L lags, B windows, T frames per window, S stretches, H W pixels of the frame as the
network sees it, GH GW cells, MH MW blocks of the mask: target_size / 8.

    stretch 0            context       window 0
    frames   0 1 2 3     [ ] [ ] [x] [x] [x] [x] [x] ...     only [x] goes through the encoder
                                     window 1
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from convlstm.config import TrainConfig
from convlstm.utils.data.frames import BLOCKS_PER_CELL, MASK_BLOCK

IGNORED = -1
"""Cell target for "nobody knows": no mask, or too few dynamic pixels to tell."""


@dataclass(frozen=True)
class Batch:
    """Some stretches of frames and the windows in them.

    `frames` uint8 (N, H, W, 3) RGB, each frame of a stretch once; `shares` float16 (N, MH, MW), the share of dynamic
    pixels per block, NaN where nobody knows; `unreadable` bool (N,), frames that are black because they did not decode.
    `encode` int64 (M,) places in `frames` of those that windows hold; `lagged` int64 (M, L) those that their lags
    reach back to; `windows` int64 (B, T) places in `encode`.
    `labels` int64 (B,) class indices; `ids` int64 (B,) places of the windows in the dataset.
    `bounds` has S + 1 entries: stretch s is `frames[bounds[s]:bounds[s + 1]]`; `seeds` has one per stretch, from which
    augmentation draws. `damaged` says what could not be read.
    Places in `encode`, `lagged` and `windows` may start with frames that an earlier batch brought: the last
    `num_carried_frames` of its frames, the last `num_carried` of those it encoded.
    """

    frames: Tensor
    shares: Tensor
    unreadable: Tensor
    encode: Tensor
    lagged: Tensor
    windows: Tensor
    labels: Tensor
    ids: Tensor
    bounds: tuple[int, ...]
    seeds: tuple[int, ...]
    damaged: tuple[str, ...] = ()
    num_carried_frames: int = 0
    num_carried: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def pin_memory(self) -> "Batch":
        """For fast copies to a GPU; DataLoader calls this."""
        return replace(self, frames=self.frames.pin_memory(), shares=self.shares.pin_memory())

    def to(self, device: torch.device) -> "Batch":
        """On the device, as far as it is needed there: uint8 frames travel, nothing is converted before."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("frames", "shares", "encode", "lagged", "windows", "labels")
        }
        return replace(self, **moved)

    def with_windows(self, keep: Tensor) -> "Batch":
        """Only the windows where `keep`, bool (B,), says so; frames stay."""
        if bool(keep.all()):
            return self
        return replace(self, windows=self.windows[keep], labels=self.labels[keep], ids=self.ids[keep])

    def readable(self) -> "Batch":
        """Without windows that hold, or whose lags reach back to, a frame that did not decode.

        For batches of whole stretches, before they go to a device.
        """
        bad = self.unreadable[self.encode] | self.unreadable[self.lagged].any(dim=1)
        return self.with_windows(~bad[self.windows].any(dim=1))

    def with_labels_of_cells(self, min_share: float) -> "Batch":
        """Windows of class 0 in which a cell is dynamic get the first dynamic class: something was drawn into them."""
        is_dynamic = (self.cell_targets(min_share) > 0).flatten(1).any(dim=1)
        return replace(self, labels=torch.where(is_dynamic, self.labels.clamp(min=1), self.labels))

    def cell_targets(self, min_share: float) -> Tensor:
        """Class index per cell, int64 (B, GH, GW); 0 where no pixel is dynamic in any frame, -1 (ignored) where few.

        For batches of whole stretches.
        """
        shares = cell_shares(self.shares)[self.encode[self.windows]].amax(dim=1)
        return targets_of(shares, self.labels, min_share)

    def left_cells(self, min_share: float) -> Tensor:
        """Still cells that something left just before the window, bool (B, GH, GW): the lags reach back to its motion.

        For batches of whole stretches.
        """
        is_dynamic = cell_shares(self.shares) > min_share
        seen_before = is_dynamic[self.lagged[self.windows]].flatten(1, 2).any(dim=1)
        return seen_before & ~is_dynamic[self.encode[self.windows]].any(dim=1)


def blank_batch(config: TrainConfig, device: torch.device) -> Batch:
    """One window of black frames, labelled with the first class."""
    length, (height, width) = config.seq_length, config.target_size
    num_lags = len(config.lags) if config.stem == "motion" else 0
    return Batch(
        frames=torch.zeros((length, *config.frame_size, 3), dtype=torch.uint8, device=device),
        shares=torch.zeros((length, height // MASK_BLOCK, width // MASK_BLOCK), dtype=torch.float16, device=device),
        unreadable=torch.zeros(length, dtype=torch.bool),
        encode=torch.arange(length, device=device),
        lagged=torch.zeros((length, num_lags), dtype=torch.int64, device=device),
        windows=torch.arange(length, device=device)[None],
        labels=torch.zeros(1, dtype=torch.int64, device=device),
        ids=torch.zeros(1, dtype=torch.int64),
        bounds=(0, length),
        seeds=(0,),
    )


def cell_shares(shares: Tensor) -> Tensor:
    """Shares per block (N, MH, MW) to shares per cell, float32 (N, GH, GW); NaN where any block of it is."""
    return F.avg_pool2d(shares.float().unsqueeze(1), BLOCKS_PER_CELL).squeeze(1)


def targets_of(shares: Tensor, labels: Tensor, min_share: float) -> Tensor:
    """Highest share of dynamic pixels per cell over a window (B, GH, GW) to class indices, int64.

    0 where no pixel is dynamic, the window's class over `min_share` (the first dynamic one in windows of class 0), -1
    (ignored) between and where the share is NaN.
    """
    classes = labels.clamp(min=1)[:, None, None].expand_as(shares)
    targets = torch.full(shares.shape, IGNORED, dtype=torch.int64, device=shares.device)
    targets[shares == 0] = 0
    return torch.where(shares > min_share, classes, targets)
