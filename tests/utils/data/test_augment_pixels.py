import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from convlstm.utils.data import augment_pixels
from convlstm.utils.data.augment_pixels import (
    BLACK_LEVEL,
    CHROMINANCE_STEPS,
    LUMA,
    LUMINANCE_STEPS,
    Look,
    apply_look,
    blur,
    compress,
    scaled_steps,
)
from convlstm.utils.data.synthetic.textures import fractal_noise

pytestmark = pytest.mark.pure

EVERYTHING = Look(1.3, 0.8, 1.4, (1.1, 1.0, 0.9), blur_sigma=1.2, noise_deviation=5, noise_seed=3, jpeg_quality=30)


def picture(height: int = 96, width: int = 128) -> Tensor:
    """uint8 (H, W, 3): soft clouds of colour with a hard-edged sign, as cameras see."""
    rng = np.random.default_rng(0)
    clouds = np.stack([fractal_noise(rng, (height, width)) for _ in range(3)], axis=2)
    pixels = 60 + 140 * (clouds - clouds.min()) / np.ptp(clouds)
    pixels[20:50, 30:90] = (200, 60, 40)
    return torch.from_numpy(pixels.astype(np.uint8))


def flat(level: int, num_frames: int = 1, size: int = 64) -> Tensor:
    return torch.full((num_frames, size, size, 3), level, dtype=torch.uint8)


def planes_of(frame: Tensor) -> Tensor:
    return frame.permute(2, 0, 1)[None].float()


def test_a_look_that_changes_nothing_hands_the_frames_back() -> None:
    frames = flat(7)
    assert apply_look(frames, Look()) is frames


def test_gain_multiplies_and_stops_at_white() -> None:
    frames = torch.cat([flat(100), flat(200)])
    changed = apply_look(frames, Look(gain=1.4))
    assert changed[0].unique().tolist() == [140] and changed[1].unique().tolist() == [255]
    assert apply_look(frames, Look(gain=0.7))[0].unique().tolist() == [70]


def test_contrast_turns_about_the_mean_of_what_is_not_black() -> None:
    frames = torch.cat([flat(50), flat(150)])
    assert apply_look(frames, Look(contrast=1.3)).flatten(1)[:, 0].tolist() == [35, 165]
    assert apply_look(frames, Look(contrast=0.7)).flatten(1)[:, 0].tolist() == [65, 135]
    letterboxed = flat(100)
    letterboxed[:, :48] = 0
    assert torch.equal(apply_look(letterboxed, Look(contrast=0.7)), letterboxed)
    assert torch.equal(apply_look(flat(0), Look(contrast=0.7)), flat(0))


def test_saturation_moves_colours_to_and_from_their_grey() -> None:
    frames = picture()[None]
    grey = (frames.float() * torch.tensor(LUMA)).sum(dim=3, keepdim=True)
    without = apply_look(frames, Look(saturation=0)).float()
    assert (without - grey).abs().max() <= 0.51
    half = apply_look(frames, Look(saturation=0.5)).float()
    assert (half - (frames + grey) / 2).abs().max() <= 0.51
    more = apply_look(frames, Look(saturation=1.5)).float()
    assert (more - (1.5 * frames - 0.5 * grey).clamp(0, 255)).abs().max() <= 0.51


def test_each_channel_has_its_own_gain_and_all_tones_go_together() -> None:
    assert apply_look(flat(100), Look(channel_gains=(1.1, 1, 0.9)))[0, 0, 0].tolist() == [110, 100, 90]
    together = apply_look(torch.cat([flat(50), flat(150)]), Look(1.2, 0.8, 0.5, (1.1, 1, 0.9)))
    assert together[:, 0, 0].tolist() == [[79, 72, 65], [185, 168, 151]]  # 60 and 140 after contrast


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_blur_is_the_gaussian_of_opencv(sigma: float) -> None:
    frame = picture()
    size = 2 * int(np.ceil(3 * sigma)) + 1
    expected = cv2.GaussianBlur(frame.numpy().astype(np.float32), (size, size), sigma, borderType=cv2.BORDER_REPLICATE)
    blurred = blur(planes_of(frame), sigma)[0].permute(1, 2, 0)
    torch.testing.assert_close(blurred, torch.from_numpy(expected), atol=2e-3, rtol=0)


def test_blur_keeps_the_mean_and_softens_edges() -> None:
    frames = picture()[None]
    blurred = apply_look(frames, Look(blur_sigma=1.5)).float()
    assert abs(blurred.mean() - frames.float().mean()) < 0.3
    assert blurred.diff(dim=2).abs().max() < 0.5 * frames.float().diff(dim=2).abs().max()


def test_noise_is_new_in_every_frame_and_as_strong_as_asked() -> None:
    frames = flat(128, num_frames=4)
    noise = apply_look(frames, Look(noise_deviation=6, noise_seed=1)).float() - 128
    assert noise.mean().abs() < 0.2
    assert noise.std(dim=(1, 2, 3)).tolist() == pytest.approx([6] * 4, rel=0.03)
    assert torch.corrcoef(noise.flatten(1)).fill_diagonal_(0).abs().max() < 0.05
    assert torch.corrcoef(noise[0].flatten(0, 1).T).fill_diagonal_(0).abs().max() < 0.1  # channels
    other = apply_look(frames, Look(noise_deviation=6, noise_seed=2)).float() - 128
    assert torch.corrcoef(torch.stack([noise[0].flatten(), other[0].flatten()]))[0, 1].abs() < 0.05


@pytest.mark.parametrize("quality", [1, 20, 49, 50, 73, 100])
def test_quantisation_steps_are_those_of_jpeg_files(quality: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization  # type: ignore[attr-defined]  # of JPEG files only
    assert scaled_steps(LUMINANCE_STEPS, quality).flatten().tolist() == tables[0]
    assert scaled_steps(CHROMINANCE_STEPS, quality).flatten().tolist() == tables[1]


@pytest.mark.parametrize("quality", [20, 50, 80])
def test_compression_is_that_of_opencv(quality: int) -> None:
    frame = picture()
    _, coded = cv2.imencode(".jpg", frame.numpy()[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)[:, :, ::-1]
    expected = torch.from_numpy(decoded.copy()).float()
    ours = apply_look(frame[None], Look(jpeg_quality=quality))[0].float()
    lost = (expected - frame).square().mean()
    assert lost > 1
    assert (ours - expected).square().mean() < 0.05 * lost + 0.5  # rounding between its steps


def test_high_quality_is_nearly_nothing_and_low_quality_shows_blocks() -> None:
    frame = picture()
    frame = (frame.float().mean(dim=2, keepdim=True)).to(torch.uint8).expand(-1, -1, 3)  # half resolution hits no grey

    def steps_at_borders(pixels: Tensor) -> float:
        """Mean step between neighbours of two blocks, over that between neighbours within one."""
        steps = pixels[:, :, 0].float().diff(dim=1).abs().mean(dim=0)
        at_border = torch.arange(1, 128) % 8 == 0
        return float(steps[at_border].mean() / steps[~at_border].mean())

    high = apply_look(frame[None], Look(jpeg_quality=100))[0]
    assert (high.float() - frame.float()).abs().max() <= 2
    low = apply_look(frame[None], Look(jpeg_quality=10))[0]
    assert steps_at_borders(low) > 1.5 * steps_at_borders(frame)


def test_compression_leaves_flat_colours_and_works_block_by_block() -> None:
    planes = torch.tensor([200.0, 100.0, 50.0]).reshape(1, 3, 1, 1).expand(1, 3, 64, 64)
    assert (compress(planes, 90) - planes).abs().max() < 3
    touched = planes.clone()
    touched[:, :, 32:, 40:] = 0
    difference = (compress(touched, 50) - compress(planes, 50)).abs().amax(dim=(0, 1))
    assert difference[:30].max() == 0  # the chroma of neighbours reaches one pixel into a block
    assert difference[32:, 40:].min() > 0


@pytest.mark.parametrize(
    "look",
    [
        Look(gain=1.2),
        Look(contrast=0.8),
        Look(saturation=0.5, channel_gains=(1.1, 1, 0.9)),
        Look(blur_sigma=1),
        Look(jpeg_quality=25),
        Look(1.3, 0.8, 1.4, (1.1, 1.0, 0.9), blur_sigma=1.2, jpeg_quality=30),
    ],
)
def test_equal_frames_stay_equal_whatever_stands_between_them(look: Look) -> None:
    frame, other = picture(), picture().flip(0)
    changed = apply_look(torch.stack([frame, other, frame, frame]), look)
    assert torch.equal(changed[0], changed[2]) and torch.equal(changed[0], changed[3])
    assert not torch.equal(changed[0], frame)
    assert not torch.equal(changed[0], changed[1])


def test_black_pixels_keep_their_traces() -> None:
    frame = picture()
    frame[40:, :60] = torch.randint(0, BLACK_LEVEL + 1, (56, 60, 3), dtype=torch.uint8)
    changed = apply_look(frame[None].repeat(3, 1, 1, 1), EVERYTHING)
    assert (changed[:, 40:, :60] == frame[40:, :60]).all()
    assert (changed[:, :40] != frame[:40]).float().mean() > 0.9
    assert (apply_look(flat(0), EVERYTHING) == 0).all()


def test_a_level_above_black_does_not_jump() -> None:
    frames = flat(100)
    frames[:, :6] = torch.arange(BLACK_LEVEL, BLACK_LEVEL + 6, dtype=torch.uint8).reshape(6, 1, 1)
    lifted = apply_look(frames, Look(contrast=0.7))[0, :6, 0, 0].int()
    assert lifted[0] == BLACK_LEVEL
    assert lifted.diff().min() >= 1 and lifted.diff().max() <= 5


def test_frames_stay_as_they_were_and_come_back_in_the_same_layout() -> None:
    frames = picture()[None].repeat(2, 1, 1, 1)
    before = frames.clone()
    changed = apply_look(frames, EVERYTHING)
    assert torch.equal(frames, before)
    assert (changed.dtype, changed.shape, changed.is_contiguous()) == (torch.uint8, frames.shape, True)
    assert torch.equal(changed, apply_look(frames, EVERYTHING))


def test_several_frames_at_once_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = torch.stack([picture().roll(i, 1) for i in range(5)])
    one_by_one = apply_look(frames, EVERYTHING)
    monkeypatch.setitem(augment_pixels.FRAMES_AT_ONCE, "cpu", 3)
    at_once = apply_look(frames, EVERYTHING)
    # Sums in another order may fall on the other side of a half
    assert ((at_once.int() - one_by_one.int()).abs() > 1).float().mean() < 1e-3


def test_mixed_precision_around_it_changes_nothing() -> None:
    frames = picture()[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = apply_look(frames, EVERYTHING)
    assert torch.equal(mixed, apply_look(frames, EVERYTHING))
