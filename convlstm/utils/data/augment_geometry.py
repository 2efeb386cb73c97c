"""Where pixels of training frames go: a part of the frame enlarged, or a frame shifted; the masks' shares likewise.

Shapes: N frames, H W pixels, MH MW blocks of the mask: of 8x8 pixels, or 4x4 where frames are shrunk.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convlstm.utils.data.frames import MASK_BLOCK


@dataclass(frozen=True)
class Box:
    """A part of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


def crop_frames(frames: Tensor, box: Box) -> Tensor:
    """The part `box` of frames uint8 (N, H, W, 3), enlarged to their size; bilinear, between pixels' centres."""
    height, width = frames.shape[1:3]
    enlarged = torch.empty_like(frames)
    for frame, out in zip(frames, enlarged, strict=True):
        part = frame[box.top : box.top + box.height, box.left : box.left + box.width].permute(2, 0, 1)
        pixels = F.interpolate(part.unsqueeze(0).float(), size=(height, width), mode="bilinear", align_corners=False)
        out.copy_(pixels.squeeze(0).round_().permute(1, 2, 0))
    return enlarged


def crop_shares(shares: Tensor, box: Box, block: int = MASK_BLOCK) -> Tensor:
    """Shares of dynamic pixels float16 (N, MH, MW), per block of that side, of the part `box`, enlarged; none NaN.

    A new block's share is the mean of the old ones that it covers, each by the area, as if its dynamic pixels were
    spread evenly: exactly 0 where none of them has any.
    """
    rows = _overlaps(box.top, box.height, shares.shape[1], block).to(shares.device)
    columns = _overlaps(box.left, box.width, shares.shape[2], block).to(shares.device)
    return (rows @ shares.float() @ columns.T).to(shares.dtype)


def shake_frames(frames: Tensor, shifts: Tensor) -> Tensor:
    """Frames uint8 (N, H, W, 3), each moved by its own x and y of `shifts` float32 (N, 2), in pixels; bilinear.

    What comes in from outside shows the outermost pixels.
    """
    height, width = frames.shape[1:3]
    shaken = torch.empty_like(frames)
    for frame, out, (x, y) in zip(frames, shaken, shifts.tolist(), strict=True):
        theta = torch.tensor([[[1, 0, -2 * x / width], [0, 1, -2 * y / height]]], device=frames.device)
        grid = F.affine_grid(theta, [1, 3, height, width], align_corners=False)
        planes = frame.permute(2, 0, 1).unsqueeze(0).float()
        moved = F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
        out.copy_(moved.squeeze(0).round_().permute(1, 2, 0))
    return shaken


def shake_shares(shares: Tensor, shifts: Tensor, block: int = MASK_BLOCK) -> Tensor:
    """Shares float16 (N, MH, MW), per block of that side, of frames moved by `shifts` (N, 2); frames of NaN stay so.

    As for `crop_shares`; outermost blocks go on beyond the border.
    """
    moved = torch.empty_like(shares)
    for share, out, (x, y) in zip(shares, moved, shifts.tolist(), strict=True):
        rows = _overlaps(-y, share.shape[0] * block, share.shape[0], block).to(shares.device)
        columns = _overlaps(-x, share.shape[1] * block, share.shape[1], block).to(shares.device)
        out.copy_(rows @ share.float() @ columns.T)
    return moved


def _overlaps(start: float, length: int, num_blocks: int, block: int) -> Tensor:
    """float32 (new blocks, old blocks): how much of each new block each old one covers; rows have the sum 1."""
    new = start + length / num_blocks * torch.arange(num_blocks + 1, dtype=torch.float64)
    old = block * torch.arange(num_blocks + 1, dtype=torch.float64)
    old[0], old[-1] = min(old[0].item(), new[0].item()), max(old[-1].item(), new[-1].item())
    covered = torch.minimum(new[1:, None], old[1:]) - torch.maximum(new[:-1, None], old[:-1])
    return (covered.clamp(min=0) / (length / num_blocks)).float()
