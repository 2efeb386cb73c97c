"""What holds for everything that moves: it depends on the moment alone, and changes what it says it changes."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.actors import ACTORS
from convlstm.utils.data.synthetic.scenes import BoolArray, Scene, still_scene

Perform = Callable[..., tuple[list[Float32Array], list[BoolArray]]]
SIDES = st.integers(64, 140)

LARGEST_CHANGE_OUTSIDE = {"moving": 1, "water": 1, "foliage": 14, "smoke": 14}
"""Grey levels from one frame to the next; fire lights up what is around, and so do lamps among the screens."""


def change(before: Float32Array, after: Float32Array) -> Float32Array:
    """Largest change of each pixel's channels, in grey levels."""
    return np.asarray(255 * np.abs(before.clip(0, 1) - after.clip(0, 1)).max(axis=2), dtype=np.float32)


@settings(max_examples=20)
@given(st.sampled_from(sorted(ACTORS)), st.integers(0, 2**32 - 1), SIDES, SIDES, st.floats(0, 80))
def test_a_moment_looks_the_same_whenever_it_is_drawn(
    kind: str, seed: int, height: int, width: int, time: float
) -> None:
    scene = still_scene(np.random.default_rng(seed), (height, width))
    first, second = (ACTORS[kind](np.random.default_rng(seed), scene) for _ in range(2))
    picture, again = scene.background.copy(), scene.background.copy()
    mask = first.draw(picture, time)
    second.draw(scene.background.copy(), time + 7.3)
    np.testing.assert_array_equal(mask, second.draw(again, time))
    np.testing.assert_array_equal(picture, again)
    assert mask.shape == (height, width) and mask.dtype == np.bool_
    assert picture.shape == (height, width, 3) and picture.dtype == np.float32
    assert np.isfinite(picture).all()


@pytest.mark.parametrize("is_flat", [True, False])
@pytest.mark.parametrize("kind", sorted(LARGEST_CHANGE_OUTSIDE))
def test_outside_of_the_masks_nothing_changes(
    kind: str, is_flat: bool, flat_scene: Callable[..., Scene], rich_scene: Scene, perform: Perform
) -> None:
    scene = flat_scene() if is_flat else rich_scene
    for seed in range(12):
        pictures, masks = perform(ACTORS[kind](np.random.default_rng(seed), scene), scene, range(10, 15))
        for index in range(1, 5):
            still = ~(masks[index] | masks[index - 1])
            assert change(pictures[index - 1], pictures[index])[still].max(initial=0) <= LARGEST_CHANGE_OUTSIDE[kind]


@pytest.mark.parametrize("kind", sorted(ACTORS))
def test_inside_of_the_masks_something_changes(kind: str, rich_scene: Scene, perform: Perform) -> None:
    changes = []
    for seed in range(12):
        actor = ACTORS[kind](np.random.default_rng(seed), rich_scene)
        pictures, masks = perform(actor, rich_scene, [10.0, 19.0])
        changes.append(float(change(*pictures)[masks[0] | masks[1]].max(initial=0)))
    assert np.median(changes) > 25
    assert sum(value > 4 for value in changes) >= 10


@pytest.mark.parametrize("kind", sorted(ACTORS))
def test_actors_differ_and_are_seen_all_over_the_frame(kind: str, rich_scene: Scene, perform: Perform) -> None:
    covered = np.zeros(rich_scene.size)
    masks: list[BoolArray] = []
    for seed in range(40):
        masks += perform(ACTORS[kind](np.random.default_rng(seed), rich_scene), rich_scene, [5.0])[1]
        covered += masks[-1]
    assert all(not np.array_equal(one, other) for one, other in itertools.pairwise(masks) if one.any())
    quarters = _quarters(covered > 0)
    assert min(quarters) > 0.1


def _quarters(covered: BoolArray) -> Sequence[float]:
    height, width = covered.shape
    return [
        float(covered[rows, columns].mean())
        for rows in (slice(0, height // 2), slice(height // 2, height))
        for columns in (slice(0, width // 2), slice(width // 2, width))
    ]
