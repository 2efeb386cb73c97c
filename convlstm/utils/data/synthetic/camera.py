"""What light, camera and codec do to the pixels of any scene, still or not: nothing of it is motion in the scene."""

from dataclasses import dataclass

import cv2
import numpy as np

from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.scenes import soft_spot
from convlstm.utils.data.synthetic.textures import Size, fractal_noise

MARGIN = 4
"""Pixels that a scene is larger than the frame on each side, so that a shaking camera sees more of it."""

NUISANCES = ("still", "exposure", "lights", "shake", "compression")
"""What a recording can suffer from most; "still" is a calm one with nothing but sensor noise."""


@dataclass(frozen=True)
class Camera:
    """Everything that happens to T frames beside motion in the scene.

    `gains`, `gammas` (T,): exposure; `lamps` (L, H, W, 3) and `lamp_levels` (T, L): local light, added in proportion to
    the scene's brightness; `shifts` (T, 2): shake, x and y in pixels, at most MARGIN; `read_noise`, `shot_noise`:
    standard deviations in [0, 1] at black, and what white adds; `grain` (pixels): blur of the noise; `qualities` (T,):
    of JPEG, 0 for none; `skip` (levels): blocks that change less are not sent again by the codec.
    """

    gains: Float32Array
    gammas: Float32Array
    lamps: Float32Array
    lamp_levels: Float32Array
    shifts: Float32Array
    read_noise: float
    shot_noise: float
    grain: float
    qualities: Float32Array
    skip: float

    @classmethod
    def perfect(cls, num_frames: int, size: Size) -> "Camera":
        """A camera that adds nothing to frames of `size` = (height, width)."""
        ones = np.ones(num_frames, dtype=np.float32)
        dark = np.zeros((0, size[0] + 2 * MARGIN, size[1] + 2 * MARGIN, 3), dtype=np.float32)
        levels, shifts = np.zeros((num_frames, 0), np.float32), np.zeros((num_frames, 2), np.float32)
        return cls(ones, ones, dark, levels, shifts, 0.0, 0.0, 0.0, 0 * ones, 0.0)

    @classmethod
    def sample(
        cls, rng: np.random.Generator, nuisance: str, num_frames: int, size: Size, *, severity: float = 1.0
    ) -> "Camera":
        """A random camera that suffers from `nuisance` for certain, and from each other one now and then.

        `severity` scales how strong exposure, lights, shake and noise become, and how often they come together.
        """
        now_and_then = 0.0 if nuisance == "still" else 0.3 * severity
        suffers = {name: name == nuisance or bool(rng.random() < now_and_then) for name in NUISANCES}
        perfect = cls.perfect(num_frames, size)
        gains, gammas = _exposure(rng, num_frames) if suffers["exposure"] else (perfect.gains, perfect.gammas)
        large = perfect.lamps.shape[1], perfect.lamps.shape[2]
        lamps, levels = _lights(rng, num_frames, large) if suffers["lights"] else (perfect.lamps, perfect.lamp_levels)
        noise = float(0.003 * 10 ** (severity * rng.random()))
        compressed = suffers["compression"]
        return cls(
            gains=gains**severity,
            gammas=gammas**severity,
            lamps=lamps,
            lamp_levels=levels * severity,
            shifts=_shake(rng, num_frames) * severity if suffers["shake"] else perfect.shifts,
            read_noise=noise,
            shot_noise=noise * rng.uniform(0, 1.5),
            grain=float(rng.choice([0.0, 0.0, rng.uniform(0.4, 1.2)])),
            qualities=_qualities(rng, num_frames) if compressed else perfect.qualities,
            skip=float(rng.uniform(0.5, 3.0)) if compressed and rng.random() < 0.5 else 0.0,
        )

    def expose(self, rng: np.random.Generator, scene: Float32Array, index: int) -> UInt8Array:
        """Frame `index`, uint8 (H, W, 3), of a scene float32 (H + 2 MARGIN, W + 2 MARGIN, 3)."""
        for lamp, level in zip(self.lamps, self.lamp_levels[index], strict=True):
            scene = scene * (1 + level * lamp)
        picture = self.crop(scene, index)
        if self.gammas[index] != 1:
            cv2.pow(np.maximum(picture, 0), float(self.gammas[index]), picture)
        picture = picture * self.gains[index]
        if self.read_noise:
            picture += self._noise(rng, picture)
        return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), dtype=np.uint8)

    def crop(self, scene: Float32Array, index: int) -> Float32Array:
        """What of a scene (or of its mask) is in view in frame `index`."""
        shift = self.shifts[index]
        height, width = scene.shape[0] - 2 * MARGIN, scene.shape[1] - 2 * MARGIN
        if not shift.any():
            return np.array(scene[MARGIN : MARGIN + height, MARGIN : MARGIN + width])
        matrix = np.array([[1.0, 0.0, shift[0] - MARGIN], [0.0, 1.0, shift[1] - MARGIN]])
        return np.asarray(cv2.warpAffine(scene, matrix, (width, height)), dtype=np.float32)

    def _noise(self, rng: np.random.Generator, picture: Float32Array) -> Float32Array:
        noise = rng.standard_normal(picture.shape, dtype=np.float32)
        if self.grain:
            blurred = cv2.GaussianBlur(noise, (0, 0), self.grain)
            noise = np.asarray(blurred * np.float32(1 + 1.8 * self.grain), dtype=np.float32)  # as strong as before
        if not self.shot_noise:
            return noise * np.float32(self.read_noise)
        variance = self.read_noise**2 + self.shot_noise**2 * np.clip(picture, 0, 1)
        return np.asarray(noise * np.sqrt(variance), dtype=np.float32)

    def encode(
        self, rng: np.random.Generator, frame: UInt8Array, previous: UInt8Array | None, index: int
    ) -> UInt8Array:
        """What a codec leaves of `frame`; `previous` is what it left of the one before."""
        quality = int(self.qualities[index])
        if not quality:
            return frame
        _, coded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
        is_key = quality == int(self.qualities.max())
        if previous is not None and self.skip and not is_key:
            decoded = _keep_skipped_blocks(rng, decoded, previous, self.skip)
        if previous is not None and np.array_equal(decoded, previous):
            return frame  # strong compression took all the noise away; no two frames of a recording shall be equal
        return decoded


def _keep_skipped_blocks(
    rng: np.random.Generator, decoded: UInt8Array, previous: UInt8Array, skip: float
) -> UInt8Array:
    """Take 16x16 blocks that hardly changed from the frame before, as video codecs do; one in ten is sent anyway."""
    height, width = decoded.shape[:2]
    blocks = (-(-width // 16), -(-height // 16))
    change = cv2.resize(cv2.absdiff(decoded, previous), blocks, interpolation=cv2.INTER_AREA).max(axis=2)
    sent = (change > skip) | (rng.random(change.shape) < 0.1)
    sent[rng.integers(blocks[1]), rng.integers(blocks[0])] = True
    pixels = cv2.resize(sent.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.where(pixels[..., None] > 0, decoded, previous)


def _exposure(rng: np.random.Generator, num_frames: int) -> tuple[Float32Array, Float32Array]:
    """Gains and gammas (T,): a drift, a step, or the flicker of mains light against the shutter."""
    time = np.arange(num_frames)
    strength = rng.uniform(0.1, 0.5) * rng.choice([-1, 1])
    course = rng.choice(["drift", "step", "flicker"])
    if course == "drift":
        swing = np.sin(2 * np.pi * (time / rng.uniform(25, 120) + rng.random()))
    elif course == "step":
        swing = 0.5 + 0.5 * np.tanh((time - rng.uniform(0.1, 0.9) * num_frames) * rng.choice([0.35, 5.0]))
    else:
        strength *= 0.4
        swing = np.sin(2 * np.pi * time * rng.uniform(0.05, 0.5)) + rng.normal(0, 0.3, num_frames)
    gammas = np.exp(rng.choice([0.0, 0.5]) * strength * swing)
    return np.exp(strength * swing).astype(np.float32), gammas.astype(np.float32)


def _lights(rng: np.random.Generator, num_frames: int, size: Size) -> tuple[Float32Array, Float32Array]:
    """Lamps (L, H, W, 3) and levels (T, L): lights that go on, off, fade or flicker, and shadows of clouds."""
    count = int(rng.integers(1, 4))
    time = np.arange(num_frames)
    lamps, levels = [], []
    for _ in range(count):
        colour = np.clip(1 + rng.normal(0, 0.15, 3), 0.4, 1.6)
        lamps.append((_lit_area(rng, size)[..., None] * colour).astype(np.float32))
        strength = rng.uniform(0.2, 1.0) if rng.random() < 0.6 else -rng.uniform(0.2, 0.6)
        moment = rng.uniform(0.1, 0.9) * num_frames
        course = rng.choice(["switch", "fade", "flicker", "blink"])
        if course == "switch":
            level = (time > moment) != (rng.random() < 0.5)
        elif course == "fade":
            level = 0.5 + 0.5 * np.tanh((time - moment) / rng.uniform(2, 12) * rng.choice([-1, 1]))
        elif course == "flicker":
            level = (
                0.6 + 0.4 * np.sin(time * rng.uniform(0.3, 3)) * rng.uniform(0.1, 1) + rng.normal(0, 0.1, num_frames)
            )
        else:
            level = (time / rng.uniform(4, 16) + rng.random()) % 1 < 0.5
        levels.append(strength * np.asarray(level, dtype=np.float64))
    return np.stack(lamps), np.clip(np.stack(levels, axis=1), -0.8, 2.0).astype(np.float32)


def _lit_area(rng: np.random.Generator, size: Size) -> Float32Array:
    """Where a lamp's light falls, (H, W) in [0, 1]: a soft pool, or all the room unevenly."""
    height, width = size
    if rng.random() < 0.6:
        radius = rng.uniform(0.08, 0.5) * height
        return soft_spot(size, (rng.uniform(0, width), rng.uniform(0, height)), radius, rng.uniform(0.5, 2.0))
    return (0.5 + 0.5 * np.tanh(fractal_noise(rng, size, exponent=3.0))).astype(np.float32)


def _shake(rng: np.random.Generator, num_frames: int) -> Float32Array:
    """Shifts (T, 2) in pixels: the tremble of a hand or a pole in the wind, with now and then a jolt."""
    smoothness = rng.uniform(0.5, 4.0)
    walk = cv2.GaussianBlur(rng.standard_normal((num_frames + 40, 2)), (1, 0), sigmaX=0.1, sigmaY=smoothness)[20:-20]
    walk = walk * (rng.uniform(0.15, 1.0) / max(float(walk.std()), 1e-6))
    if rng.random() < 0.3:
        moment, decay = rng.integers(num_frames), rng.uniform(1.0, 4.0)
        since = np.arange(num_frames) - moment
        jolt = np.where(since >= 0, np.exp(-np.maximum(since, 0) / decay) * np.cos(2.0 * since), 0)
        walk = walk + jolt[:, None] * rng.normal(0, 1.2, 2)
    limit = MARGIN - 1.0
    return np.clip(walk, -limit, limit).astype(np.float32)


def _qualities(rng: np.random.Generator, num_frames: int) -> Float32Array:
    """JPEG quality of each frame: even, or pulsing with key frames."""
    quality = int(rng.integers(25, 91))
    qualities = np.full(num_frames, quality, dtype=np.float32)
    if rng.random() < 0.5:
        interval = int(rng.integers(6, 16))
        qualities[int(rng.integers(interval)) :: interval] = min(95, quality + int(rng.integers(5, 40)))
    return qualities
