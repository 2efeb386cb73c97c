"""Still scenes and the things that stand in them. Colours float32 RGB in [0, 1]."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.cutouts import cutout
from convlstm.utils.data.synthetic.textures import Size, fractal_noise, surface

BoolArray = NDArray[np.bool_]
Float64Array = NDArray[np.float64]

ROUNDED_AWAY = 1 / 512
"""A change of a pixel, as a share of full scale, that uint8 does not show."""


@dataclass(frozen=True)
class Scene:
    """A background (H, W, 3), the light that falls on it, 1 is day, 0.15 deep night, and what stands before it.

    `foreground` (H, W, 4), premultiplied RGBA, hides actors in part; None where there is nothing of that kind.
    """

    background: Float32Array
    ambient: float
    foreground: Float32Array | None = None

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.background.shape[0], self.background.shape[1]


Photos = Sequence[UInt8Array]
"""Photographs, uint8 RGB (h, w, 3) of any size, that scenes are made of."""


def still_scene(rng: np.random.Generator, size: Size, photos: Photos = ()) -> Scene:
    """A room, a street or a landscape without anything that moves; `size` is (height, width).

    Half of them are parts of `photos`, where there are any.
    """
    if photos and rng.random() < 0.5:
        photo = photos[int(rng.integers(len(photos)))]
        background, ambient = _from_photo(rng, size, photo), float(rng.uniform(0.5, 1.1))
        num_things = int(rng.integers(0, 4))
    else:
        background, ambient = _painted(rng, size)
        num_things = 0
    _put_things(rng, background, num_things)
    if rng.random() < 0.15:
        background[:] = background.mean(axis=2, keepdims=True)  # infrared
    if rng.random() < 0.2:  # haze, or a lens of low contrast
        background = np.asarray(rng.uniform(0.1, 0.6) + rng.uniform(0.15, 0.5) * (background - background.mean()))
    blur = rng.uniform(0.3, 1.2) if rng.random() < 0.8 else rng.uniform(1.2, 3.5)  # lenses differ
    foreground = _foreground(rng, size) if rng.random() < 0.25 else None
    background = np.clip(cv2.GaussianBlur(background, (0, 0), blur), 0, 1).astype(np.float32)
    return Scene(background, ambient, foreground)


def _painted(rng: np.random.Generator, size: Size) -> tuple[Float32Array, float]:
    """A scene (H, W, 3) of noise, patterns and cutouts, and the light on it."""
    background = surface(rng, size)
    if rng.random() < 0.8:
        _lay_ground(rng, background)
    _put_things(rng, background, int(rng.integers(0, 14)))
    shading = 1 + rng.uniform(0.02, 0.25) * fractal_noise(rng, size, exponent=rng.uniform(2.0, 3.0))
    background *= np.clip(shading, 0.3, 1.7)[..., None]
    ambient = float(rng.uniform(0.15, 0.4) if rng.random() < 0.25 else rng.uniform(0.5, 1.1))
    background *= ambient
    if ambient <= 0.4:
        _add_lamps(rng, background)
    return background, ambient


def _put_things(rng: np.random.Generator, background: Float32Array, count: int) -> None:
    height, width = background.shape[:2]
    for _ in range(count):
        thing = cutout(rng, int(min(height, width) * np.exp(rng.uniform(np.log(0.04), np.log(0.5)))))
        centre = rng.uniform(0, width), rng.uniform(0, height)
        paste(background, thing, centre, angle=rng.normal(0.0, 0.15))


def _from_photo(rng: np.random.Generator, size: Size, photo: UInt8Array) -> Float32Array:
    """A part of a photograph (H, W, 3), mirrored or not, in other light."""
    height, width = photo.shape[:2]
    zoom = max(size[0] / height, size[1] / width)  # at least as large as the scene
    zoom = max(zoom, float(np.exp(rng.uniform(np.log(0.4), np.log(1.5)))))
    squeeze = float(rng.choice([1.0, 0.5625, 0.75]))  # wide recordings come resized to a square
    rows, columns = size[0] / zoom, min(width, size[1] / zoom / squeeze)
    top = min(height - 1, int(rng.uniform(0, height - rows + 1)))
    left = min(width - 1, int(rng.uniform(0, width - columns + 1)))
    part = photo[top : top + max(1, int(rows)), left : left + max(1, int(columns))]
    picture = cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    tint = np.clip(rng.normal(1, 0.08, 3) * rng.uniform(0.4, 1.2), 0.2, 1.5)
    return np.asarray((picture / np.float32(255)) ** rng.uniform(0.7, 1.4) * tint, dtype=np.float32)


def _foreground(rng: np.random.Generator, size: Size) -> Float32Array:
    """Poles, bars and things close to the camera: RGBA (H, W, 4), premultiplied."""
    height, width = size
    layer = np.zeros((height, width, 4), dtype=np.float32)
    for _ in range(rng.integers(1, 4)):
        colour = (surface(rng, size) * rng.uniform(0.3, 1.0)).astype(np.float32)
        cover = np.zeros(size, dtype=np.float32)
        if rng.random() < 0.6:
            x, lean = rng.uniform(0, width), rng.normal(0, 0.1 * height)
            thickness = int(np.exp(rng.uniform(np.log(3), np.log(0.1 * width + 4))))
            cv2.line(cover, (int(x), -5), (int(x + lean), height + 5), 1.0, thickness, cv2.LINE_AA)
        else:
            centre = int(rng.uniform(0, width)), int(rng.uniform(0.3, 1.1) * height)
            axes = int(rng.uniform(0.05, 0.2) * width), int(rng.uniform(0.05, 0.3) * height)
            cv2.ellipse(cover, centre, axes, rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
        alpha = np.clip(cv2.GaussianBlur(cover, (0, 0), 0.8), 0, 1)[..., None]
        layer *= 1 - alpha
        layer[..., :3] += alpha * colour
        layer[..., 3:] += alpha
    return layer


def _lay_ground(rng: np.random.Generator, background: Float32Array) -> None:
    """Fill what lies under a horizon or skirting, and often put a road on it."""
    height, width = background.shape[:2]
    horizon = rng.uniform(0.05, 0.75) * height
    ground = surface(rng, (height, width), receding=True)
    line = horizon + rng.normal(0, 0.08) * (np.arange(width) - width / 2)
    if rng.random() < 0.5:
        line = line + rng.uniform(1, 14) * fractal_noise(rng, (1, width), exponent=1.3)[0]
    cover = np.clip(np.arange(height)[:, None] - line[None, :], 0, 1)[..., None].astype(np.float32)
    if rng.random() < 0.4:
        _draw_road(rng, ground, horizon)
    background += cover * (ground - background)


def _draw_road(rng: np.random.Generator, ground: Float32Array, horizon: float) -> None:
    height, width = ground.shape[:2]
    far, near = rng.uniform(-0.3, 1.3, 2) * width
    far_width, near_width = rng.uniform(0.03, 0.3) * width, rng.uniform(0.4, 1.5) * width

    def across(share: float) -> list[tuple[float, float]]:
        return [(far + (share - 0.5) * far_width, horizon), (near + (share - 0.5) * near_width, height)]

    asphalt = rng.uniform(0.2, 0.55)
    cv2.fillPoly(ground, [np.array(across(0) + across(1)[::-1], dtype=np.int32)], (asphalt,) * 3, cv2.LINE_AA)
    for share in np.linspace(0, 1, int(rng.integers(3, 6))):
        start, end = ((int(x), int(y)) for x, y in across(float(share)))
        cv2.line(ground, start, end, (0.85, 0.85, 0.8), int(rng.integers(1, 4)), cv2.LINE_AA)
    ground *= (1 + 0.06 * fractal_noise(rng, (height, width), exponent=0.7))[..., None]


def _add_lamps(rng: np.random.Generator, background: Float32Array) -> None:
    """Lamps and what they light up at night, in place."""
    height, width = background.shape[:2]
    for _ in range(rng.integers(0, 5)):
        x, y = rng.uniform(0, width), rng.uniform(0, 0.7 * height)
        colour = np.array([1.0, rng.uniform(0.6, 1.0), rng.uniform(0.2, 1.0)], dtype=np.float32)
        pool = soft_spot((height, width), (x, y), rng.uniform(0.08, 0.4) * width)[..., None]
        background *= 1 + rng.uniform(0.5, 4.0) * pool * colour
        bulb = soft_spot((height, width), (x, y), rng.uniform(1.0, 6.0))[..., None]
        background += 1.5 * bulb * colour


def soft_spot(size: Size, centre: tuple[float, float], radius: float, aspect: float = 1.0) -> Float32Array:
    """A Gaussian (H, W), 1 at `centre` = (x, y), with standard deviation `radius` (y) and `aspect` times that (x)."""
    y = np.exp(-0.5 * ((np.arange(size[0]) - centre[1]) / radius) ** 2)
    x = np.exp(-0.5 * ((np.arange(size[1]) - centre[0]) / (radius * aspect)) ** 2)
    return np.outer(y, x).astype(np.float32)


Region = tuple[slice, slice]

SHADOW_SOFTNESS = 0.06
"""Width of a shadow's edge as a share of what casts it, to which it lies so far to the right and twice as far down."""

SHADOW_LOSS = 0.1
"""Of a blurred outline: so much less than full cover casts no shadow any more."""


def placing_matrix(size: Size, centre: tuple[float, float], *, angle: float, scale: float) -> Float64Array:
    """Affine (2, 3) from pixels of a picture of `size` to those of a canvas, its middle at `centre` = (x, y)."""
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0]])
    matrix[:, 2] = np.array(centre) - matrix[:, :2] @ [(size[1] - 1) / 2, (size[0] - 1) / 2]
    return matrix


def paste(
    canvas: Float32Array,
    rgba: Float32Array,
    centre: tuple[float, float],
    *,
    angle: float = 0.0,
    scale: float = 1.0,
    shadow: float = 0.0,
) -> tuple[Region, Float32Array] | None:
    """Blend a cutout into `canvas` in place, its middle at `centre` = (x, y), turned by `angle` radians.

    `shadow` darkens the ground around it by up to that share. Returns the region touched and how much each of its
    pixels was changed, float32 in [0, 1]; None where the cutout lies outside the canvas.
    """
    height, width = rgba.shape[:2]
    soft = SHADOW_SOFTNESS * max(height, width) * scale if shadow else 0.0
    reach = 0.5 * np.hypot(height, width) * scale + 6 * soft + 2
    left, top = (max(0, int(np.floor(value - reach))) for value in centre)
    right = min(canvas.shape[1], int(np.ceil(centre[0] + reach)))
    bottom = min(canvas.shape[0], int(np.ceil(centre[1] + reach)))
    if left >= right or top >= bottom:
        return None
    matrix = placing_matrix((height, width), (centre[0] - left, centre[1] - top), angle=angle, scale=scale)
    placed = cv2.warpAffine(rgba, matrix, (right - left, bottom - top))
    region = slice(top, bottom), slice(left, right)
    alpha, target = placed[..., 3], canvas[region]
    changed = alpha
    if shadow:
        shifted = cv2.warpAffine(alpha, np.array([[1.0, 0.0, soft], [0.0, 1.0, 2 * soft]]), alpha.shape[::-1])
        shade = shadow * np.maximum(cv2.GaussianBlur(shifted, (0, 0), max(soft, 0.5)) - SHADOW_LOSS, 0)
        target *= 1 - shade[..., None]
        changed = np.maximum(alpha, shade)
    target *= 1 - alpha[..., None]
    target += placed[..., :3]
    return region, np.asarray(changed, dtype=np.float32)
