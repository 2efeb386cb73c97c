"""What moves to and fro on its place: foliage, flags, curtains; and what changes on its place: screens, signals."""

import cv2
import numpy as np

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.scenes import ROUNDED_AWAY, BoolArray, Scene, soft_spot
from convlstm.utils.data.synthetic.textures import Size, fractal_noise, random_colour, surface


class Foliage:
    """A textured thing with a ragged or straight outline that waves in the wind: a tree, a flag, a curtain."""

    VISIBLE = 0.05
    """Leaves that cover less of a pixel are not in the mask."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        size = scene.size
        height, width = size
        self.cover = _leaves(rng, size) if rng.random() < 0.6 else _cloth(rng, size)
        texture = surface(rng, size) * (1 + rng.uniform(0.1, 0.5) * fractal_noise(rng, size, exponent=0.7))[..., None]
        self.texture = np.clip(texture * scene.ambient, 0, 1).astype(np.float32)
        self.y, self.x = np.mgrid[0:height, 0:width].astype(np.float32)
        self.phase = 2.5 * fractal_noise(rng, size, exponent=2.0)
        self.reach = rng.uniform(1.0, 5.0) * np.array([1.0, rng.uniform(0.1, 0.8)])  # pixels
        self.rates = rng.uniform(0.1, 0.7, 2)  # radians a frame

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        sway = np.sin(self.rates[0] * time + self.phase) + 0.5 * np.sin(self.rates[1] * 2.3 * time + 1.7 * self.phase)
        x = (self.x + self.reach[0] * sway).astype(np.float32)
        y = (self.y + self.reach[1] * sway).astype(np.float32)
        cover = cv2.remap(self.cover, x, y, cv2.INTER_LINEAR)
        canvas += cover[..., None] * (cv2.remap(self.texture, x, y, cv2.INTER_LINEAR) - canvas)
        return np.asarray(np.maximum(cover, self.cover) > self.VISIBLE)


class Screen:
    """A display or advertisement whose picture changes every few frames or scrolls, or a lamp that blinks for ever."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        height, width = scene.size
        self.is_lamp = bool(rng.random() < 0.4)
        side = rng.uniform(8, 24) if self.is_lamp else rng.uniform(0.08, 0.4) * min(scene.size)
        self.size = max(8, int(side * rng.uniform(0.5, 1.0))), max(8, int(side))
        self.top = int(rng.uniform(0, height - self.size[0]))
        self.left = int(rng.uniform(0, width - self.size[1]))
        self.pictures = [surface(rng, self.size) * rng.uniform(0.5, 1.2) for _ in range(4)]
        self.hold, self.shift = rng.uniform(2.0, 9.0), rng.uniform(0.5, 6.0) * rng.choice([-1, 1])
        self.is_scrolling = bool(rng.random() < 0.4)
        spot = soft_spot(self.size, (self.size[1] / 2, self.size[0] / 2), self.size[0] / 4)
        self.light = (2.0 * spot[..., None] * random_colour(rng, vivid=True)).astype(np.float32)
        self.brightest = float(max(0.6, 1.5 * scene.ambient))
        self.changing = self.light.max(axis=2) > 0.2 if self.is_lamp else np.ones(self.size, dtype=np.bool_)
        self.region = slice(self.top, self.top + self.size[0]), slice(self.left, self.left + self.size[1])

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        mask = np.zeros(canvas.shape[:2], dtype=np.bool_)
        if self.is_lamp:
            canvas[self.region] += self.picture(time)
        else:
            canvas[self.region] = self.picture(time)
        mask[self.region] = self.changing
        return mask

    def picture(self, time: float) -> Float32Array:
        """What `region` shows at that moment (h, w, 3); of a lamp, what it adds there."""
        turn = int(time / self.hold)
        if self.is_lamp:
            return self.brightest * self.light * (turn % 2)
        if self.is_scrolling:
            return np.roll(self.pictures[0], int(self.shift * time), axis=1)
        return self.pictures[turn % len(self.pictures)]


def _leaves(rng: np.random.Generator, size: Size) -> Float32Array:
    """A crown, bush or hedge with holes, (H, W) in [0, 1]."""
    height, width = size
    radius = rng.uniform(0.08, 0.3) * height
    spot = soft_spot(size, (rng.uniform(0, width), rng.uniform(0, height)), radius, rng.uniform(0.5, 2.0))
    ragged = fractal_noise(rng, size, exponent=rng.uniform(0.9, 1.5))
    return np.asarray(np.clip(3 * (spot - 0.6 + 0.25 * ragged * (spot > 0.1)), 0, 1), dtype=np.float32)


def _cloth(rng: np.random.Generator, size: Size) -> Float32Array:
    """A hanging rectangle, (H, W) in [0, 1]."""
    height, width = size
    cover = np.zeros(size, dtype=np.float32)
    h, w = int(rng.uniform(0.08, 0.5) * height), int(rng.uniform(0.08, 0.4) * width)
    top, left = int(rng.uniform(-0.4 * h, height - 0.6 * h)), int(rng.uniform(-0.4 * w, width - 0.6 * w))
    cover[max(0, top) : top + h, max(0, left) : left + w] = 1
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.8) > ROUNDED_AWAY, dtype=np.float32)
