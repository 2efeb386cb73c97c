"""What moves on its place: foliage comes back, screens hold their pictures, lamps blink."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.scenes import BoolArray, Scene
from convlstm.utils.data.synthetic.swaying import Foliage, Screen

Perform = Callable[..., tuple[list[Float32Array], list[BoolArray]]]


@pytest.mark.parametrize("seed", range(8))
def test_foliage_sways_around_its_place(seed: int, rich_scene: Scene, perform: Perform) -> None:
    foliage = Foliage(np.random.default_rng(seed), rich_scene)
    _, masks = perform(foliage, rich_scene, np.linspace(0, 60, 25))
    reach = 2 * int(np.ceil(1.5 * foliage.reach.max())) + 3
    around = cv2.dilate((foliage.cover > 0.03).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    assert all(not np.any(mask & ~around) for mask in masks)
    assert all(np.all(mask[foliage.cover > 0.05]) for mask in masks)  # where it hangs at rest is always in


def test_foliage_sways_no_further_than_five_pixels(rich_scene: Scene) -> None:
    reaches = [Foliage(np.random.default_rng(seed), rich_scene).reach.max() for seed in range(40)]
    assert 1 <= min(reaches) < 2 and 4 < max(reaches) <= 5


def test_some_foliage_hangs_in_rectangles(rich_scene: Scene) -> None:
    covers = [Foliage(np.random.default_rng(seed), rich_scene).cover for seed in range(40)]
    cloths = [cover for cover in covers if set(np.unique(cover)) <= {0.0, 1.0}]
    assert 8 <= len(cloths) <= 26
    assert all(cover.min() >= 0 and cover.max() <= 1 for cover in covers)


def screens(scene: Scene, *, is_lamp: bool) -> list[Screen]:
    made = [Screen(np.random.default_rng(seed), scene) for seed in range(60)]
    found = [screen for screen in made if screen.is_lamp == is_lamp]
    assert 15 <= len(found) <= 45
    return found


def test_screens_hold_each_picture_for_some_frames(rich_scene: Scene, perform: Perform) -> None:
    for screen in [s for s in screens(rich_scene, is_lamp=False) if not s.is_scrolling][:5]:
        times = np.arange(30.0)
        pictures, masks = perform(screen, rich_scene, times)
        for index in range(1, 30):
            turned = int(times[index] / screen.hold) != int(times[index - 1] / screen.hold)
            assert np.array_equal(pictures[index], pictures[index - 1]) != turned
        assert 2 <= screen.hold <= 9
        assert all(np.array_equal(mask, masks[0]) for mask in masks)
        assert masks[0].sum() == screen.size[0] * screen.size[1]
        np.testing.assert_array_equal(pictures[7][~masks[0]], rich_scene.background[~masks[0]])


def test_scrolling_screens_move_their_picture_along(rich_scene: Scene, perform: Perform) -> None:
    for screen in [s for s in screens(rich_scene, is_lamp=False) if s.is_scrolling][:5]:
        (before, after), (mask, _) = perform(screen, rich_scene, [0.0, 10.0])
        region = np.ix_(mask.any(axis=1), mask.any(axis=0))
        np.testing.assert_array_equal(after[region], np.roll(before[region], int(10 * screen.shift), axis=1))


def test_lamps_blink_and_only_add_light(rich_scene: Scene, perform: Perform) -> None:
    for lamp in screens(rich_scene, is_lamp=True)[:6]:
        times = np.arange(30.0)
        pictures, masks = perform(lamp, rich_scene, times)
        for time, picture in zip(times, pictures, strict=True):
            is_on = int(time / lamp.hold) % 2 == 1
            assert np.array_equal(picture, rich_scene.background) != is_on
            assert np.all(picture >= rich_scene.background)
        assert any(not np.array_equal(picture, pictures[0]) for picture in pictures)
        assert all(np.array_equal(mask, masks[0]) and mask.any() for mask in masks)
        light = np.abs(np.stack(pictures) - pictures[0]).max(axis=(0, 3))
        assert light[masks[0]].sum() > 0.6 * light.sum()  # the rest is its halo
