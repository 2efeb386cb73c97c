"""Surfaces that look natural: fractal noise, walls, tiles, planks. Values float32, colours RGB in [0, 1]."""

import colorsys

import cv2
import numpy as np

from convlstm.types import Float32Array

Size = tuple[int, int]
"""(height, width) in pixels."""


def fractal_noise(
    rng: np.random.Generator, size: Size, *, exponent: float = 1.2, stretch: tuple[float, float] = (1.0, 1.0)
) -> Float32Array:
    """Noise with the amplitude spectrum 1 / f ** exponent of natural scenes; (H, W), mean 0, standard deviation 1.

    A high exponent is smooth, 0 is white. `stretch` draws the grain out along (y, x). The result wraps around at its
    edges, so that it can be scrolled for ever.
    """
    height, width = size
    fy = np.fft.fftfreq(height)[:, None] * stretch[0]
    fx = np.fft.rfftfreq(width)[None, :] * stretch[1]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(rng.standard_normal(size)) / frequency**exponent
    noise = np.fft.irfft2(spectrum, s=size)
    return np.asarray(noise / max(float(noise.std()), 1e-12), dtype=np.float32)


def blurred(noise: Float32Array, sigma: float) -> Float32Array:
    """Wrapping noise (H, W) under a Gaussian blur of `sigma` pixels, which wraps around as well."""
    fy, fx = np.fft.fftfreq(noise.shape[0])[:, None], np.fft.rfftfreq(noise.shape[1])[None, :]
    kept = np.exp(-2 * (np.pi * sigma) ** 2 * (fy**2 + fx**2))
    return np.asarray(np.fft.irfft2(np.fft.rfft2(noise) * kept, s=noise.shape), dtype=np.float32)


def scrolled(noise: Float32Array, size: Size, shift: tuple[float, float]) -> Float32Array:
    """A part of `size` of wrapping noise that has moved by `shift` = (x, y) pixels."""
    matrix = np.array([[1.0, 0.0, shift[0] % noise.shape[1]], [0.0, 1.0, shift[1] % noise.shape[0]]])
    moved = cv2.warpAffine(noise, matrix, size[::-1], borderMode=cv2.BORDER_WRAP)
    return np.asarray(moved, dtype=np.float32)


def random_colour(rng: np.random.Generator, *, vivid: bool = False) -> Float32Array:
    """An RGB colour (3,) in [0, 1]; mostly the muted ones of real scenes, saturated with `vivid`."""
    saturation = rng.uniform(0.4, 0.9) if vivid else rng.beta(1.2, 5.0)
    rgb = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.12, 0.95))
    return np.array(rgb, dtype=np.float32)


def surface(rng: np.random.Generator, size: Size, *, receding: bool = False) -> Float32Array:
    """A textured surface (H, W, 3) in [0, 1]; `receding` lays patterns out in perspective, like a floor."""
    first = random_colour(rng, vivid=bool(rng.random() < 0.1))
    lighter, tinted = rng.normal(0, rng.uniform(0.05, 0.3)), rng.normal(0, 0.04, 3)
    second = np.clip(first * (1 + lighter) + 0.3 * lighter + tinted, 0, 1).astype(np.float32)
    patches = fractal_noise(rng, size, exponent=rng.uniform(1.0, 2.2))
    share = 0.5 + 0.5 * np.tanh(patches * rng.uniform(0.4, 5.0))  # from clouds to patches with a sharp contour
    colours = first + share[..., None] * (second - first)
    grain = fractal_noise(rng, size, exponent=rng.uniform(0.3, 1.2), stretch=_grain_stretch(rng))
    shade = 1 + rng.uniform(0.02, 0.22) * grain
    if rng.random() < 0.5:
        shade *= _tiles(rng, size, receding=receding)
    return np.asarray(np.clip(colours * shade[..., None], 0, 1), dtype=np.float32)


def _grain_stretch(rng: np.random.Generator) -> tuple[float, float]:
    drawn_out = float(rng.choice([1.0, 1.0, 4.0, 10.0]))
    return (drawn_out, 1.0) if rng.random() < 0.5 else (1.0, drawn_out)


def _tiles(rng: np.random.Generator, size: Size, *, receding: bool) -> Float32Array:
    """Brightness factors (H, W) of bricks, tiles, planks or panes: own tone for each, dark or light joints between."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if receding:
        depth = 0.25 + 1.5 * y / height
        x, y = (x - width * rng.uniform(0.2, 0.8)) / depth, -height / depth
    angle = rng.normal(0.0, 0.05) if rng.random() < 0.7 else rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    tile_height = rng.uniform(8, max(10.0, 0.25 * height))
    tile_width = tile_height * rng.choice([1.0, 2.0, 3.0, 40.0])
    row = np.floor(across / tile_height)
    along = along + rng.choice([0.0, 0.5]) * tile_width * (row % 2)
    column = np.floor(along / tile_width)
    tones = 1 + rng.uniform(0.0, 0.2) * rng.standard_normal((64, 64))
    factors = tones[row.astype(int) % 64, column.astype(int) % 64]
    joint = rng.uniform(1.0, 2.5)
    in_joint = (across - row * tile_height < joint) | (along - column * tile_width < joint)
    factors[in_joint] *= rng.uniform(0.45, 1.3)
    return np.asarray(cv2.GaussianBlur(factors.astype(np.float32), (0, 0), 0.6), dtype=np.float32)
