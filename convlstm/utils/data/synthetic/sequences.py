"""Synthetic sequences with exact masks: what the demo and the tests learn from.

A still scene and a cast of actors are filmed by an imperfect camera. In a dynamic sequence time runs for the actors; in
a static one they stand still like a picture of themselves, and the camera suffers just the same. So neither how
something looks nor how bad the recording is tells the two apart: only motion does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from convlstm.errors import ConfigError
from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.actors import ACTORS, Actor
from convlstm.utils.data.synthetic.camera import MARGIN, NUISANCES, Camera
from convlstm.utils.data.synthetic.recordings import (
    MOVING,
    STILL,
    UNKNOWN,
    cut_recording,
    training_mask,
)
from convlstm.utils.data.synthetic.scenes import Photos, Scene, still_scene
from convlstm.utils.data.synthetic.textures import Size
from convlstm.utils.data.synthetic.things import Passing

DYNAMIC_KINDS = tuple(ACTORS)
"""Kinds in which something really happens, by what it is."""

PASSING = "passing"
"""Kind of an empty place that something crosses; made where it is named, so that the kinds above keep their turns."""

STATIC_KINDS = NUISANCES
"""Kinds in which nothing happens, by what the recording suffers from most."""

SMALLEST_SIDE = 64
"""Shortest side of a frame, in pixels, in which the actors have room."""

RECORDING = "recording"
"""Kind of sequences cut out of real recordings, in which something happens or not."""

SLIGHT_CHANGE = 3 / 255
"""Of full scale: what changes less cannot be told from a still scene in most recordings."""

SLIGHT_LAGS = (3, 9)
"""Frames before and after that a frame is compared with for it."""

AROUND_PIXELS = 49
"""Side of the square around what moves in which nobody knows of other changes: farther off, they are light."""

_MAX_AUDITIONS = 8
_ENOUGH_PIXELS = 60
_SEEN_CHANGE = 0.05  # of full scale
_SEEN_LAG = 5.0  # frames


@dataclass(frozen=True, repr=False)
class SyntheticSequence:
    """`frames` uint8 RGB (T, H, W, 3); `masks` uint8 (T, H, W), 255 where a pixel is really dynamic, else 0.

    Where nobody could tell, as at the thin edge of smoke, masks hold a grid of single pixels (`training_mask`).
    `is_dynamic`: whether something really happens in it.
    """

    frames: UInt8Array
    masks: UInt8Array
    kind: str
    is_dynamic: bool

    def __repr__(self) -> str:
        share = float((self.masks > 0).mean())
        return f"SyntheticSequence({self.kind}, frames={self.frames.shape}, dynamic share={share:.3f})"


def synthesize_sequence(
    kind: str,
    *,
    num_frames: int,
    size: tuple[int, int],
    rng: np.random.Generator,
    severity: float = 1.0,
    camera: Camera | None = None,
    photos: Photos = (),
    is_infrared: bool = False,
) -> SyntheticSequence:
    """Make one sequence of `num_frames` frames of `size` = (height, width).

    The same state of `rng` gives the same pixels. `severity` in [0, 1] scales how the recording is spoilt; `camera`
    takes the place of a random one; `photos` become the background of half of the scenes; `is_infrared` films them with
    an infrared camera. Raises ConfigError for an unknown kind, fewer than 2 frames, sides under SMALLEST_SIDE, or a
    severity out of range.
    """
    check_request(kind, num_frames, size, severity)
    large = size[0] + 2 * MARGIN, size[1] + 2 * MARGIN
    scene = still_scene(rng, large, photos)
    is_dynamic = kind in (*DYNAMIC_KINDS, PASSING)
    for _ in range(int(rng.integers(0, 3))):
        _stand_still(rng, scene)
    if camera is None:
        nuisance = str(rng.choice(NUISANCES)) if is_dynamic else kind
        camera = Camera.sample(rng, nuisance, num_frames, size, severity=severity)
    if is_infrared:
        camera = camera.as_infrared(rng.spawn(1)[0])  # the rest of it stays as it is
    times = camera.times
    if kind not in ("moving", PASSING):
        times = times * float(rng.choice([0.6, 1.0, 1.0, 1.8]))  # frame rates differ
    moments = times[np.linspace(0, num_frames - 1, 4).astype(int)].tolist()
    actors: list[Actor] = []
    if kind == PASSING:
        actors.append(Passing.sample(rng, scene, num_frames))
    elif is_dynamic:
        actors.append(_cast(rng, kind, scene, moments))
    if is_dynamic and kind != PASSING and rng.random() < 0.2:
        actors.append(_cast(rng, str(rng.choice(DYNAMIC_KINDS)), scene, moments))
    moments_shown, shown = np.unique(times, return_inverse=True)  # lost frames show the one before
    performance = [_perform(scene, actors, float(time)) for time in moments_shown]
    pictures = [picture for picture, _ in performance]
    masks = np.zeros((num_frames, *size), dtype=np.uint8)
    if actors:
        labels = _labels_in_view(camera, label_performance(scene, pictures, [mask for _, mask in performance])[shown])
        masks = np.stack([training_mask(frame) for frame in labels])
    return SyntheticSequence(
        np.stack(camera.record(rng, (pictures[place] for place in shown))), masks, kind, is_dynamic
    )


def film_recording(
    rng: np.random.Generator,
    paths: tuple[Path, ...],
    *,
    num_frames: int,
    size: Size,
    severity: float,
    is_infrared: bool = False,
) -> SyntheticSequence:
    """A stretch of a real recording, more than half of them spoilt like synthetic ones, or as infrared shows it.

    Its masks hold 255 where it does, and a grid of single pixels where nobody knows (`training_mask`).
    """
    recording = cut_recording(rng, paths, num_frames, (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN))
    camera = Camera.perfect(num_frames, size)
    if rng.random() < 0.6:
        camera = Camera.sample(rng, str(rng.choice(NUISANCES)), num_frames, size, severity=severity)
    if is_infrared:
        camera = camera.as_infrared(rng.spawn(1)[0])  # the rest of it stays as it is
    places = camera.times.astype(int)
    labels = _labels_in_view(camera, recording.labels[places])
    masks = np.stack([training_mask(frame) for frame in labels])
    is_dynamic = int((labels == MOVING).sum(axis=(1, 2)).max()) >= _ENOUGH_PIXELS
    frames = camera.record(rng, (recording.frames[place] for place in places))
    return SyntheticSequence(np.stack(frames), masks, RECORDING, is_dynamic)


def label_performance(scene: Scene, pictures: list[Float32Array], masks: list[Float32Array]) -> UInt8Array:
    """Labels (T, H, W) from the actors' masks: hard to see, and what changes beside it, is unknown."""
    empty = _grey(_perform(scene, [], 0.0)[0])
    greys = [_grey(picture) for picture in pictures]
    labels = np.empty((len(pictures), *scene.size), dtype=np.uint8)
    for index, (grey, mask) in enumerate(zip(greys, masks, strict=True)):
        change = np.zeros(scene.size, dtype=np.float32)
        for lag in SLIGHT_LAGS:
            for other in {max(0, index - lag), min(len(greys) - 1, index + lag)}:
                cv2.max(change, cv2.absdiff(grey, greys[other]), change)
        changes, differs = change > SLIGHT_CHANGE, cv2.absdiff(grey, empty) > SLIGHT_CHANGE
        moves = mask > 0
        around = cv2.dilate(moves.astype(np.uint8), np.ones((AROUND_PIXELS, AROUND_PIXELS), np.uint8)) > 0
        unknown = np.where(moves, ~(changes | differs), changes & around)  # farther off, it is light
        labels[index] = np.where(unknown, UNKNOWN, moves * MOVING)
    return labels


def _grey(picture: Float32Array) -> Float32Array:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _labels_in_view(camera: Camera, labels: UInt8Array) -> UInt8Array:
    """Labels (T, H, W) of labels (T, H + 2 MARGIN, W + 2 MARGIN) as the camera sees them."""
    seen = np.empty((len(labels), *camera.size), dtype=np.uint8)
    for index, scene_labels in enumerate(labels):
        moving, known = (camera.crop((scene_labels == label).astype(np.float32), index) for label in (MOVING, STILL))
        seen[index] = np.where(moving > 0.5, MOVING, np.where(known > 0.99, STILL, UNKNOWN))
    if camera.is_interlaced:  # odd rows show the frame before, at the place of this one
        seen[1:, 1::2] = np.maximum(seen[1:, 1::2], seen[:-1, 1::2])
    return seen


def check_request(kind: str, num_frames: int, size: tuple[int, int], severity: float) -> None:
    """Raise ConfigError for what `synthesize_sequence` cannot make."""
    known = (*DYNAMIC_KINDS, PASSING, *STATIC_KINDS)
    if kind not in known:
        raise ConfigError(f'unknown kind of sequence "{kind}": known are {", ".join(known)}')
    if num_frames < 2:
        raise ConfigError(f"num_frames must be at least 2, got {num_frames}: nothing moves in one frame")
    if min(size) < SMALLEST_SIDE:
        raise ConfigError(f"size must be at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, got {tuple(size)}")
    if not 0 <= severity <= 1:
        raise ConfigError(f"severity must lie between 0 and 1, got {severity}")


def _stand_still(rng: np.random.Generator, scene: Scene) -> None:
    """Draw the cast of a dynamic sequence into the background, at one moment."""
    kind = str(rng.choice(DYNAMIC_KINDS))
    moment = float(rng.uniform(0, 60))
    _cast(rng, kind, scene, [moment]).draw(scene.background, moment)


def _cast(rng: np.random.Generator, kind: str, scene: Scene, moments: Sequence[float]) -> Actor:
    """An actor that can be seen in this scene at all `moments`, as far as a few tries find one."""
    size = scene.size
    best, best_seen = None, -1
    for _ in range(_MAX_AUDITIONS):
        actor = ACTORS[kind](rng, scene)
        seen = min(_seen_pixels(scene, actor, moment) for moment in moments)
        if best is None or seen > best_seen:
            best, best_seen = actor, seen
        if seen >= max(_ENOUGH_PIXELS, size[0] * size[1] // 1000):
            break
    assert best is not None
    return best


def _seen_pixels(scene: Scene, actor: Actor, moment: float) -> int:
    """How many pixels change visibly around that moment."""
    before, now = (_perform(scene, [actor], time) for time in (moment, moment + _SEEN_LAG))
    change = cv2.absdiff(_grey(now[0]), _grey(before[0]))
    return int((now[1] * change > _SEEN_CHANGE).sum())


def _perform(scene: Scene, actors: Sequence[Actor], time: float) -> tuple[Float32Array, Float32Array]:
    """The scene at one moment (H, W, 3) and which of its pixels are dynamic, float32 (H, W), 0 or 1."""
    picture = scene.background.copy()
    mask = np.zeros(picture.shape[:2], dtype=np.bool_)
    for actor in actors:
        mask |= actor.draw(picture, time)
    if scene.foreground is not None:
        cover = scene.foreground[..., 3:]
        picture = scene.foreground[..., :3] + (1 - cover) * picture
        mask &= cover[..., 0] < 0.9
    return picture, mask.astype(np.float32)
