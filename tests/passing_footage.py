"""Footage of an empty place that something passes through: nothing moves before it comes, nor after it has gone."""

import numpy as np
from numpy.typing import NDArray

from convlstm.clips import mask_share
from convlstm.types import CELL_SIZE, Float32Array, UInt8Array
from convlstm.utils.data.synthetic.camera import MARGIN, Camera
from convlstm.utils.data.synthetic.scenes import Scene, still_scene
from convlstm.utils.data.synthetic.things import Thing

COMES_AT = 20
"""Frame in which it enters."""
_LENGTHS = 0.12, 0.5  # of the frame's shorter side
_CANDIDATES = 5


def passing_video(
    rng: np.random.Generator, num_frames: int, size: tuple[int, int], camera: Camera, *, num_frames_in_view: int
) -> tuple[list[UInt8Array], Float32Array]:
    """Frames (H, W, 3), and the share of each cell that moves in each of them, float32 (T, GH, GW)."""
    scene = still_scene(rng, (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN))
    thing = _large_thing(rng, scene)
    thing.start, thing.speed = 0.0, float(thing.travelled[-1]) / num_frames_in_view
    grid = size[0] // CELL_SIZE, size[1] // CELL_SIZE
    pictures, shares = [], []
    for index, time in enumerate(camera.times):
        picture = scene.background.copy()
        mask: NDArray[np.bool_] = np.zeros(picture.shape[:2], dtype=np.bool_)
        if COMES_AT <= time < COMES_AT + num_frames_in_view:
            mask = thing.draw(picture, float(time) - COMES_AT)
        pictures.append(np.clip(picture, 0, 1))
        seen = camera.crop(mask.astype(np.float32), index)
        shares.append(mask_share((seen > 0).astype(np.uint8), grid))
    return camera.record(rng, iter(pictures)), np.stack(shares)


def _large_thing(rng: np.random.Generator, scene: Scene) -> Thing:
    """As large as a person or a car, and of some the one that is told best from what is behind it."""
    things: list[Thing] = []
    while len(things) < _CANDIDATES:
        thing = Thing(rng, scene)
        if _LENGTHS[0] < max(thing.rgba.shape[:2]) / min(scene.size) < _LENGTHS[1]:
            things.append(thing)
    return max(things, key=lambda thing: _contrast(thing, scene))


def _contrast(thing: Thing, scene: Scene) -> float:
    colour = thing.rgba[..., :3].sum(axis=(0, 1)) / thing.rgba[..., 3].sum()
    return float(np.abs(colour - scene.background.mean(axis=(0, 1))).mean())
