"""Light that changes on a scene in which nothing moves: exposure, white balance, lamps, shadows of clouds."""

from dataclasses import dataclass

import cv2
import numpy as np

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.scenes import soft_spot
from convlstm.utils.data.synthetic.textures import Size, blurred, fractal_noise, scrolled

_FASTEST_SHADOW = 8.0  # pixels a frame
_BRIGHTEST_LAMP = 12.0  # times the light that is there without it


@dataclass(frozen=True)
class Clouds:
    """A shadow that wanders: transmission (H, W) in (0, 1], wrapping around, and its way (T, 2), x and y in pixels."""

    transmission: Float32Array
    way: Float32Array

    @classmethod
    def sample(cls, rng: np.random.Generator, num_frames: int, size: Size, severity: float) -> "Clouds":
        """From a hardly visible veil to a dark shadow, whose edge is mostly as soft as the sun makes it.

        The sun is half a degree wide, so that clouds a kilometre or more away blur their shadows over ten metres or
        more, which take about a second or more to pass; recordings with few frames a second see it in some frames. One
        in five has a hard edge and any speed, like the shadow of something near.
        """
        cover = fractal_noise(rng, size, exponent=rng.uniform(1.8, 3.2), stretch=(1.0, rng.choice([0.4, 1.0])))
        contour = np.exp(rng.uniform(np.log(0.7), np.log(8.0)))
        shade = 0.5 + 0.5 * np.tanh(contour * (cover - rng.normal(0, 0.5)))
        if rng.random() < 0.2:
            speed = np.exp(rng.uniform(np.log(0.2), np.log(6.0)))
        else:
            edge_pixels = np.exp(rng.uniform(np.log(8.0), np.log(80.0)))
            edge_frames = np.exp(rng.uniform(np.log(6.0), np.log(120.0)))
            shade = blurred(shade, 0.4 * edge_pixels)
            shade = (shade - shade.min()) / max(float(np.ptp(shade)), 1e-6)
            speed = min(edge_pixels / edge_frames, _FASTEST_SHADOW)
        transmission = 1 - rng.uniform(0.1, 0.75) * severity * shade
        angle = rng.uniform(0, 2 * np.pi)
        step = speed * np.array([np.cos(angle), np.sin(angle)])
        return cls(transmission.astype(np.float32), (np.arange(num_frames)[:, None] * step).astype(np.float32))

    def at(self, index: int) -> Float32Array:
        """Transmission (H, W, 1) at frame `index`."""
        x, y = self.way[index]
        size = self.transmission.shape[0], self.transmission.shape[1]
        return scrolled(self.transmission, size, (float(x), float(y)))[..., None]


@dataclass(frozen=True)
class Lighting:
    """Light over T frames.

    `gains` (T, 3): exposure and white balance; `gammas` (T,); `saturations` (T,): 0 is the grey of infrared; `lamps`
    (L, H, W, 3) and `lamp_levels` (T, L): local light, added in proportion to the scene's brightness.
    """

    gains: Float32Array
    gammas: Float32Array
    saturations: Float32Array
    lamps: Float32Array
    lamp_levels: Float32Array
    clouds: Clouds | None = None

    @classmethod
    def constant(cls, num_frames: int, size: Size) -> "Lighting":
        """Light that never changes, on scenes of `size`."""
        ones = np.ones(num_frames, dtype=np.float32)
        dark = np.zeros((0, *size, 3), dtype=np.float32)
        return cls(np.ones((num_frames, 3), np.float32), ones, ones, dark, np.zeros((num_frames, 0), np.float32))

    @classmethod
    def sample(
        cls, rng: np.random.Generator, suffers: dict[str, bool], num_frames: int, size: Size, severity: float
    ) -> "Lighting":
        """Random light that changes as `suffers` tells for exposure, lights and clouds."""
        constant = cls.constant(num_frames, size)
        gains, gammas, saturations = constant.gains, constant.gammas, constant.saturations
        lamps, levels = constant.lamps, constant.lamp_levels
        if suffers["exposure"]:
            gains, gammas = _exposure(rng, num_frames)
            saturations = _infrared_switch(rng, num_frames) if rng.random() < 0.1 * severity else saturations
        if suffers["lights"]:
            lamps, levels = _lights(rng, num_frames, size)
            levels = levels * np.float32(severity)
            gains = gains * _auto_exposure(rng, lamps, levels)[:, None] * _set_exposure(rng, lamps, levels)
        return cls(
            gains=gains**severity,
            gammas=gammas**severity,
            saturations=saturations,
            lamps=lamps,
            lamp_levels=levels,
            clouds=Clouds.sample(rng, num_frames, size, severity) if suffers["clouds"] else None,
        )

    def on_scene(self, scene: Float32Array, index: int) -> Float32Array:
        """Lamps and clouds on a scene (H, W, 3)."""
        factor: Float32Array | None = None
        for lamp, level in zip(self.lamps, self.lamp_levels[index], strict=True):
            factor = 1 + level * lamp if factor is None else factor * (1 + level * lamp)
        if self.clouds is not None:
            shade = self.clouds.at(index)
            factor = shade if factor is None else factor * shade
        return scene if factor is None else np.asarray(scene * factor, dtype=np.float32)

    def in_camera(self, picture: Float32Array, index: int) -> Float32Array:
        """Saturation, gamma and gains of a frame (H, W, 3), in place where that is possible."""
        saturation = self.saturations[index]
        if saturation != 1:
            grey = picture.mean(axis=2, keepdims=True)
            picture = grey + saturation * (picture - grey)
        if self.gammas[index] != 1:
            cv2.pow(np.maximum(picture, 0), float(self.gammas[index]), picture)
        if np.any(self.gains[index] != 1):
            picture *= self.gains[index]
        return picture


def _exposure(rng: np.random.Generator, num_frames: int) -> tuple[Float32Array, Float32Array]:
    """Gains (T, 3) and gammas (T,): a drift, a step, a fade, another white balance, or flicker of mains light."""
    time = np.arange(num_frames)
    strength = rng.uniform(0.1, 0.4) if rng.random() < 0.5 else -rng.uniform(0.1, 0.6)
    course = rng.choice(["drift", "step", "balance", "flicker"])
    if course == "drift":
        swing = np.sin(2 * np.pi * (time / rng.uniform(25, 120) + rng.random()))
    elif course == "flicker":
        strength *= 0.4
        swing = np.sin(2 * np.pi * time * rng.uniform(0.05, 0.5)) + rng.normal(0, 0.3, num_frames)
    else:
        swing = 0.5 + 0.5 * np.tanh((time - rng.uniform(0.1, 0.9) * num_frames) * rng.choice([0.1, 0.35, 5.0]))
    colour = rng.normal(0, 0.5, 3) if course == "balance" else rng.normal(0, 0.05, 3)
    tint = (0.2 if course == "balance" else 1.0) + colour
    gammas = np.exp(rng.choice([0.0, 0.5]) * strength * swing)
    return np.exp(strength * swing[:, None] * tint).astype(np.float32), gammas.astype(np.float32)


def _infrared_switch(rng: np.random.Generator, num_frames: int) -> Float32Array:
    """Saturations (T,) of a camera that changes between colour by day and grey by night."""
    is_late = np.arange(num_frames) >= rng.integers(1, max(2, num_frames))
    return (is_late if rng.random() < 0.5 else ~is_late).astype(np.float32)


def _lights(rng: np.random.Generator, num_frames: int, size: Size) -> tuple[Float32Array, Float32Array]:
    """Lamps (L, H, W, 3) and levels (T, L): lights that go on, off, fade, flicker or start in stutters."""
    time = np.arange(num_frames)
    lamps, levels = [], []
    for _ in range(int(rng.integers(1, 4))):
        colour = np.clip(1 + rng.normal(0, 0.15, 3), 0.4, 1.6)
        lamps.append((_lit_area(rng, size)[..., None] * colour).astype(np.float32))
        strength = _strength(rng)
        moment = rng.uniform(0.1, 0.9) * num_frames
        course = rng.choice(["switch", "switch", "fade", "stutter", "flicker", "blink"])
        if course == "switch":
            level = (time > moment) != (rng.random() < 0.5)
        elif course == "stutter":
            level = (time > moment + 12) | ((time > moment) & (rng.random(num_frames) < 0.4))
        elif course == "fade":
            level = 0.5 + 0.5 * np.tanh((time - moment) / rng.uniform(2, 12) * rng.choice([-1, 1]))
        elif course == "flicker":
            swing = np.sin(time * rng.uniform(0.3, 3)) * rng.uniform(0.1, 1)
            level = 0.6 + 0.4 * swing + rng.normal(0, 0.1, num_frames)
        else:
            level = (time / rng.uniform(4, 16) + rng.random()) % 1 < 0.5
        levels.append(strength * np.asarray(level, dtype=np.float64))
    return np.stack(lamps), np.clip(np.stack(levels, axis=1), -0.85, _BRIGHTEST_LAMP).astype(np.float32)


def _strength(rng: np.random.Generator) -> float:
    """Light that a lamp adds, in units of what is there; mostly less than twice, now and then it lights a dark room."""
    chance = rng.random()
    if chance < 0.4:
        return -float(rng.uniform(0.15, 0.75))
    weakest, strongest = (0.15, 1.6) if chance < 0.8 else (1.6, _BRIGHTEST_LAMP)
    return float(np.exp(rng.uniform(np.log(weakest), np.log(strongest))))


def _lit_area(rng: np.random.Generator, size: Size) -> Float32Array:
    """Where a lamp's light falls, (H, W) in [0, 1]: a pool, all the room unevenly, or a beam with an edge."""
    height, width = size
    shape = rng.random()
    if shape < 0.4:
        radius = rng.uniform(0.08, 0.6) * height
        return soft_spot(size, (rng.uniform(0, width), rng.uniform(0, height)), radius, rng.uniform(0.5, 2.0))
    if shape < 0.75:
        return (0.6 + 0.4 * np.tanh(fractal_noise(rng, size, exponent=3.0))).astype(np.float32)
    angle, edge = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(1.0), np.log(60.0)))  # pixels
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    across = (x - rng.uniform(0.1, 0.9) * width) * np.cos(angle) + (y - rng.uniform(0.1, 0.9) * height) * np.sin(angle)
    return np.asarray(0.5 + 0.5 * np.tanh(across / edge), dtype=np.float32)


def _auto_exposure(rng: np.random.Generator, lamps: Float32Array, levels: Float32Array) -> Float32Array:
    """Gains (T,) of a camera that answers to more or less light, some frames late; one in three does not."""
    num_frames = len(levels)
    if rng.random() < 1 / 3:
        return np.ones(num_frames, dtype=np.float32)
    brightness = np.maximum(0.1, 1 + levels @ lamps.mean(axis=(1, 2, 3)))
    wanted = -rng.uniform(0.3, 0.9) * np.log(brightness / brightness[0])
    pace = 1 / rng.uniform(1.5, 15.0)
    gains, state = np.empty(num_frames, dtype=np.float32), 0.0
    for index, target in enumerate(wanted):
        state += pace * (target - state)
        gains[index] = np.exp(state)
    return gains


def _set_exposure(rng: np.random.Generator, lamps: Float32Array, levels: Float32Array) -> np.float32:
    """Gain of a camera that is set for its brightest moment, or for something between that and no lamps."""
    brightest = max(1.0, float((1 + levels @ lamps.mean(axis=(1, 2, 3))).max()))
    return np.float32(brightest ** -rng.uniform(0.4, 1.1))
