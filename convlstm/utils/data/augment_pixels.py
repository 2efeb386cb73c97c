"""What lens, sensor and codec do to the pixels of a stretch: the same to all its frames, but for noise.

Shapes: N frames, H W pixels, multiples of 32. Pixels are worked on as planes, float32 (N, 3, H, W), in levels of 255.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

BLACK_LEVEL = 3
"""A pixel whose largest channel is no higher is masked out, or never was in the picture; JPEG leaves such traces."""

DARK_LEVEL = 16
"""Up to here changes fade in. Without that, sensor noise about BLACK_LEVEL would flicker where black is lifted."""

PIVOT_STEP = 8
"""Contrast turns about the mean of every eighth pixel in both directions: near enough, and nearly for nothing."""

FRAMES_AT_ONCE = {"cpu": 1}
"""One by one, planes stay in the processor's cache, and equal frames stay equal to the last bit. 16 elsewhere."""

LUMA = (0.299, 0.587, 0.114)
"""Share of red, green and blue in grey (ITU-R BT.601, as JPEG files use it)."""

YCBCR = (LUMA, (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
"""RGB to luma and two chromas about 0 (JFIF)."""

RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))
"""And back."""

JPEG_BLOCK = 8

# Quantisation steps at quality 50, by vertical and horizontal frequency: ITU-T T.81, tables K.1 and K.2.
# fmt: off
LUMINANCE_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
# fmt: on

Steps = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Look:
    """A camera: factors of exposure, contrast, saturation and of each channel; blur (pixels), noise (levels), JPEG.

    The defaults change nothing. `noise_seed` decides the noise; `jpeg_quality` is 1-100, or None for no compression.
    """

    gain: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    channel_gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur_sigma: float = 0.0
    noise_deviation: float = 0.0
    noise_seed: int = 0
    jpeg_quality: int | None = None

    @property
    def is_toned(self) -> bool:
        """Whether light or colour change."""
        return (self.gain, self.contrast, self.saturation, *self.channel_gains) != (1.0,) * 6


def apply_look(frames: Tensor, look: Look) -> Tensor:
    """Frames of one stretch, uint8 (N, H, W, 3) RGB, as this camera would have recorded them; same dtype and shape.

    Black pixels stay as they are. Frames that are equal stay equal, but for noise. `frames` itself where the look
    changes nothing.
    """
    if look == Look():
        return frames
    changed = torch.empty_like(frames)
    tone = tone_matrix(frames, look) if look.is_toned else None
    noise = _Noise(frames, look) if look.noise_deviation else None
    step = FRAMES_AT_ONCE.get(frames.device.type, 16)
    with torch.autocast(frames.device.type, enabled=False):
        for start in range(0, len(frames), step):
            recorded = frames[start : start + step].permute(0, 3, 1, 2).contiguous()  # (N, 3, H, W)
            planes = recorded.float()
            if tone is not None:
                planes = torch.baddbmm(tone[1], tone[0].expand(len(planes), -1, -1), planes.flatten(2)).view_as(planes)
            if look.blur_sigma:
                planes = blur(planes, look.blur_sigma)
            if noise is not None:
                planes = noise.add_to(planes, start)
            if look.jpeg_quality is not None:
                planes = compress(planes, look.jpeg_quality)
            changed[start : start + step] = keep_black(recorded, planes).permute(0, 2, 3, 1)
    return changed


def keep_black(recorded: Tensor, changed: Tensor) -> Tensor:
    """`changed`, float (N, 3, H, W), as uint8; but `recorded`, uint8, where that is black, and between where dark."""
    brightest = recorded.amax(dim=1, keepdim=True).float()
    weight = ((brightest - BLACK_LEVEL) / (DARK_LEVEL - BLACK_LEVEL)).clamp_(0, 1)
    return torch.lerp(recorded.float(), changed, weight).round_().clamp_(0, 255).to(torch.uint8)


def tone_matrix(frames: Tensor, look: Look) -> tuple[Tensor, Tensor]:
    """Light and colour in one step: a matrix (3, 3) and an offset (3, 1), float32, for columns of RGB levels.

    Contrast turns about the mean of all pixels of `frames`, uint8 (N, H, W, 3), that are not black.
    """
    sample = frames[:, ::PIVOT_STEP, ::PIVOT_STEP].float()
    lit = (sample.amax(dim=3, keepdim=True) > BLACK_LEVEL).float()
    pivot = (sample * lit).sum() / (3 * lit.sum()).clamp(min=1)
    gains = look.gain * frames.new_tensor(look.channel_gains, dtype=torch.float32)
    grey = frames.new_tensor(LUMA, dtype=torch.float32).expand(3, -1)
    own = torch.eye(3, device=frames.device)
    matrix = look.contrast * gains[:, None] * (look.saturation * own + (1 - look.saturation) * grey)
    return matrix, (1 - look.contrast) * pivot * gains[:, None]


class _Noise:
    """Gaussian noise, drawn once for a stretch and shifted by another offset for each frame."""

    def __init__(self, frames: Tensor, look: Look) -> None:
        generator = torch.Generator().manual_seed(look.noise_seed)
        num_frames, height, width, _ = frames.shape
        offsets = torch.rand(num_frames, 2, generator=generator) * torch.tensor([height, width])
        self.offsets: list[list[int]] = offsets.int().tolist()
        field = look.noise_deviation * torch.randn(3, height, width, generator=generator)
        self.field = field.to(frames.device)

    def add_to(self, planes: Tensor, start: int) -> Tensor:
        """Planes (N, 3, H, W) of the frames from place `start` on, with their noise."""
        shifted = [self.field.roll(offset, dims=(1, 2)) for offset in self.offsets[start : start + len(planes)]]
        return planes + torch.stack(shifted)


def blur(planes: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of planes (N, 3, H, W); `sigma` in pixels; at the border the outermost pixels go on."""
    reach = math.ceil(3 * sigma)
    weights = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(reach + 1)]
    total = 2 * sum(weights) - weights[0]
    for dim, margins in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        length = planes.shape[dim]
        padded = F.pad(planes, margins, mode="replicate")
        planes = padded.narrow(dim, reach, length) * (weights[0] / total)
        for k, weight in enumerate(weights[1:], start=1):  # sums of slices: far quicker on a CPU than a convolution
            both_sides = padded.narrow(dim, reach - k, length) + padded.narrow(dim, reach + k, length)
            planes.add_(both_sides, alpha=weight / total)
    return planes


def compress(planes: Tensor, quality: int) -> Tensor:
    """Planes (N, 3, H, W) of RGB levels as JPEG of `quality` 1-100 leaves them, chroma at half resolution (4:2:0).

    ITU-T T.81 without the entropy coding, which loses nothing; steps scaled by quality as libjpeg does.
    """
    to_ycbcr = torch.tensor(YCBCR, device=planes.device)
    components = (to_ycbcr @ planes.flatten(2)).view_as(planes)
    luma = _quantise_blocks(components[:, :1] - 128, scaled_steps(LUMINANCE_STEPS, quality)) + 128
    chroma = _quantise_blocks(F.avg_pool2d(components[:, 1:], 2), scaled_steps(CHROMINANCE_STEPS, quality))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    coded = torch.cat([luma, chroma], dim=1)
    return (torch.tensor(RGB, device=planes.device) @ coded.flatten(2)).view_as(planes)


def scaled_steps(steps: Steps, quality: int) -> Tensor:
    """Quantisation steps (8, 8), float32, whole numbers in [1, 255]; libjpeg's rule: `steps` themselves at 50."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((torch.tensor(steps) * percent + 50) // 100).clamp(1, 255).float()


def _quantise_blocks(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes (N, C, H, W) about 0, with the cosine coefficients of each 8x8 block rounded to multiples of `steps`."""
    width = planes.shape[3]
    cosines = _cosines().to(planes.device)
    steps = steps.to(planes.device)[:, None]  # (8, 1, 8): vertical frequency, blocks of a row, horizontal frequency
    vertical = cosines @ planes.reshape(-1, JPEG_BLOCK, width)
    coefficients = vertical.view(-1, JPEG_BLOCK, width // JPEG_BLOCK, JPEG_BLOCK) @ cosines.T
    coefficients.div_(steps).round_().mul_(steps)
    return (cosines.T @ (coefficients @ cosines).view(-1, JPEG_BLOCK, width)).view_as(planes)


@cache
def _cosines() -> Tensor:
    """The orthonormal 8-point DCT-II, float32 (frequency, pixel)."""
    frequency, pixel = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    cosines = torch.cos((2 * pixel + 1) * frequency * math.pi / 16) / 2
    cosines[0] *= math.sqrt(0.5)
    return cosines
