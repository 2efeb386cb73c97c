"""Fire, smoke and water: masks, where the light goes, and which way things drift."""

from collections.abc import Callable

import numpy as np
import pytest

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.fluids import Fire, Flames, Smoke, Sparks, Water
from convlstm.utils.data.synthetic.scenes import BoolArray, Scene

Perform = Callable[..., tuple[list[Float32Array], list[BoolArray]]]


def outside_of(flames: Flames, size: tuple[int, int]) -> BoolArray:
    outside = np.ones(size, dtype=np.bool_)
    top, left = max(0, flames.top), max(0, flames.left)
    outside[top : flames.top + flames.height, left : flames.left + flames.width] = False
    return outside


@pytest.mark.parametrize("seed", range(6))
def test_around_flames_there_is_only_light(seed: int, flat_scene: Callable[..., Scene], perform: Perform) -> None:
    """Twice as bright a wall shines twice as bright, and a black one stays black: no picture is painted there."""
    dim, bright, black = flat_scene(0.2), flat_scene(0.4), flat_scene(0.0)
    flames = Flames(np.random.default_rng(seed), dim)
    outside = outside_of(flames, dim.size)
    (one,), (mask,) = perform(flames, dim, [3.0])
    (two,), _ = perform(flames, bright, [3.0])
    (none,), _ = perform(flames, black, [3.0])
    np.testing.assert_allclose(two[outside], 2 * one[outside], rtol=1e-5)
    assert not none[outside].any()
    assert np.all(one[outside] >= 0.2 - 1e-6)
    assert not mask[outside].any() and mask.any()


def test_flames_stand_on_their_base_and_flicker(flat_scene: Callable[..., Scene], perform: Perform) -> None:
    scene = flat_scene(size=(160, 160))
    flames = Flames(np.random.default_rng(1), scene)
    flames.move_to(50, 120)
    pictures, masks = perform(flames, scene, range(12))
    lowest = [int(np.nonzero(mask.any(axis=1))[0].max()) for mask in masks]
    tops = [int(np.nonzero(mask.any(axis=1))[0].min()) for mask in masks]
    assert 112 <= min(lowest) <= max(lowest) < 120
    assert max(lowest) - min(lowest) <= max(tops) - min(tops)
    assert len({mask.sum() for mask in masks}) > 8
    middle = np.mean(next(picture[mask] for picture, mask in zip(pictures, masks, strict=True)), axis=0)
    assert middle[0] > middle[1] > middle[2]  # red before green before blue


def test_flames_beyond_the_edge_do_no_harm(flat_scene: Callable[..., Scene], perform: Perform) -> None:
    scene = flat_scene()
    flames = Flames(np.random.default_rng(1), scene)
    for left, base in ((-500, 50), (500, 50), (50, -500), (50, 900)):
        flames.move_to(left, base)
        assert not perform(flames, scene, [1.0])[1][0].any()


def test_the_height_of_flames_is_limited(flat_scene: Callable[..., Scene]) -> None:
    scene = flat_scene(size=(320, 320))
    heights = [Flames(np.random.default_rng(seed), scene).height for seed in range(30)]
    assert 14 <= min(heights) < 22 and 130 < max(heights) <= 0.7 * 320
    limited = [Flames(np.random.default_rng(seed), scene, highest=30.0).height for seed in range(20)]
    assert max(limited) <= 30


def test_fires_differ_in_flames_smoke_and_sparks(flat_scene: Callable[..., Scene], perform: Perform) -> None:
    scene = flat_scene()
    fires = [Fire(np.random.default_rng(seed), scene) for seed in range(50)]
    assert {len(fire.flames) for fire in fires} == {1, 2, 3, 5}
    assert 5 <= sum(fire.smoke is not None for fire in fires) <= 22
    assert 6 <= sum(fire.sparks is not None for fire in fires) <= 26
    for fire in fires[:8]:
        _, [whole] = perform(fire, scene, [2.0])
        parts = [*fire.flames, *(part for part in (fire.smoke, fire.sparks) if part is not None)]
        for part in parts[-2:]:
            if not isinstance(part, Smoke):  # smoke is masked by what it hides, and flames hide it in turn
                assert not np.any(perform(part, scene, [2.0])[1][0] & ~whole)


def test_sparks_fly_up_from_the_fire(flat_scene: Callable[..., Scene], perform: Perform) -> None:
    scene = flat_scene(size=(200, 200))
    flames = Flames(np.random.default_rng(3), scene)
    flames.move_to(80, 190)
    sparks = Sparks(np.random.default_rng(4), flames)
    pictures, masks = perform(sparks, scene, np.arange(0, 60, 1.0))
    seen = np.argwhere(np.any(masks, axis=0))
    assert seen[:, 0].max() <= sparks.source[1] + 4 and seen[:, 0].min() < sparks.source[1] - 20
    for picture, mask in zip(pictures, masks, strict=True):
        np.testing.assert_array_equal(picture[~mask], scene.background[~mask])
    ages = (7.0 - sparks.births) % sparks.life
    ahead = np.argmin(ages)  # the youngest spark, three frames on, is higher by three times its pace
    assert (10.0 - sparks.births[ahead]) % sparks.life[ahead] == pytest.approx(ages[ahead] + 3)


@pytest.mark.parametrize("seed", range(5))
def test_what_smoke_does_outside_of_its_mask_is_hardly_visible(seed: int, rich_scene: Scene, perform: Perform) -> None:
    smoke = Smoke(np.random.default_rng(seed), rich_scene)
    pictures, masks = perform(smoke, rich_scene, [20.0, 20.0 + Smoke.LOOKBACK])
    still = ~(masks[0] | masks[1])
    assert np.abs(pictures[1] - pictures[0]).max(axis=2)[still].max() < 0.1
    assert np.abs(pictures[1] - pictures[0]).max(axis=2)[still].mean() < 0.01


def test_smoke_hides_and_never_adds_light(flat_scene: Callable[..., Scene], perform: Perform) -> None:
    """Each pixel lies between the wall and the smoke's own grey."""
    for seed in range(6):
        scene = flat_scene(0.5)
        smoke = Smoke(np.random.default_rng(seed), scene)
        (picture,), _ = perform(smoke, scene, [15.0])
        low, high = np.minimum(smoke.colour, 0.5), np.maximum(smoke.colour, 0.5)
        assert np.all(picture >= low - 1e-5) and np.all(picture <= high + 1e-5)
        assert np.abs(picture - 0.5).max() > 0.2 * np.abs(smoke.colour - 0.5).max()


def test_smoke_rises(flat_scene: Callable[..., Scene], perform: Perform) -> None:
    scene = flat_scene(0.9, size=(160, 160))
    rising = 0
    for seed in range(8):
        smoke = Smoke(np.random.default_rng(seed), scene)
        (picture,), _ = perform(smoke, scene, [60.0])
        rows = np.abs(picture - 0.9).sum(axis=(1, 2))
        rising += bool((rows * np.arange(160)).sum() / rows.sum() < 2 * smoke.source[1])
    assert rising == 8


def test_water_stays_in_its_basin_and_ripples_everywhere(rich_scene: Scene, perform: Perform) -> None:
    for seed in range(6):
        water = Water(np.random.default_rng(seed), rich_scene)
        pictures, masks = perform(water, rich_scene, range(0, 40, 4))
        assert all(np.array_equal(mask, masks[0]) for mask in masks)
        deep = water.cover > 0.99
        swing = np.ptp(np.stack(pictures), axis=0).max(axis=2)
        assert (swing[deep] > 2 / 255).mean() > 0.9
        assert not swing[~masks[0]].max(initial=0) > 1 / 255


def test_basins_are_shores_and_patches(flat_scene: Callable[..., Scene]) -> None:
    covers = [Water(np.random.default_rng(seed), flat_scene()).cover for seed in range(30)]
    shores = sum(bool((cover[-1] > 0.5).all()) for cover in covers)
    assert 6 <= shores <= 24
    assert all(cover.min() >= 0 and cover.max() <= 1 for cover in covers)
