"""What flickers, drifts and ripples: flames, smoke, water."""

import cv2
import numpy as np

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.scenes import ROUNDED_AWAY, BoolArray, Scene, placing_matrix, soft_spot
from convlstm.utils.data.synthetic.textures import Size, fractal_noise, scrolled, surface


class Fire:
    """One flame or a front of several, with or without smoke over them and sparks."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        self.flames = [Flames(rng, scene)]
        first = self.flames[0]
        for _ in range(int(rng.choice([0, 0, 1, 2, 4]))):
            flames = Flames(rng, scene, highest=1.3 * first.height)
            flames.move_to(first.left + int(rng.normal(0, 1.2 * first.width)), first.top + first.height)
            self.flames.append(flames)
        self.smoke = Smoke(rng, scene) if rng.random() < 0.25 else None
        self.sparks = Sparks(rng, first) if rng.random() < 0.3 else None

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        mask = np.zeros(canvas.shape[:2], dtype=np.bool_)
        if self.smoke is not None:
            mask |= self.smoke.draw(canvas, time)
        for flames in self.flames:
            mask |= flames.draw(canvas, time)
        if self.sparks is not None:
            mask |= self.sparks.draw(canvas, time)
        return mask


class Sparks:
    """Glowing specks that fly up from a fire and fade."""

    def __init__(self, rng: np.random.Generator, flames: "Flames") -> None:
        count = int(rng.integers(4, 25))
        self.source = np.array([flames.left + flames.width / 2, flames.top + 0.5 * flames.height])
        self.spread = rng.normal(0, 0.3 * flames.width, count)
        self.pace = rng.uniform(1.0, 5.0, count)
        self.sway, self.phase = rng.uniform(0.5, 3.0, count), rng.uniform(0, 2 * np.pi, count)
        self.life = rng.uniform(10, 30, count)
        self.births = rng.uniform(0, 30, count)
        self.radius = float(rng.uniform(0.6, 1.6))

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        mask = np.zeros(canvas.shape[:2], dtype=np.uint8)
        ages = (time - self.births) % self.life
        xs = self.source[0] + self.spread + self.sway * np.sin(0.3 * ages + self.phase)
        ys = self.source[1] - self.pace * ages
        for x, y, left in zip(xs, ys, 1 - ages / self.life, strict=True):
            colour = (1.0, 0.4 + 0.5 * float(left), 0.2 * float(left))
            centre, radius = (int(16 * x), int(16 * y)), int(16 * self.radius)
            cv2.circle(canvas, centre, radius, colour, -1, cv2.LINE_AA, 4)
            cv2.circle(mask, centre, radius + 16, 1, -1, cv2.LINE_8, 4)
        return mask > 0


class Flames:
    """Tongues of fire over a base: rising noise inside a flickering outline, and the glow on what is around.

    The glow is light on something still, so that it is not in the mask. `highest` (pixels) limits their height.
    """

    VISIBLE = 0.12
    """Flames that cover less of a pixel are not in the mask."""

    def __init__(self, rng: np.random.Generator, scene: Scene, *, highest: float | None = None) -> None:
        size, ambient = scene.size, scene.ambient
        self.height = int(np.exp(rng.uniform(np.log(14), np.log(max(20.0, highest or 0.7 * min(size))))))
        self.width = max(12, int(self.height * rng.uniform(0.5, 1.3)))
        self.left = int(rng.uniform(-0.2 * self.width, size[1] - 0.8 * self.width))
        self.top = int(rng.uniform(0.2 * size[0], size[0]) - self.height)
        cells = (2 * self.height, self.width)
        stretch = (rng.uniform(1.2, 2.2), 1.0)
        self.coarse = fractal_noise(rng, cells, exponent=rng.uniform(1.6, 2.0), stretch=stretch)
        self.fine = fractal_noise(rng, cells, exponent=rng.uniform(1.1, 1.5), stretch=stretch)
        self.rise = self.height * rng.uniform(0.03, 0.09, 2)  # pixels a frame of each noise
        self.rates, self.phases = rng.uniform(0.1, 2.4, 5), rng.uniform(0, 2 * np.pi, 5)
        self.swing = rng.uniform(0.04, 0.12)
        self.tongues = [
            (rng.uniform(-0.5, 0.5), rng.uniform(0.3, 0.6), rng.uniform(0.5, 1.0)) for _ in range(rng.integers(1, 4))
        ]
        self.ramp = _fire_colours(rng) * (0.75 + 0.25 * min(1.0, ambient + 0.5))
        self.opacity, self.softness = rng.uniform(0.75, 1.0), rng.uniform(0.2, 0.8)
        self.size, self.glow_strength = size, rng.uniform(0.1, 0.5) * (1.5 - min(1.0, ambient))
        self.move_to(self.left, self.top + self.height)

    def move_to(self, left: int, base: int) -> None:
        """Burn elsewhere, the lowest pixels in row `base`."""
        self.left, self.top = left, base - self.height
        spot = soft_spot(self.size, (left + self.width / 2, self.top + 0.6 * self.height), 1.2 * self.height)
        self.glow = spot[..., None] * self.ramp[160] * self.glow_strength

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        mask = np.zeros(canvas.shape[:2], dtype=np.bool_)
        flicker = self.flicker(time)
        canvas *= 1 + np.float32(flicker) * self.glow
        heat = self._heat(time, flicker)
        top, left = max(0, self.top), max(0, self.left)
        bottom, right = max(top, canvas.shape[0]), max(left, canvas.shape[1])
        heat = heat[top - self.top : bottom - self.top, left - self.left : right - self.left]
        if not heat.size:
            return mask
        region = slice(top, top + heat.shape[0]), slice(left, left + heat.shape[1])
        alpha = np.clip(heat / self.softness, 0, 1) * self.opacity
        colours = self.ramp[np.rint(heat * 255).astype(np.uint8)]
        canvas[region] += alpha[..., None] * (colours - canvas[region])
        mask[region] = alpha > self.VISIBLE
        return mask

    def flicker(self, time: float) -> float:
        """How brightly it burns at that moment, around 1."""
        return float(1 + self.swing * np.sin(self.rates * time + self.phases).sum())

    def _heat(self, time: float, flicker: float) -> Float32Array:
        """Heat (height, width) in [0, 1]."""
        y = np.linspace(1, 0, self.height, dtype=np.float32)[:, None]  # 0 at the base
        x = np.linspace(-1, 1, self.width, dtype=np.float32)[None, :]
        coarse, fine = (
            scrolled(noise, (self.height, self.width), (0.0, -rise * time))
            for noise, rise in zip((self.coarse, self.fine), self.rise, strict=True)
        )
        bent = x + y * (0.12 * np.sin(self.rates[0] * time + 3 * y) + 0.16 * coarse)
        body = np.full((self.height, self.width), -1.0, dtype=np.float32)
        for index, (middle, half_width, tallness) in enumerate(self.tongues):
            reach = tallness * (1 + 0.2 * (flicker - 1) + 0.12 * np.sin(self.rates[index + 1] * time + index))
            narrowing = half_width * np.clip(1.05 - (y / reach) ** 1.5, 0.02, None)
            body = np.maximum(body, 1 - ((bent - middle * (1 - 0.4 * y)) / narrowing) ** 2 - 0.55 * y / reach)
        edges = np.clip(8 * (1 - np.abs(x)), 0, 1) * np.clip(10 * (1 - y), 0, 1) * np.clip(12 * y, 0, 1)
        heat = (body + 0.32 * (0.3 + y) * (coarse + 0.8 * fine)) * edges
        return np.asarray(np.clip(heat * (0.85 + 0.15 * flicker), 0, 1), dtype=np.float32)


def _fire_colours(rng: np.random.Generator) -> Float32Array:
    """RGB (256, 3) over heat: dark red, orange, yellow, near white."""
    hottest = rng.uniform(0.7, 1.0)
    knots = [0, 80, 160, 255]
    red = [rng.uniform(0.3, 0.6), rng.uniform(0.75, 1), 1, 1]
    green = [0.05, rng.uniform(0.2, 0.4), rng.uniform(0.5, 0.85), hottest]
    blue = [0.02, 0.05, rng.uniform(0.1, 0.4), rng.uniform(0.3, 1.0) * hottest]
    return np.stack([np.interp(np.arange(256), knots, c) for c in (red, green, blue)], axis=1).astype(np.float32)


class Smoke:
    """A plume of puffs that rise, drift, grow and thin out. Drawn at half resolution: smoke has no sharp edges."""

    LOOKBACK = 4.0
    """Smoke counts as dynamic where it looks different from this many frames before."""

    VISIBLE = 0.05
    """Smoke that changes a pixel by less, of full scale, is not in the mask."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        size, ambient = scene.size, scene.ambient
        self.size = size
        self.half = (size[0] + 1) // 2, (size[1] + 1) // 2
        shortest = min(self.half)
        self.source = np.array([rng.uniform(0.1, 0.9) * self.half[1], rng.uniform(0.4, 1.0) * self.half[0]])
        pace = shortest * np.exp(rng.uniform(np.log(0.006), np.log(0.022)))  # half pixels a frame
        self.wind = pace * np.array([rng.normal(0, 0.7), -rng.uniform(0.6, 1.2)])
        self.life = rng.uniform(0.4, 0.9) * shortest / pace  # frames
        self.radii = shortest * rng.uniform(0.02, 0.06), shortest * rng.uniform(0.08, 0.22)
        self.count = 36
        self.births = np.sort(rng.uniform(0, self.life, self.count))
        self.drift = rng.normal(0, 0.25, (self.count, 2)) * pace
        self.spin = rng.normal(0, 0.03, self.count)
        self.puffs = [_puff(rng) for _ in range(5)]
        self.thickness = rng.uniform(0.5, 1.6)
        self.growth = rng.uniform(0.0, 0.02)  # a frame
        grey = rng.choice([0.12, 0.5, 0.8]) + rng.uniform(-0.1, 0.1)
        self.colour = (grey * max(ambient, 0.25) * (1 + rng.normal(0, 0.04, 3))).astype(np.float32)

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        now, before = self._opacity(time), self._opacity(time - self.LOOKBACK)
        contrast = np.abs(self.colour - canvas).max(axis=2)
        canvas += now[..., None] * (self.colour - canvas)
        change = cv2.dilate(cv2.blur(np.abs(now - before), (5, 5)), np.ones((7, 7)))  # also between two fronts
        return np.asarray((now * contrast > self.VISIBLE) & (change * contrast > self.VISIBLE / 3))

    def _opacity(self, time: float) -> Float32Array:
        """Opacity (H, W) in [0, 1]."""
        density = np.zeros(self.half, dtype=np.float32)
        for index in range(self.count):
            self._add_puff(density, index, time)
        opacity = 1 - np.exp(-self.thickness_at(time) * density)
        return np.asarray(cv2.resize(opacity, self.size[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)

    def thickness_at(self, time: float) -> float:
        """Optical thickness of density 1 at that moment."""
        thickness: float = self.thickness * np.clip(0.6 + self.growth * time, 0.2, 1.4)
        return thickness

    def place_puff(self, index: int, time: float) -> tuple[tuple[float, float], float, float, float]:
        """Middle (x, y) and radius of a puff in half pixels, its angle in radians, and its density."""
        age = float((time - self.births[index]) % self.life)
        share = age / self.life
        wobble = 0.25 * self.radii[1] * np.sin(0.05 * age + index)
        x, y = self.source + (self.wind + self.drift[index]) * age + [wobble, 0]
        radius = self.radii[0] + (self.radii[1] - self.radii[0]) * share**0.7
        density = np.clip(6 * share, 0, 1) * (1 - share) ** 0.8
        return (float(x), float(y)), float(radius), float(self.spin[index] * age), float(density)

    def _add_puff(self, density: Float32Array, index: int, time: float) -> None:
        (x, y), radius, angle, strength = self.place_puff(index, time)
        puff = self.puffs[index % len(self.puffs)]
        left, top = int(np.floor(x - radius)), int(np.floor(y - radius))
        side = int(np.ceil(2 * radius)) + 2
        rows, columns = (slice(max(0, at), max(0, at + side)) for at in (top, left))
        target = density[rows, columns]
        if not target.size:
            return
        centre = x - columns.start, y - rows.start
        matrix = placing_matrix(puff.shape[:2], centre, angle=angle, scale=2 * radius / len(puff))
        target += np.float32(strength) * cv2.warpAffine(puff, matrix, (target.shape[1], target.shape[0]))


def _puff(rng: np.random.Generator, side: int = 48) -> Float32Array:
    """Density (side, side) in [0, 1] of one ragged puff, 0 at its edge."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    body = np.clip(1 - np.hypot(y, x) - 0.1, 0, 1)
    ragged = 1 + 0.7 * fractal_noise(rng, (side, side), exponent=1.4)
    return np.asarray(np.clip(body * np.clip(ragged, 0, None), 0, 1), dtype=np.float32)


class Water:
    """A pond, canal or fountain basin: a surface bent by running waves, with glints on them."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        size, ambient = scene.size, scene.ambient
        height, width = size
        self.cover = _basin(rng, size)
        self.surface = surface(rng, size)
        tint = np.array([rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.7)], dtype=np.float32)
        self.surface = cv2.GaussianBlur(0.5 * self.surface + 0.5 * tint, (0, 0), 1.5) * ambient
        self.y, self.x = np.mgrid[0:height, 0:width].astype(np.float32)
        grain = 1.0, rng.uniform(1.5, 4.0)
        self.waves = [fractal_noise(rng, size, exponent=rng.uniform(1.3, 1.9), stretch=grain) for _ in range(3)]
        self.pace = rng.normal(0, 1.2, (3, 2)) * [1.0, 0.4]  # pixels a frame in x and y
        self.strength = np.float32(rng.uniform(2.0, 6.0))
        self.glint = np.float32(rng.uniform(0.03, 0.15) * ambient)

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        size = self.cover.shape[0], self.cover.shape[1]
        waves = [scrolled(wave, size, (x * time, y * time)) for wave, (x, y) in zip(self.waves, self.pace, strict=True)]
        x = self.x + self.strength * (waves[0] + waves[1])
        y = self.y + self.strength * (waves[1] + waves[2])
        bent = cv2.remap(self.surface, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        crest = self.glint * (waves[0] + waves[1] * waves[2])
        canvas += self.cover[..., None] * (bent + crest[..., None] - canvas)
        return np.asarray(self.cover > ROUNDED_AWAY)


def _basin(rng: np.random.Generator, size: Size) -> Float32Array:
    """Where the water is, (H, W) in [0, 1]: the foreground up to a shore, or a patch."""
    height, width = size
    ragged = fractal_noise(rng, size, exponent=2.2)
    if rng.random() < 0.5:
        rows = np.arange(height)[:, None] / height
        level = 12 * (rows - rng.uniform(0.4, 0.8)) + 0.8 * ragged
    else:
        centre = rng.uniform(0.2, 0.8) * width, rng.uniform(0.3, 0.9) * height
        spot = soft_spot(size, centre, rng.uniform(0.08, 0.2) * height, rng.uniform(1.0, 2.0))
        level = 8 * (spot - 0.5) + 0.6 * ragged * spot
    return np.asarray(np.clip(4 * level, 0, 1), dtype=np.float32)
