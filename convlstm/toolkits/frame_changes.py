"""A random change of a whole sequence, drawn as training draws its own, and made frame by frame.

What is drawn, and within which limits, is `utils/data/augment.py`; here frames have any size, and a rotation is added.
What does not move must not begin to: geometry is the same for all frames of a copy, also where light varies.

Shapes: N frames, H W pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from convlstm.config import AugmentConfig
from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.augment import draw_changes
from convlstm.utils.data.augment_geometry import Box
from convlstm.utils.data.augment_pixels import BLACK_LEVEL, DARK_LEVEL, Look, tone_matrix

MOST_DEGREES = 5.0
"""A camera that is not mounted level. With more, what falls would fall aslant."""

SECONDS_PER_LOOK = 1.5
"""Where light varies in time, it comes to another look after so long."""

KEPT_MOTION = 0.5
"""A part of the frame that shows less of all dynamic pixels is not taken: the copy keeps the original's label."""

_NO_LOOK = Look()


@dataclass(frozen=True)
class Change:
    """What happens to a copy of N frames.

    `matrix` (2, 3): x and y in the original of a pixel's x and y before flipping, None for the frame as it is;
    `flipped_axes`: 0 top and bottom, 1 left and right; `looks`: the look, or one after another at equal distances in
    time; `is_lost` bool (N,): the frame before is shown again.
    """

    matrix: NDArray[np.float64] | None
    flipped_axes: tuple[int, ...]
    looks: tuple[Look, ...]
    noise_seed: int
    is_reversed: bool
    is_lost: NDArray[np.bool_]
    degrees: float = 0.0
    box: Box | None = None

    @property
    def changes_nothing(self) -> bool:
        """Whether the copy would be as the original."""
        is_placed = self.matrix is not None or bool(self.flipped_axes)
        return not (is_placed or any(look != _NO_LOOK for look in self.looks) or self.is_reversed or self.is_lost.any())

    def place(self, pixels: UInt8Array) -> UInt8Array:
        """A frame (H, W, 3), rotated, cropped and flipped, in the same size."""
        return self._placed(pixels, cv2.INTER_LINEAR)

    def place_mask(self, mask: UInt8Array, size: tuple[int, int]) -> UInt8Array:
        """A mask as its frame of `size` = (height, width): (H, W), 0 or 255."""
        return self._placed(white_mask(mask, size), cv2.INTER_NEAREST)

    def _placed(self, pixels: UInt8Array, interpolation: int) -> UInt8Array:
        if self.matrix is not None:
            flags = interpolation | cv2.WARP_INVERSE_MAP
            size = pixels.shape[1], pixels.shape[0]
            warped = cv2.warpAffine(pixels, self.matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            pixels = np.asarray(warped, dtype=np.uint8)
        return np.ascontiguousarray(np.flip(pixels, self.flipped_axes)) if self.flipped_axes else pixels

    def look_at(self, share: float) -> Look:
        """The look when this share of the copy is over."""
        if len(self.looks) == 1:
            return self.looks[0]
        position = min(max(share, 0.0), 1.0) * (len(self.looks) - 1)
        before = min(int(position), len(self.looks) - 2)
        eased = 0.5 - 0.5 * math.cos(math.pi * (position - before))
        return between(self.looks[before], self.looks[before + 1], eased)

    def describe(self) -> str:
        """In words: "left-right, rotation 2.1, brightness 1.20"."""
        words = ["top-bottom"] * (0 in self.flipped_axes) + ["left-right"] * (1 in self.flipped_axes)
        words += [f"rotation {self.degrees:+.1f}"] if self.degrees else []
        words += [f"crop {self.box.width}x{self.box.height}"] if self.box is not None else []
        words += _look_words(self.looks)
        words += ["reversed"] if self.is_reversed else []
        words += [f"{int(self.is_lost.sum())} frames lost"] if self.is_lost.any() else []
        return ", ".join(words)


def white_mask(mask: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """A mask (h, w) in the size of its frame, (H, W), 0 or 255."""
    white = np.where(mask > 0, np.uint8(255), np.uint8(0))
    if white.shape != tuple(size):
        white = np.asarray(cv2.resize(white, size[::-1], interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    return white


def draw_change(
    config: AugmentConfig,
    seed: int,
    *,
    rotation: float,
    num_frames: int,
    size: tuple[int, int],
    num_looks: int = 1,
) -> Change:
    """What happens to a copy; `rotation` is its probability, `num_looks` over 1 lets light vary."""
    drawn = draw_changes(config, seed, num_frames, size)
    rng = np.random.default_rng(seed)
    is_rotated, degrees = bool(rng.random() < rotation), float(rng.uniform(-MOST_DEGREES, MOST_DEGREES))
    degrees = degrees if is_rotated else 0.0
    shown: NDArray[np.int64] = drawn.shown.numpy()
    is_reversed = num_frames > 1 and shown[0] == num_frames - 1
    places = np.arange(num_frames)[:: -1 if is_reversed else 1]
    looks = [drawn.look]
    if num_looks > 1:
        certain = _as_drawn(drawn.look)
        looks += [draw_changes(certain, int(rng.integers(1 << 62)), 1, size).look for _ in range(num_looks - 1)]
    return Change(
        matrix=placing_matrix(size, drawn.box, degrees),
        flipped_axes=tuple(dim - 1 for dim in drawn.flipped_dims),
        looks=tuple(looks),
        noise_seed=int(rng.integers(1 << 62)),
        is_reversed=bool(is_reversed),
        is_lost=shown != places,
        degrees=degrees,
        box=drawn.box,
    )


def without_geometry(change: Change) -> Change:
    """The change without rotation and crop, which could cut away what a label is about; flips stay."""
    return replace(change, matrix=None, degrees=0.0, box=None)


def placing_matrix(size: tuple[int, int], box: Box | None, degrees: float) -> NDArray[np.float64] | None:
    """Matrix (2, 3) from a pixel of the copy to its place in the original of `size`; None where they are the same.

    The frame is turned about its middle, enlarged until no corner is empty, and `box` of that is enlarged to `size`.
    """
    if box is None and degrees == 0:
        return None
    height, width = size
    box = box or Box(0, 0, height, width)
    to_box = np.array(
        [
            [box.width / width, 0.0, box.left + 0.5 * box.width / width - 0.5],
            [0.0, box.height / height, box.top + 0.5 * box.height / height - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )
    angle = math.radians(degrees)
    enlarged = math.cos(angle) + max(height / width, width / height) * abs(math.sin(angle))
    cosine, sine = math.cos(angle) / enlarged, math.sin(angle) / enlarged
    x, y = (width - 1) / 2, (height - 1) / 2
    turn = np.array([[cosine, -sine, x - cosine * x + sine * y], [sine, cosine, y - sine * x - cosine * y]])
    return np.asarray(turn @ to_box)


def kept_share(matrix: NDArray[np.float64], dynamic: NDArray[np.bool_]) -> float:
    """Share of the pixels set in `dynamic` (H, W) that a copy by `matrix` still shows; 1 where none is set."""
    y, x = np.nonzero(dynamic)
    if not len(x):
        return 1.0
    back = cv2.invertAffineTransform(matrix)
    places = back[:, :2] @ np.stack([x, y]) + back[:, 2:]
    height, width = dynamic.shape
    inside = (places > -0.5).all(axis=0) & (places[0] < width - 0.5) & (places[1] < height - 0.5)
    return float(inside.mean())


def between(first: Look, second: Look, share: float) -> Look:
    """A look on the way from one to another: factors by their ratio, the rest by their difference."""

    def factor(a: float, b: float) -> float:
        return a if a == b else math.exp((1 - share) * math.log(a) + share * math.log(b))

    def amount(a: float, b: float) -> float:
        return a + share * (b - a)

    red, green, blue = (factor(a, b) for a, b in zip(first.channel_gains, second.channel_gains, strict=True))
    quality = first.jpeg_quality
    if quality is not None and second.jpeg_quality is not None:
        quality = round(amount(quality, second.jpeg_quality))
    return Look(
        gain=factor(first.gain, second.gain),
        contrast=factor(first.contrast, second.contrast),
        saturation=factor(first.saturation, second.saturation),
        channel_gains=(red, green, blue),
        blur_sigma=amount(first.blur_sigma, second.blur_sigma),
        noise_deviation=amount(first.noise_deviation, second.noise_deviation),
        jpeg_quality=quality,
    )


class Painter:
    """Gives frames of one copy their look; contrast turns about the mean of `reference`, its first frame (H, W, 3)."""

    def __init__(self, change: Change, reference: UInt8Array) -> None:
        self.change = change
        self._reference = torch.from_numpy(reference.copy()).unsqueeze(0)

    def paint(self, pixels: UInt8Array, place: int, share: float) -> UInt8Array:
        """Frame `place` of the copy (H, W, 3), when this share of it is over. Black pixels stay as they are."""
        look = self.change.look_at(share)
        if replace(look, noise_seed=0) == _NO_LOOK:
            return pixels
        planes: Float32Array = pixels.astype(np.float32)
        if look.is_toned:
            matrix, offset = (part.numpy() for part in tone_matrix(self._reference, look))
            planes = np.asarray(cv2.transform(planes, np.hstack([matrix, offset])), dtype=np.float32)
        if look.blur_sigma:
            blurred = cv2.GaussianBlur(planes, (0, 0), look.blur_sigma, borderType=cv2.BORDER_REPLICATE)
            planes = np.asarray(blurred, dtype=np.float32)
        if look.noise_deviation:
            rng = np.random.default_rng([self.change.noise_seed, place])
            planes = planes + np.float32(look.noise_deviation) * rng.standard_normal(planes.shape, dtype=np.float32)
        if look.jpeg_quality is not None:
            planes = _compress(planes, look.jpeg_quality)
        return _keep_black(pixels, planes)


def _compress(planes: Float32Array, quality: int) -> Float32Array:
    """JPEG and back; the order of the channels matters to its colour model."""
    levels = np.rint(np.clip(planes, 0, 255)).astype(np.uint8)
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, coded = cv2.imencode(".jpg", cv2.cvtColor(levels, cv2.COLOR_RGB2BGR), settings)
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR_RGB), dtype=np.float32)


def _keep_black(recorded: UInt8Array, changed: Float32Array) -> UInt8Array:
    """`changed` as levels; but `recorded` where that is black, and between the two where it is dark."""
    brightest = recorded.max(axis=2, keepdims=True).astype(np.float32)
    weight = np.clip((brightest - BLACK_LEVEL) / (DARK_LEVEL - BLACK_LEVEL), 0, 1)
    mixed = recorded + weight * (changed - recorded)
    return np.asarray(np.rint(np.clip(mixed, 0, 255)), dtype=np.uint8)


def _as_drawn(look: Look) -> AugmentConfig:
    """Probabilities 1 for what happens in a look, 0 for all else."""
    happens = {
        "aug_brightness": look.gain != 1,
        "aug_contrast": look.contrast != 1,
        "aug_colour": look.saturation != 1 or look.channel_gains != (1, 1, 1),
        "aug_blur": look.blur_sigma > 0,
        "aug_noise": look.noise_deviation > 0,
        "aug_compression": look.jpeg_quality is not None,
    }
    names = [setting.name for setting in fields(AugmentConfig) if setting.name != "augment"]
    probabilities: dict[str, Any] = {name: float(happens.get(name, False)) for name in names}
    return AugmentConfig(**probabilities)


def _look_words(looks: Sequence[Look]) -> list[str]:
    first, last = looks[0], looks[-1]
    values = (
        ("brightness", first.gain, last.gain, 1.0),
        ("contrast", first.contrast, last.contrast, 1.0),
        ("saturation", first.saturation, last.saturation, 1.0),
        ("blur", first.blur_sigma, last.blur_sigma, 0.0),
        ("noise", first.noise_deviation, last.noise_deviation, 0.0),
        ("JPEG", float(first.jpeg_quality or 0), float(last.jpeg_quality or 0), 0.0),
    )
    return [
        f"{name} {a:.3g}" if a == b else f"{name} {a:.3g} to {b:.3g}"
        for name, a, b, idle in values
        if (a, b) != (idle, idle)
    ]
