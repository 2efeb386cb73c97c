"""What light, camera and codec do to the pixels of any scene, still or not: nothing of it is motion in the scene."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.codec import Codec
from convlstm.utils.data.synthetic.lighting import Lighting
from convlstm.utils.data.synthetic.sensor import Sensor
from convlstm.utils.data.synthetic.textures import Size

MARGIN = 6
"""Pixels that a scene is larger than the frame on each side, so that a shaking camera sees more of it."""

NUISANCES = ("still", "exposure", "lights", "clouds", "noise", "shake", "compression", "dropped")
"""What a recording can suffer from most; "still" is a calm one with nothing but a little sensor noise."""

_SMALLEST_CODED = 32  # pixels; encoders refuse less
_INFRARED_SIDES = 0.45, 0.55  # of the frame's height and width: 288x352 of 640x640


@dataclass(frozen=True)
class Camera:
    """Everything that happens to T frames beside motion in the scene.

    `shifts` (T, 2): shake, x and y in pixels, at most MARGIN; `coded_size`: height and width that the sensor and the
    codec work at, scaled up afterwards; `times` (T,): the moment that each frame shows, in frames: some stand twice
    where frames were lost; `is_interlaced`: odd rows show the frame before; `stamp`: where a clock is burnt in, x and y
    as shares of the frame, or None.
    """

    size: Size
    lighting: Lighting
    shifts: Float32Array
    sensor: Sensor
    codec: Codec
    coded_size: Size
    times: Float32Array
    is_interlaced: bool = False
    stamp: tuple[float, float] | None = None

    @classmethod
    def perfect(cls, num_frames: int, size: Size) -> "Camera":
        """A camera that adds nothing to frames of `size` = (height, width)."""
        return cls(
            size=size,
            lighting=Lighting.constant(num_frames, _with_margin(size)),
            shifts=np.zeros((num_frames, 2), np.float32),
            sensor=Sensor.perfect(size),
            codec=Codec(),
            coded_size=size,
            times=np.arange(num_frames, dtype=np.float32),
        )

    @classmethod
    def sample(
        cls, rng: np.random.Generator, nuisance: str, num_frames: int, size: Size, *, severity: float = 1.0
    ) -> "Camera":
        """A random camera that suffers from `nuisance` for certain, and from each other one now and then.

        `severity` scales how strong they become, and how often they come together.
        """
        now_and_then = 0.0 if nuisance == "still" else 0.25 * severity
        suffers = {name: name == nuisance or bool(rng.random() < now_and_then) for name in NUISANCES}
        perfect = cls.perfect(num_frames, size)
        coded_size = _coded_size(rng, size) if rng.random() < 0.5 * severity else (size[0] & ~1, size[1] & ~1)
        is_recorded = suffers["compression"] or rng.random() < 0.6 * severity
        codec = Codec.sample(rng, is_strong=suffers["compression"]) if is_recorded else Codec()
        sensor = Sensor.sample(rng, coded_size, severity, is_noisy=suffers["noise"])
        return cls(
            size=size,
            lighting=Lighting.sample(rng, suffers, num_frames, _with_margin(size), severity),
            shifts=draw_shake(rng, num_frames) * severity if suffers["shake"] else perfect.shifts,
            sensor=sensor,
            codec=codec,
            coded_size=coded_size,
            times=_with_losses(rng, num_frames) if suffers["dropped"] else perfect.times,
            is_interlaced=bool(rng.random() < 0.06 * severity),
            stamp=(rng.uniform(0, 0.6), rng.uniform(0.05, 0.98)) if rng.random() < 0.1 * severity else None,
        )

    def as_infrared(self, rng: np.random.Generator) -> "Camera":
        """The same for the infrared of a cheap camera at night: grey, dim, noisy, small, through a codec."""
        gains = self.lighting.gains.mean(axis=1, keepdims=True) * np.float32(rng.uniform(0.5, 0.9))
        lighting = replace(
            self.lighting,
            gains=np.repeat(gains, 3, axis=1),
            gammas=self.lighting.gammas * np.float32(rng.uniform(0.8, 1.2)),
            saturations=np.zeros_like(self.lighting.saturations),
        )
        height, width = (
            max(_SMALLEST_CODED, int(share * side) & ~1) for share, side in zip(_INFRARED_SIDES, self.size, strict=True)
        )
        coded_size = height, width
        sensor = Sensor.sample(rng, coded_size, 0.5, is_noisy=True).colourless()
        codec = Codec.sample(rng, is_strong=False)
        return replace(self, lighting=lighting, coded_size=coded_size, sensor=sensor, codec=codec)

    def record(self, rng: np.random.Generator, scenes: Iterator[Float32Array]) -> list[UInt8Array]:
        """Frames uint8 (H, W, 3) of the scenes at `times`, float32 (H + 2 MARGIN, W + 2 MARGIN, 3)."""
        exposed: list[UInt8Array] = []
        noise, before = None, None
        for index, scene in enumerate(scenes):
            if index and self.times[index] == self.times[index - 1]:
                exposed.append(exposed[-1])
                continue
            picture = self.lighting.in_camera(self.crop(self.lighting.on_scene(scene, index), index), index)
            if self.is_interlaced and before is not None:
                picture[1::2], before = before[1::2], picture.copy()
            elif self.is_interlaced:
                before = picture.copy()
            if self.coded_size != self.size:
                small = cv2.resize(picture, self.coded_size[::-1], interpolation=cv2.INTER_AREA)
                picture = np.asarray(small, dtype=np.float32)
            if not self.sensor.is_perfect:
                noise = self.sensor.unit_noise(rng, noise)
                picture = self.sensor.expose(picture, noise)
            frame = np.asarray(np.rint(np.clip(picture, 0, 1) * 255), dtype=np.uint8)
            if self.stamp is not None:
                _burn_in(frame, self.stamp, index)
            exposed.append(frame)
        return [self._scale_up(frame) for frame in self._encode(exposed)]

    def crop(self, scene: Float32Array, index: int) -> Float32Array:
        """What of a scene (or of its mask) is in view in frame `index`."""
        shift = self.shifts[index]
        height, width = self.size
        if not shift.any():
            return np.array(scene[MARGIN : MARGIN + height, MARGIN : MARGIN + width])
        matrix = np.array([[1.0, 0.0, shift[0] - MARGIN], [0.0, 1.0, shift[1] - MARGIN]])
        return np.asarray(cv2.warpAffine(scene, matrix, (width, height)), dtype=np.float32)

    def _encode(self, frames: list[UInt8Array]) -> list[UInt8Array]:
        recorded = self.codec.record(frames)
        if len(recorded) == len(frames) and not _are_all_equal(recorded):
            return recorded
        return frames  # a codec that leaves nothing of the noise: recordings of real cameras are never all equal

    def _scale_up(self, frame: UInt8Array) -> UInt8Array:
        if self.coded_size == self.size:
            return frame
        return np.asarray(cv2.resize(frame, self.size[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _with_margin(size: Size) -> Size:
    return size[0] + 2 * MARGIN, size[1] + 2 * MARGIN


def _are_all_equal(frames: list[UInt8Array]) -> bool:
    return all(np.array_equal(frame, frames[0]) for frame in frames[1:])


def _coded_size(rng: np.random.Generator, size: Size) -> Size:
    """A smaller, even size; often with fewer rows, as of wide recordings that are resized to a square."""
    rows = rng.choice([0.5, 0.5625, 0.75, rng.uniform(0.4, 1.0)])
    columns = rng.choice([0.5, 0.75, 1.0, 1.0, rng.uniform(0.4, 1.0)])
    height, width = (2 * int(side * share / 2) for side, share in zip(size, (rows, columns), strict=True))
    return max(_SMALLEST_CODED, height), max(_SMALLEST_CODED, width)


def _with_losses(rng: np.random.Generator, num_frames: int) -> Float32Array:
    """Times (T,) of a recording that lost frames: the one before stands in for them."""
    times = np.arange(num_frames, dtype=np.float32)
    lost = rng.random(num_frames) < rng.choice([0.05, 0.15, 0.4])
    if rng.random() < 0.3:
        lost[:: int(rng.integers(2, 6))] = True  # a recording of 12 frames/s shown at 25
    lost[0] = False
    for index in np.flatnonzero(lost):
        times[index] = times[index - 1]
    if np.all(times == times[0]):
        times[-1] = num_frames - 1
    elif not lost.any() and num_frames > 2:
        middle = num_frames // 2
        times[middle] = times[middle - 1]
    return times


def _burn_in(frame: UInt8Array, place: tuple[float, float], index: int) -> None:
    """A clock in the frame, in place."""
    height, width = frame.shape[:2]
    where = int(place[0] * width), int(place[1] * height)
    text = f"{index // 25 % 60:02d}.{4 * (index % 25):02d} 12:47 2024-03-05"
    scale = max(0.3, height / 700)
    cv2.putText(frame, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(frame, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)


def draw_shake(rng: np.random.Generator, num_frames: int) -> Float32Array:
    """Shifts (T, 2) in pixels: the tremble of a hand or a pole in the wind, with now and then a jolt."""
    smoothness = rng.uniform(0.5, 4.0)
    walk = cv2.GaussianBlur(rng.standard_normal((num_frames + 40, 2)), (1, 0), sigmaX=0.1, sigmaY=smoothness)[20:-20]
    amplitude = np.exp(rng.uniform(np.log(0.1), np.log(2.0)))
    walk = walk * (amplitude / max(float(walk.std()), 1e-6))
    if rng.random() < 0.3:
        moment, decay = rng.integers(num_frames), rng.uniform(1.0, 4.0)
        since = np.arange(num_frames) - moment
        jolt = np.where(since >= 0, np.exp(-np.maximum(since, 0) / decay) * np.cos(2.0 * since), 0)
        walk = walk + jolt[:, None] * rng.normal(0, 2.0, 2)
    limit = MARGIN - 1.0
    return np.asarray(np.clip(walk, -limit, limit), dtype=np.float32)
