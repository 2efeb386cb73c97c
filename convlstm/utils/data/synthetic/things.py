"""Solid things on their way through a scene."""

import cv2
import numpy as np

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.cutouts import cutout
from convlstm.utils.data.synthetic.scenes import ROUNDED_AWAY, BoolArray, Scene, paste
from convlstm.utils.data.synthetic.textures import Size

SMALLEST_LENGTH = 7
"""Pixels: shorter things are hardly told from noise."""

PASSING_LENGTHS = 0.12, 0.5
"""Of the frame's shorter side: a person or a car that passes."""

PASSING_TIMES = 0.4, 3.0
"""Frames that it takes from side to side, of those of the sequence."""


class Thing:
    """A cutout on a curved path through the frame, round and round, some turning, growing or deforming.

    `noticed` starts it well inside the frame, so that it is in view from the first frame on.
    """

    def __init__(self, rng: np.random.Generator, scene: Scene, *, noticed: bool = True) -> None:
        height, width = scene.size
        length = float(np.exp(rng.uniform(np.log(SMALLEST_LENGTH), np.log(max(14, min(scene.size) / 2)))))
        self.rgba = cutout(rng, int(length))
        self.rgba[..., :3] *= scene.ambient
        if rng.random() < 0.25:
            _camouflage(rng, self.rgba, scene)
        self.speed = float(np.exp(rng.uniform(np.log(max(0.3, length / 80)), np.log(min(30.0, 3 + length / 4)))))
        self.shadow = float(rng.uniform(0.15, 0.6)) if scene.ambient > 0.4 and rng.random() < 0.5 else 0.0
        is_wide = self.rgba.shape[1] > self.rgba.shape[0]  # people stay upright
        self.follows_path = is_wide and bool(rng.random() < 0.6)
        self.sway = rng.normal(0, 0.08), rng.uniform(0.1, 0.6), rng.uniform(0, 2 * np.pi)
        self.deformation = float(rng.uniform(0.03, 0.12) * length) if rng.random() < 0.3 else 0.0
        self.scales = tuple(rng.uniform(0.55, 1.0, 2)) if rng.random() < 0.5 else (1.0, 1.0)
        self.path, self.travelled = self._lay_path(rng, (height, width), 0.45 * length)
        self.start = float(rng.uniform(0.25, 0.7) if noticed else rng.random()) * self.travelled[-1]

    @staticmethod
    def _lay_path(rng: np.random.Generator, size: Size, margin: float) -> tuple[Float32Array, Float32Array]:
        """Points (P, 2) of a curve from one side of the frame to another, and the way travelled at each."""
        height, width = size
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.pi + rng.normal(0, 0.5)
        middle = np.array([width, height]) * rng.uniform(0.25, 0.75, 2)
        ends = []
        for direction in (angle, angle + turn):
            step = np.array([np.cos(direction), np.sin(direction)])
            wall = np.where(step > 0, [width + margin, height + margin], -margin)
            ends.append(middle + step * np.min((wall - middle) / np.where(step == 0, 1e-9, step)))
        bend = middle + rng.normal(0, 0.1, 2) * [width, height]
        t = np.linspace(0, 1, 65)[:, None]
        points = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * bend + t**2 * ends[1]
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        return points.astype(np.float32), np.concatenate([[0], np.cumsum(steps)]).astype(np.float32)

    def follow(self, leader: "Thing", gap: float) -> None:
        """Take the leader's way, `gap` pixels behind it."""
        self.path, self.travelled, self.scales = leader.path, leader.travelled, leader.scales
        self.speed, self.start = leader.speed, leader.start - gap

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        mask = np.zeros(canvas.shape[:2], dtype=np.bool_)
        centre, angle, scale = self.pose(time)
        pasted = paste(canvas, self._deformed(time), centre, angle=angle, scale=scale, shadow=self.shadow)
        if pasted is not None:
            region, changed = pasted
            mask[region] = changed > ROUNDED_AWAY
        return mask

    def pose(self, time: float) -> tuple[tuple[float, float], float, float]:
        """Where it is at that moment: its middle (x, y) in pixels, its angle in radians, and its scale."""
        way = (self.start + self.speed * time) % self.travelled[-1]
        share = way / self.travelled[-1]
        angle = self.sway[0] * np.sin(self.sway[1] * time + self.sway[2])
        if self.follows_path:
            behind, ahead = self._point(way - 1), self._point(way + 1)
            angle += np.arctan2(ahead[1] - behind[1], ahead[0] - behind[0])
        return self._point(way), float(angle), float(self.scales[0] + share * (self.scales[1] - self.scales[0]))

    def _point(self, way: float) -> tuple[float, float]:
        x, y = (float(np.interp(way, self.travelled, self.path[:, axis])) for axis in (0, 1))
        return x, y

    def _deformed(self, time: float) -> Float32Array:
        if not self.deformation:
            return self.rgba
        height, width = self.rgba.shape[:2]
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        wave = self.deformation * np.sin(0.35 * time + 5.0 * y / height).astype(np.float32)
        return np.asarray(cv2.remap(self.rgba, x + wave, y, cv2.INTER_LINEAR), dtype=np.float32)


def _camouflage(rng: np.random.Generator, rgba: Float32Array, scene: Scene) -> None:
    """Give a cutout the colours of the scene, with a little of its own contrast, in place."""
    height, width = rgba.shape[:2]
    y = int(rng.uniform(0, max(1, scene.size[0] - height)))
    x = int(rng.uniform(0, max(1, scene.size[1] - width)))
    patch = cv2.resize(scene.background[y : y + height, x : x + width], (width, height))
    own = rng.uniform(0.1, 0.5)
    rgba[..., :3] = own * rgba[..., :3] + (1 - own) * patch * rgba[..., 3:]


class Things:
    """One to three things of which the first is in view from the start; some drive one behind the other."""

    def __init__(self, rng: np.random.Generator, scene: Scene) -> None:
        count = int(rng.integers(1, 4))
        self.things = [Thing(rng, scene, noticed=index == 0) for index in range(count)]
        if rng.random() < 0.3:
            for index, thing in enumerate(self.things[1:], start=1):
                thing.follow(self.things[0], gap=index * rng.uniform(0.1, 0.3) * min(scene.size))

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        mask = np.zeros(canvas.shape[:2], dtype=np.bool_)
        for thing in self.things:
            mask |= thing.draw(canvas, time)
        return mask


class Passing:
    """A thing that crosses the frame once: `comes_at` is when, `num_frames` how long it takes from side to side.

    Nothing is there before it comes, nor after it has left.
    """

    def __init__(self, thing: Thing, comes_at: float, num_frames: float) -> None:
        self.thing = thing
        self.comes_at = comes_at
        self.num_frames = num_frames
        thing.start, thing.speed = 0.0, float(thing.travelled[-1]) / num_frames

    @classmethod
    def sample(cls, rng: np.random.Generator, scene: Scene, num_frames: int) -> "Passing":
        """One that comes, or leaves, at some moment of a sequence of `num_frames` frames."""
        shortest, longest = np.log(PASSING_TIMES)
        duration = num_frames * float(np.exp(rng.uniform(shortest, longest)))
        moment = num_frames * float(rng.uniform(0.1, 0.9))
        return cls(large_thing(rng, scene, candidates=2), moment - duration * int(rng.integers(2)), duration)

    def draw(self, canvas: Float32Array, time: float) -> BoolArray:
        """See Actor.draw."""
        since = time - self.comes_at
        if 0 <= since < self.num_frames:
            return self.thing.draw(canvas, since)
        return np.zeros(canvas.shape[:2], dtype=np.bool_)


def large_thing(rng: np.random.Generator, scene: Scene, candidates: int) -> Thing:
    """As large as a person or a car, and of so many the one that is told best from what is behind it."""
    things: list[Thing] = []
    while len(things) < candidates:
        thing = Thing(rng, scene)
        if PASSING_LENGTHS[0] < max(thing.rgba.shape[:2]) / min(scene.size) < PASSING_LENGTHS[1]:
            things.append(thing)
    return max(things, key=lambda thing: _contrast(thing, scene))


def _contrast(thing: Thing, scene: Scene) -> float:
    colour = thing.rgba[..., :3].sum(axis=(0, 1)) / thing.rgba[..., 3].sum()
    return float(np.abs(colour - scene.background.mean(axis=(0, 1))).mean())
