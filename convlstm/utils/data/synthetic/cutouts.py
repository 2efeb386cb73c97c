"""Textured things with an outline: lumps, polygons, vehicles, people. Colours float32 RGB in [0, 1]."""

import cv2
import numpy as np

from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.textures import Size, fractal_noise, random_colour, surface

_SUPERSAMPLING = 3


def cutout(rng: np.random.Generator, length: int) -> Float32Array:
    """A textured thing of about `length` pixels: RGBA (h, w, 4) in [0, 1], colours premultiplied by alpha."""
    length = max(6, length)
    draw = (_blob, _polygon, _vehicle, _figure)[rng.choice(4, p=[0.25, 0.2, 0.35, 0.2])]
    colours, alpha = draw(rng, length)
    height, width = alpha.shape
    small = (max(3, width // _SUPERSAMPLING), max(3, height // _SUPERSAMPLING))
    cover = cv2.resize(alpha, small, interpolation=cv2.INTER_AREA)[..., None].astype(np.float32) / 255
    lit = 1 + rng.uniform(0, 0.3) * np.linspace(0.5, -0.5, small[1], dtype=np.float32)[:, None, None]
    shaded = np.clip(cv2.resize(colours, small, interpolation=cv2.INTER_AREA) * lit, 0, 1)
    rgba = np.dstack([shaded * cover, cover])
    return np.pad(rgba, ((1, 1), (1, 1), (0, 0))).astype(np.float32)  # so that warped edges stay smooth


Drawing = tuple[Float32Array, UInt8Array]
"""Colours (h, w, 3) in [0, 1] and coverage (h, w) 0 or 255, both enlarged by the supersampling."""


def _outlined(rng: np.random.Generator, size: Size, outlines: list[Float32Array]) -> Drawing:
    alpha = np.zeros(size, dtype=np.uint8)
    cv2.fillPoly(alpha, [np.rint(outline).astype(np.int32) for outline in outlines], 255)
    return surface(rng, size), alpha


def _blob(rng: np.random.Generator, length: int) -> Drawing:
    """A lump: an ellipse whose radius swings with a few harmonics."""
    height, width = _enlarged(length, rng.uniform(0.4, 1.0))
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = np.full(angle.shape, 1.0)
    for harmonic in range(2, 7):
        radius += rng.uniform(0, 0.45) / harmonic * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    radius *= 0.5 / radius.max()
    outline = np.stack([(0.5 + radius * np.cos(angle)) * width, (0.5 + radius * np.sin(angle)) * height], axis=1)
    return _outlined(rng, (height, width), [outline.astype(np.float32)])


def _polygon(rng: np.random.Generator, length: int) -> Drawing:
    height, width = _enlarged(length, rng.uniform(0.3, 1.0))
    angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
    radius = rng.uniform(0.3, 0.5, angle.shape)
    outline = np.stack([(0.5 + radius * np.cos(angle)) * width, (0.5 + radius * np.sin(angle)) * height], axis=1)
    return _outlined(rng, (height, width), [outline.astype(np.float32)])


def _vehicle(rng: np.random.Generator, length: int) -> Drawing:
    """A body with darker windows and wheels, from the side or, without wheels, from above."""
    height, width = _enlarged(length, rng.uniform(0.35, 0.7))
    alpha = np.zeros((height, width), dtype=np.uint8)
    roof, floor = int(height * rng.uniform(0.05, 0.45)), int(height * 0.85)
    cabin = (np.array([[0.12, 1], [0.25, 0], [0.75, 0], [0.92, 1]]) * [width, roof + 1]).astype(np.int32)
    cv2.rectangle(alpha, (0, roof), (width, floor), 255, -1)
    cv2.fillPoly(alpha, [cabin], 255)
    body = random_colour(rng, vivid=bool(rng.random() < 0.4))
    colours = np.broadcast_to(body, (height, width, 3)).copy()
    colours *= (1 + 0.05 * fractal_noise(rng, (height, width), exponent=1.5))[..., None]
    glass = tuple(float(value) for value in body * rng.uniform(0.1, 0.5))
    for left in (0.28, 0.53):
        right = left + rng.uniform(0.14, 0.2)
        cv2.rectangle(colours, (int(left * width), roof // 3), (int(right * width), roof + height // 8), glass, -1)
    if rng.random() < 0.6:
        for x in (0.22, 0.78):
            cv2.circle(colours, (int(x * width), floor), height // 7, (0.05, 0.05, 0.05), -1)
            cv2.circle(alpha, (int(x * width), floor), height // 7, 255, -1)
    for x in (0.02, 0.98):
        lamp = (1.0, 0.95, 0.8) if x < 0.5 else (0.8, 0.1, 0.1)
        cv2.circle(colours, (int(x * width), (roof + floor) // 2), max(2, height // 14), lamp, -1)
    return colours, alpha


def _figure(rng: np.random.Generator, length: int) -> Drawing:
    """Someone who stands or walks: head, clothes, legs."""
    height, width = _enlarged(length, 1.0)[0], int(_SUPERSAMPLING * length * rng.uniform(0.35, 0.5))
    alpha = np.zeros((height, width), dtype=np.uint8)
    colours = np.broadcast_to(random_colour(rng), (height, width, 3)).copy()
    middle, hip = width // 2, int(0.55 * height)
    colours[: int(0.2 * height)] = np.array([0.8, 0.6, 0.5], dtype=np.float32) * rng.uniform(0.4, 1.1)
    colours[hip:] = random_colour(rng)
    cv2.circle(alpha, (middle, int(0.1 * height)), int(0.09 * height), 255, -1)
    cv2.ellipse(alpha, (middle, int(0.38 * height)), (int(0.38 * width), int(0.22 * height)), 0, 0, 360, 255, -1)
    for foot in middle + np.array([-1, 1]) * rng.uniform(0.05, 0.4) * width:
        cv2.line(alpha, (middle, hip), (int(foot), int(0.97 * height)), 255, max(3, width // 5))
    colours *= (1 + 0.12 * fractal_noise(rng, (height, width), exponent=1.3))[..., None]
    return colours, alpha


def _enlarged(length: int, aspect: float) -> Size:
    return max(9, int(_SUPERSAMPLING * length * aspect)), _SUPERSAMPLING * length
