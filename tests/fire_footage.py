"""Footage of a fire, and of the photograph of a fire in a hand: the one must be dynamic, the other not."""

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.camera import MARGIN, Camera
from convlstm.utils.data.synthetic.fluids import Fire
from convlstm.utils.data.synthetic.scenes import Scene, still_scene

Boxes = list[NDArray[np.float64]]
_BORDER = 6  # pixels of white around the photograph
_TRIES = 200


def fire_video(
    rng: np.random.Generator, num_frames: int, size: tuple[int, int], camera: Camera | None = None
) -> tuple[list[UInt8Array], Boxes]:
    """Frames (H, W, 3) of a fire, and its box in each, as a detector would give it."""
    camera = camera or Camera.perfect(num_frames, size)
    scene = still_scene(rng, _with_margin(size))
    fire, _ = _fire_of_middle_size(rng, scene)
    boxes: Boxes = []

    def scenes() -> list[Float32Array]:
        pictures = []
        for index, time in enumerate(camera.times):
            picture = scene.background.copy()
            box = _around(fire.draw(picture, float(time)))
            boxes.append(_in_view(box, camera, index))
            pictures.append(np.clip(picture, 0, 1))
        return pictures

    return camera.record(rng, iter(scenes())), _found(rng, boxes)


def photo_video(
    rng: np.random.Generator, num_frames: int, size: tuple[int, int], camera: Camera | None = None, *, is_held: bool
) -> tuple[list[UInt8Array], Boxes]:
    """Frames of a photograph of a fire, pinned up or held in a hand, which trembles, drifts, turns and tilts it."""
    camera = camera or Camera.perfect(num_frames, size)
    scene = still_scene(rng, _with_margin(size))
    photo, box = _photograph(rng, _with_margin(size))
    places = _hand(rng, num_frames, photo.shape[:2], scene.size) if is_held else None
    if places is None:
        places = [_at(photo.shape[:2], np.array(scene.size[::-1]) / 2)] * num_frames
    corners = np.array([[[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]]])
    boxes: Boxes = []

    def scenes() -> list[Float32Array]:
        pictures = []
        for index, time in enumerate(camera.times):
            place, width_height = places[int(time)], scene.size[::-1]
            cover = cv2.warpPerspective(np.ones(photo.shape[:2], np.float32), place, width_height)[..., None]
            picture = scene.background * (1 - cover) + cv2.warpPerspective(photo, place, width_height) * cover
            moved = cv2.perspectiveTransform(corners, place)[0]
            boxes.append(_in_view(np.array([*moved.min(axis=0), *moved.max(axis=0)]), camera, index))
            pictures.append(np.clip(picture, 0, 1).astype(np.float32))
        return pictures

    return camera.record(rng, iter(scenes())), _found(rng, boxes)


def _with_margin(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] + 2 * MARGIN, size[1] + 2 * MARGIN


def _fire_of_middle_size(rng: np.random.Generator, scene: Scene) -> tuple[Fire, NDArray[np.float64]]:
    """A fire that is a tenth to a half of the frame, wholly in view, without smoke and sparks; and its box."""
    for _ in range(_TRIES):
        fire = Fire(rng, scene)
        fire.smoke = fire.sparks = None
        mask = np.zeros(scene.size, dtype=np.bool_)
        for time in (0, 10, 20):
            mask |= fire.draw(scene.background.copy(), time)
        if mask.sum() < 200:
            continue
        box = _around(mask)
        share = max(box[2] - box[0], box[3] - box[1]) / min(scene.size)
        if 0.1 < share < 0.5 and box[:2].min() > 2:
            return fire, box
    raise AssertionError(f"no fire of middle size in {_TRIES} tries")


def _around(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=np.float64)


def _in_view(box: NDArray[np.float64], camera: Camera, index: int) -> NDArray[np.float64]:
    return np.asarray(box - MARGIN + np.tile(camera.shifts[index], 2), dtype=np.float64)


def _found(rng: np.random.Generator, boxes: Boxes) -> Boxes:
    """Boxes as detectors give them: their sides tremble by some percent."""
    sizes = [np.tile(box[2:] - box[:2], 2) for box in boxes]
    return [box + rng.normal(0, 0.04, 4) * size for box, size in zip(boxes, sizes, strict=True)]


def _photograph(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Float32Array, NDArray[np.float64]]:
    """A print (h, w, 3) with a white border, and the box of the fire on it."""
    scene = still_scene(rng, size)
    fire, box = _fire_of_middle_size(rng, scene)
    picture = scene.background.copy()
    fire.draw(picture, float(rng.uniform(0, 50)))
    margin = rng.uniform(0.15, 0.6) * (box[2:] - box[:2])
    left, top = np.maximum(box[:2] - margin, 0).astype(int)
    right, bottom = np.minimum(box[2:] + margin, size[::-1]).astype(int)
    sides = (_BORDER,) * 4
    part = np.clip(picture[top:bottom, left:right], 0, 1)
    paper = cv2.copyMakeBorder(part, *sides, cv2.BORDER_CONSTANT, value=(0.9, 0.9, 0.88))
    return np.asarray(paper, dtype=np.float32), box - np.array([left, top, left, top]) + _BORDER


def _hand(
    rng: np.random.Generator, num_frames: int, photo: tuple[int, int], size: tuple[int, int]
) -> list[NDArray[np.float64]]:
    """Where the photograph is held: homographies (3, 3) from its pixels to the scene's."""
    tremor = _walk(rng, num_frames, rng.uniform(0.8, 3), rng.uniform(0.8, 3.0))
    drift = np.cumsum(_walk(rng, num_frames, 15, rng.uniform(0.5, 2.0)), axis=0)
    turn = _walk(rng, num_frames, 6, np.deg2rad(rng.uniform(0.3, 2)))[:, 0]
    zoom = 1 + _walk(rng, num_frames, 12, rng.uniform(0.005, 0.03))[:, 0]
    tilt = _walk(rng, num_frames, 8, rng.uniform(0, 2e-4))
    middle = rng.uniform(0.3, 0.7, 2) * size[::-1]
    places = []
    for i in range(num_frames):
        cosine, sine = np.cos(turn[i]) * zoom[i], np.sin(turn[i]) * zoom[i]
        turned = np.array([[cosine, -sine, 0], [sine, cosine, 0], [*tilt[i], 1]])
        shift = np.array([[1, 0, -photo[1] / 2], [0, 1, -photo[0] / 2], [0, 0, 1.0]])
        there = np.eye(3)
        there[:2, 2] = middle + tremor[i] + drift[i] - drift[0]
        places.append(there @ turned @ shift)
    return places


def _at(photo: tuple[int, int], middle: NDArray[np.float64]) -> NDArray[np.float64]:
    place = np.eye(3)
    place[:2, 2] = middle - np.array(photo[::-1]) / 2
    return place


def _walk(rng: np.random.Generator, num_frames: int, smoothness: float, amplitude: float) -> NDArray[np.float64]:
    """Two smooth random walks (N, 2) of that standard deviation."""
    walk = cv2.GaussianBlur(rng.standard_normal((num_frames + 60, 2)), (1, 0), sigmaX=0.1, sigmaY=smoothness)[30:-30]
    return np.asarray(walk * amplitude / max(float(walk.std()), 1e-9))
