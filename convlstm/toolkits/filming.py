"""A photograph as a camera on a stand would film it: nothing in it moves, and yet no two frames are the same.

What the sensor, the stand and the codec do is what synthetic footage has too (`utils/data/synthetic`).

Shapes: T frames, H W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.camera import MARGIN, Camera
from convlstm.utils.data.synthetic.codec import Codec
from convlstm.utils.data.synthetic.lighting import Lighting
from convlstm.utils.data.synthetic.sensor import Sensor

Size = tuple[int, int]

SMALLEST_SIDE = 32
"""Pixels: encoders refuse less."""

DRIFT = 0.06
"""Standard deviation of the logarithm of the exposure, at strength 1: about a tenth of a stop."""

TINT = 0.1
"""White balance drifts by this share of that, in each channel."""

SHAKE_PIXELS = 0.35
"""Standard deviation of a stand's tremble, at strength 1."""

REFOCUS_SIGMA = 1.5
"""Pixels of blur when the camera looks for its focus, at strength 1, in a frame 640 pixels high."""

_PIXELS_AT_ONCE = 1 << 25  # frames that are in memory together
_MOST_AT_ONCE = 50  # frames: a key frame of the codec comes at least so often
_CODEC_QUALITY = {"h264": (14.0, 10.0, 1, 45), "mpeg4": (1.0, 3.0, 1, 31), "jpeg": (97.0, -12.0, 5, 98)}
"""By encoder: quality at strength 0, what a strength of 1 adds, and the limits."""


@dataclass(frozen=True)
class Strengths:
    """How much of each there is: 0 none, 1 as common cameras."""

    noise: float = 1.0
    exposure: float = 1.0
    shake: float = 1.0
    refocus: float = 1.0
    compression: float = 1.0


def film(
    photo: UInt8Array, *, num_frames: int, fps: float, strengths: Strengths, rng: np.random.Generator
) -> Iterator[UInt8Array]:
    """T = `num_frames` frames uint8 RGB (H, W, 3) of a photograph of the same shape, at least 32 pixels a side.

    The same state of `rng` gives the same pixels. Some frames are in memory at a time, never all of a long sequence.
    """
    size = photo.shape[0], photo.shape[1]
    scene = np.pad(photo, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="reflect")
    gains = _drift(rng, num_frames, fps, strengths.exposure)
    shifts = _tremble(rng, num_frames, fps, strengths.shake)
    sigmas = _refocus(rng, num_frames, fps, strengths.refocus) * size[0] / 640
    coded_size = size[0] & ~1, size[1] & ~1  # codecs want even sides
    sensor = _sensor(rng, coded_size, strengths.noise)
    codec = _codec(rng, strengths.compression)
    step = max(2, min(_MOST_AT_ONCE, _PIXELS_AT_ONCE // (size[0] * size[1])))
    for start in range(0, num_frames, step):
        part = slice(start, min(num_frames, start + step))
        camera = Camera(
            size=size,
            lighting=replace(Lighting.constant(len(gains[part]), size), gains=gains[part]),
            shifts=shifts[part],
            sensor=sensor,
            codec=codec,
            coded_size=coded_size,
            times=np.arange(len(gains[part]), dtype=np.float32),
        )
        yield from camera.record(rng, (_focused(scene, float(sigma)) for sigma in sigmas[part]))


def _focused(scene: UInt8Array, sigma: float) -> Float32Array:
    """The scene in [0, 1], out of focus by a blur of `sigma` pixels."""
    picture: Float32Array = scene.astype(np.float32) / np.float32(255)
    if sigma < 0.1:
        return picture
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.float32)


def _drift(rng: np.random.Generator, num_frames: int, fps: float, strength: float) -> Float32Array:
    """Gains (T, 3) that wander over seconds: of the exposure, and a little of each channel's own."""
    common = _wander(rng, num_frames, seconds=rng.uniform(0.5, 3.0), fps=fps)
    own = np.stack([_wander(rng, num_frames, seconds=2.0, fps=fps) for _ in range(3)], axis=1)
    return np.asarray(np.exp(strength * DRIFT * (common[:, None] + TINT * own)), dtype=np.float32)


def _tremble(rng: np.random.Generator, num_frames: int, fps: float, strength: float) -> Float32Array:
    """Shifts (T, 2) in pixels, within the margin of the scene."""
    seconds = rng.uniform(0.03, 0.15)
    walk = np.stack([_wander(rng, num_frames, seconds=seconds, fps=fps) for _ in range(2)], axis=1)
    limit = MARGIN - 1.0
    return np.asarray(np.clip(strength * SHAKE_PIXELS * walk, -limit, limit), dtype=np.float32)


def _refocus(rng: np.random.Generator, num_frames: int, fps: float, strength: float) -> Float32Array:
    """Blur (T,) in pixels: out of focus and back, within a second, about once in six; at least once."""
    seconds = np.arange(num_frames) / fps
    sigmas = np.zeros(num_frames)
    for _ in range(max(1, round(num_frames / fps / 6))):
        moment, width = rng.uniform(0, seconds[-1]), rng.uniform(0.1, 0.4)
        depth = rng.uniform(0.4, 1.0) * REFOCUS_SIGMA
        sigmas = np.maximum(sigmas, depth * np.exp(-0.5 * ((seconds - moment) / width) ** 2))
    return np.asarray(strength * sigmas, dtype=np.float32)


def _wander(rng: np.random.Generator, num_frames: int, *, seconds: float, fps: float) -> Float32Array:
    """A random course (T,) with mean 0 and deviation 1 in the long run, smooth over so many seconds."""
    sigma = max(0.3, seconds * fps)
    margin = int(np.ceil(3 * sigma))
    white = rng.standard_normal((num_frames + 2 * margin, 1))
    smooth = cv2.GaussianBlur(white, (1, 2 * margin + 1), sigmaX=0.1, sigmaY=sigma)[margin:-margin, 0]
    kernel = cv2.getGaussianKernel(2 * margin + 1, sigma)
    return np.asarray(smooth / np.sqrt(np.sum(kernel**2)), dtype=np.float32)


def _sensor(rng: np.random.Generator, size: Size, strength: float) -> Sensor:
    if not strength:
        return Sensor.perfect(size)
    sensor = Sensor.sample(rng, size, 1.0, is_noisy=False)
    return replace(
        sensor,
        read_noise=strength * sensor.read_noise,
        shot_noise=strength * sensor.shot_noise,
        rows=strength * sensor.rows,
        fixed=np.zeros_like(sensor.fixed),  # dead pixels in nothing but static sequences would give them away
    )


def _codec(rng: np.random.Generator, strength: float) -> Codec:
    if not strength:
        return Codec()
    sampled = Codec.sample(rng, is_strong=False)
    base, slope, low, high = _CODEC_QUALITY[sampled.name]
    quality = base + slope * strength * rng.uniform(0.7, 1.3)
    return replace(sampled, quality=int(np.clip(round(quality), low, high)))
