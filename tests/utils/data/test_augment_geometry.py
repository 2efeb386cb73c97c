"""Where pixels and shares go: crops enlarge one part, shaking moves frames and masks alike."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from convlstm.utils.data.augment_geometry import Box, crop_frames, crop_shares, shake_frames, shake_shares
from convlstm.utils.data.frames import MASK_BLOCK

pytestmark = pytest.mark.pure

HEIGHT, WIDTH = 96, 128
SHIFT = st.floats(-6, 6, width=32)


def test_a_crop_enlarges_one_part_of_all_frames() -> None:
    ramp = (4 * (torch.arange(WIDTH) - 16)).clamp(0, 255).to(torch.uint8)
    frames = ramp[None, None, :, None].expand(2, HEIGHT, WIDTH, 3).contiguous()
    cropped = crop_frames(frames, Box(top=7, left=16, height=64, width=60))
    centres = (torch.arange(WIDTH) + 0.5) * 60 / WIDTH - 0.5
    assert (cropped[1, 5, :, 2] - 4 * centres.clamp(0, 59)).abs().max() <= 0.51
    assert torch.equal(cropped[0], cropped[1]) and torch.equal(cropped[:, :1].expand_as(cropped), cropped)
    assert torch.equal(crop_frames(frames, Box(0, 0, HEIGHT, WIDTH)), frames)


def test_shares_of_a_crop_are_areas() -> None:
    shares = torch.zeros(1, 12, 16)
    shares[0, 4, 6] = 1.0  # pixels 32-40, 48-56
    half = crop_shares(shares.half(), Box(top=24, left=44, height=48, width=64))  # new blocks are 4 old pixels
    expected = torch.zeros(12, 16)
    expected[2:4, 1:3] = 1
    assert torch.equal(half[0].float(), expected)
    shifted = crop_shares(shares.half(), Box(top=26, left=47, height=48, width=64))
    columns = torch.zeros(16)
    columns[:3] = torch.tensor([0.75, 1, 0.25])
    rows = torch.zeros(12)
    rows[1:4] = torch.tensor([0.5, 1, 0.5])
    assert torch.equal(shifted[0].float(), rows[:, None] * columns)
    assert torch.equal(crop_shares(shares.half(), Box(0, 0, HEIGHT, WIDTH)), shares.half())


def blurred_noise(num_frames: int = 3) -> Tensor:
    """Frames uint8 (N, H, W, 3) that are all alike."""
    noise = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    frame = F.avg_pool2d(255 * noise, 5, stride=1, padding=2)[0].permute(1, 2, 0)
    return frame.to(torch.uint8).repeat(num_frames, 1, 1, 1)


def test_whole_pixels_of_shaking_move_frames_and_the_border_goes_on() -> None:
    frames = blurred_noise()
    shaken = shake_frames(frames, torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, -2.0]]))
    assert torch.equal(shaken[0], frames[0])
    assert torch.equal(shaken[1][:, 3:], frames[1][:, :-3])
    assert torch.equal(shaken[1][:, :3], frames[1][:, :1].expand(-1, 3, -1))
    assert torch.equal(shaken[2][:-2], frames[2][2:])


def test_half_a_pixel_is_the_mean_of_two() -> None:
    frames = blurred_noise(1)
    shaken = shake_frames(frames, torch.tensor([[0.5, 0.0]]))[0].float()
    expected = (frames[0, :, 1:].float() + frames[0, :, :-1].float()) / 2
    assert (shaken[:, 1:] - expected).abs().max() <= 0.51


@given(x=SHIFT, y=SHIFT, top=st.integers(0, 9), left=st.integers(0, 12), block=st.sampled_from([4, MASK_BLOCK]))
def test_shares_move_as_frames_do(x: float, y: float, top: int, left: int, block: int) -> None:
    """Where masks fill blocks, the shares are the exact areas of the moved mask; where there was nothing, 0."""
    shares = torch.zeros(1, HEIGHT // block, WIDTH // block)
    shares[0, top : top + 2, left : left + 3] = 1
    mask = shares.repeat_interleave(block, 1).repeat_interleave(block, 2)[..., None].expand(-1, -1, -1, 3)
    shifts = torch.tensor([[x, y]])
    moved = shake_shares(shares.half(), shifts, block)
    pixels = shake_frames((255 * mask).to(torch.uint8), shifts)[..., 0].float() / 255
    torch.testing.assert_close(moved.float(), F.avg_pool2d(pixels[:, None], block)[:, 0], atol=0.01, rtol=0)
    assert (shake_shares(torch.zeros_like(shares).half(), shifts, block) == 0).all()
    whole = shake_shares(torch.ones_like(shares).half(), shifts, block)
    torch.testing.assert_close(whole, torch.ones_like(whole), atol=1e-3, rtol=0)


def test_frames_whose_motion_nobody_knows_stay_unknown_alone() -> None:
    shares = torch.zeros(2, 12, 16).half()
    shares[1] = torch.nan
    moved = shake_shares(shares, torch.tensor([[1.5, -2.0], [1.5, -2.0]]))
    assert (moved[0] == 0).all() and moved[1].isnan().all()
