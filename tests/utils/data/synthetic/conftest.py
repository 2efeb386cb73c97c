"""Small scenes, actors in front of a camera that adds nothing, and sequences."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic import SyntheticSequence, synthesize_sequence
from convlstm.utils.data.synthetic.actors import Actor
from convlstm.utils.data.synthetic.camera import Camera
from convlstm.utils.data.synthetic.scenes import BoolArray, Photos, Scene, still_scene

Performance = tuple[list[Float32Array], list[BoolArray]]


@pytest.fixture(scope="session")
def flat_scene() -> Callable[..., Scene]:
    """`flat_scene(level=0.5, size=(108, 124), ambient=0.8)`: all pixels alike, nothing in front."""

    def make(level: float = 0.5, size: tuple[int, int] = (108, 124), ambient: float = 0.8) -> Scene:
        return Scene(np.full((*size, 3), level, dtype=np.float32), ambient)

    return make


@pytest.fixture(scope="session")
def rich_scene() -> Scene:
    """A painted scene (108, 124) with much detail, nothing in front."""
    scene = still_scene(np.random.default_rng(5), (108, 124))
    return Scene(scene.background, scene.ambient)


@pytest.fixture(scope="session")
def perform() -> Callable[..., Performance]:
    """`perform(actor, scene, times)`: pictures float32 (H, W, 3) and masks bool (H, W) of an actor in a scene."""

    def draw(actor: Actor, scene: Scene, times: Sequence[float]) -> Performance:
        pictures = [scene.background.copy() for _ in times]
        masks = [actor.draw(picture, time) for picture, time in zip(pictures, times, strict=True)]
        return pictures, masks

    return draw


@pytest.fixture(scope="session")
def make() -> Callable[..., SyntheticSequence]:
    """`make(kind, seed, num_frames=4, size=(96, 96), is_perfect=False, ...)`: a sequence, others as they are asked."""

    def synthesize(
        kind: str,
        seed: int,
        *,
        num_frames: int = 4,
        size: tuple[int, int] = (96, 96),
        is_perfect: bool = False,
        camera: Camera | None = None,
        severity: float = 1.0,
        photos: Photos = (),
    ) -> SyntheticSequence:
        camera = Camera.perfect(num_frames, size) if is_perfect else camera
        return synthesize_sequence(
            kind,
            num_frames=num_frames,
            size=size,
            rng=np.random.default_rng(seed),
            severity=severity,
            camera=camera,
            photos=photos,
        )

    return synthesize
