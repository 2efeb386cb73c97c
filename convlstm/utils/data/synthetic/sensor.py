"""Sensor noise of every kind: white, grainy, coloured, banded, lasting over frames, and dead pixels."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.textures import Size

_NUM_TILES = 3
_SPARE = 48  # pixels that tiles are larger than the frame: room for other cut-outs of them


@dataclass(frozen=True)
class Sensor:
    """What the sensor adds to frames of a size; strengths are standard deviations, full scale is 1.

    `read_noise` at black, `shot_noise`: what white adds; `rows`: noise that a whole row shares; `fixed` (H, W, 3):
    columns and dead pixels, the same in every frame; `persistence` in [0, 1): how much of a frame's noise is left in
    the next one; `tiles` (N, H + spare, W + spare, 3): unit noise that frames are cut from.
    """

    read_noise: float
    shot_noise: float
    rows: float
    fixed: Float32Array
    persistence: float
    tiles: Float32Array

    @classmethod
    def perfect(cls, size: Size) -> "Sensor":
        """A sensor without noise."""
        return cls(0.0, 0.0, 0.0, np.zeros((*size, 3), np.float32), 0.0, np.zeros((1, *size, 3), np.float32))

    @classmethod
    def sample(cls, rng: np.random.Generator, size: Size, severity: float, *, is_noisy: bool) -> "Sensor":
        """A random sensor; `is_noisy`: as cheap or badly lit ones are."""
        low, high = (0.015, 0.06) if is_noisy else (0.002, 0.02)
        noise = float(low * (high / low) ** (severity * rng.random()))
        grain = float(rng.choice([0.0, 0.0, rng.uniform(0.4, 1.6)]))
        chroma = float(rng.choice([0.0, 0.3, 1.0]))  # from grey noise to an own one in each colour
        return cls(
            read_noise=noise,
            shot_noise=noise * rng.uniform(0, 1.5),
            rows=noise * rng.uniform(0.1, 0.6) if is_noisy and rng.random() < 0.3 else 0.0,
            fixed=_fixed_pattern(rng, size, noise) if rng.random() < 0.3 else np.zeros((*size, 3), np.float32),
            persistence=float(rng.uniform(0.2, 0.8)) if rng.random() < 0.25 else 0.0,
            tiles=_tiles(rng, size, grain, chroma),
        )

    def colourless(self) -> "Sensor":
        """The same with one noise for all colours, as strong as it was."""
        grey = np.repeat(self.tiles[..., :1], 3, axis=3)
        fixed = np.repeat(self.fixed[..., :1], 3, axis=2)
        return replace(self, tiles=np.asarray(grey / grey.std(), dtype=np.float32), fixed=fixed)

    @property
    def is_perfect(self) -> bool:
        """Whether it adds nothing."""
        return self.read_noise == 0

    def unit_noise(self, rng: np.random.Generator, before: Float32Array | None) -> Float32Array:
        """Noise (H, W, 3) of strength 1 for the next frame; `before` is that of the frame before."""
        height, width = self.fixed.shape[:2]
        tile = self.tiles[rng.integers(len(self.tiles))]
        y, x = (int(rng.integers(0, _SPARE)) for _ in range(2))
        noise: Float32Array = tile[y : y + height, x : x + width]
        if rng.random() < 0.5:
            noise = noise[:, ::-1]
        if self.rows:
            noise = noise + rng.normal(0, self.rows / self.read_noise, (height, 1, 1)).astype(np.float32)
        if before is None or not self.persistence:
            return noise
        share = np.float32(np.sqrt(1 - self.persistence**2))
        return np.asarray(np.float32(self.persistence) * before + share * noise, dtype=np.float32)

    def expose(self, picture: Float32Array, unit_noise: Float32Array) -> Float32Array:
        """A picture (H, W, 3) with its noise."""
        if not self.shot_noise:
            return np.asarray(picture + np.float32(self.read_noise) * unit_noise + self.fixed, dtype=np.float32)
        variance = np.float32(self.read_noise**2) + np.float32(self.shot_noise**2) * np.clip(picture, 0, 1)
        return np.asarray(picture + np.sqrt(variance) * unit_noise + self.fixed, dtype=np.float32)


def _tiles(rng: np.random.Generator, size: Size, grain: float, chroma: float) -> Float32Array:
    shape = (_NUM_TILES, size[0] + _SPARE, size[1] + _SPARE, 3)
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise = chroma * noise + (1 - chroma) * noise[..., :1]
    if grain:
        noise = np.stack([cv2.GaussianBlur(tile, (0, 0), grain) for tile in noise])
    return np.asarray(noise / noise.std(), dtype=np.float32)


def _fixed_pattern(rng: np.random.Generator, size: Size, noise: float) -> Float32Array:
    """Columns of uneven gain, and pixels that are always dark or bright; (H, W, 3)."""
    pattern = np.zeros((*size, 3), dtype=np.float32)
    if rng.random() < 0.5:
        pattern += rng.normal(0, noise * rng.uniform(0.1, 0.5), (1, size[1], 1)).astype(np.float32)
    count = int(rng.integers(0, 40))
    pattern[rng.integers(0, size[0], count), rng.integers(0, size[1], count)] = rng.choice([-1.0, 1.0], (count, 1))
    return pattern
