"""Footage of an empty place that something passes through: nothing moves before it comes, nor after it has gone."""

import numpy as np

from convlstm.clips import mask_share
from convlstm.types import CELL_SIZE, Float32Array, UInt8Array
from convlstm.utils.data.synthetic.camera import MARGIN, Camera
from convlstm.utils.data.synthetic.scenes import still_scene
from convlstm.utils.data.synthetic.things import Passing, large_thing

COMES_AT = 20
"""Frame in which it enters."""
_CANDIDATES = 5


def passing_video(
    rng: np.random.Generator, num_frames: int, size: tuple[int, int], camera: Camera, *, num_frames_in_view: int
) -> tuple[list[UInt8Array], Float32Array]:
    """Frames (H, W, 3), and the share of each cell that moves in each of them, float32 (T, GH, GW)."""
    scene = still_scene(rng, (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN))
    passing = Passing(large_thing(rng, scene, _CANDIDATES), COMES_AT, num_frames_in_view)
    grid = size[0] // CELL_SIZE, size[1] // CELL_SIZE
    pictures, shares = [], []
    for index, time in enumerate(camera.times):
        picture = scene.background.copy()
        mask = passing.draw(picture, float(time))
        pictures.append(np.clip(picture, 0, 1))
        seen = camera.crop(mask.astype(np.float32), index)
        shares.append(mask_share((seen > 0).astype(np.uint8), grid))
    return camera.record(rng, iter(pictures)), np.stack(shares)
