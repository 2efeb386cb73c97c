from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.steady_crop import MAX_ZOOM, SteadyCrop

pytestmark = pytest.mark.pure

Pixels = NDArray[np.uint8]
SIDE = 128


def picture(seed: int, size: tuple[int, int], coarse: int) -> Pixels:
    """Blots with corners."""
    small = np.random.default_rng(seed).integers(20, 235, (size[0] // coarse, size[1] // coarse, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


PHOTO = picture(1, (80, 90), 8)
WALL = picture(2, (240, 320), 20)


def scene(shift: tuple[float, float], angle: float = 0.0, zoom: float = 1.0) -> tuple[Pixels, NDArray[np.float64]]:
    """The photo before the wall, its middle at (130, 110) plus `shift`, and its box."""
    matrix = cv2.getRotationMatrix2D((45, 40), angle, zoom) + np.array([[0, 0, 85 + shift[0]], [0, 0, 70 + shift[1]]])
    cover = cv2.warpAffine(np.ones(PHOTO.shape[:2], np.float32), matrix, (320, 240))[..., None]
    pixels = WALL * (1 - cover) + cv2.warpAffine(PHOTO, matrix, (320, 240)) * cover
    corners = np.array([[0, 0, 1], [90, 0, 1], [90, 80, 1], [0, 80, 1]]) @ matrix.T
    return pixels.astype(np.uint8), np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def middle(crop: Pixels) -> NDArray[np.float64]:
    return crop[40:88, 40:88].astype(float)


@pytest.mark.parametrize("path", ["tremor", "drift", "turn", "nearer"])
def test_what_moves_as_a_whole_stands_still_in_its_crop(path: str) -> None:
    crops, plain = [], []
    crop = None
    for i in range(20):
        shift = {"tremor": (4 * np.sin(2.0 * i), 3 * np.cos(1.3 * i)), "drift": (3.0 * i, -1.5 * i)}.get(path, (0, 0))
        pixels, box = scene(shift, angle=1.5 * i if path == "turn" else 0, zoom=1 + 0.015 * i * (path == "nearer"))
        crop = crop or SteadyCrop(box, SIDE, 1.5)
        jitter = np.random.default_rng(i).normal(0, 3, 4)
        crops.append(middle(crop.cut(pixels, box + jitter)))
        plain.append(pixels[86:134, 106:154].astype(float))
    moved = np.mean([np.abs(a - crops[0]).mean() for a in crops[1:]])
    as_it_was = np.mean([np.abs(a - plain[0]).mean() for a in plain[1:]])
    assert as_it_was > 12
    assert moved < 8


def test_errors_of_the_steps_do_not_add_up() -> None:
    pixels, box = scene((0, 0))
    crop = SteadyCrop(box, SIDE, 1.5)
    first = middle(crop.cut(pixels, box))
    moved = []
    for i in range(1, 61):
        pixels, box = scene((5 * np.sin(0.7 * i), 4 * np.cos(0.9 * i) - 4), angle=3 * np.sin(0.2 * i))
        moved.append(np.abs(middle(crop.cut(pixels, box)) - first).mean())
    assert np.mean(moved[-10:]) < 1.3


def test_noise_is_not_enlarged_with_the_picture() -> None:
    rng = np.random.default_rng(0)
    small = np.array([115.0, 95, 145, 125])  # a part of the photo, enlarged 2.8 times
    crop, crops = SteadyCrop(small, SIDE, 1.5), []
    for i in range(10):
        pixels = scene((1.5 * i, 0.5 * i))[0] + rng.normal(0, 12, (240, 320, 3))
        crops.append(middle(crop.cut(np.clip(pixels, 0, 255).astype(np.uint8), small + np.array([1.5, 0.5] * 2) * i)))
    assert np.mean([np.abs(a - b).mean() for a, b in pairwise(crops)]) < 5


def test_what_boils_in_place_is_not_smoothed_away() -> None:
    crop, crops = None, []
    for i in range(8):
        pixels = WALL.copy()
        pixels[70:150, 85:175] = picture(10 + i, (80, 90), 8)
        box = np.array([85.0, 70, 175, 150])
        crop = crop or SteadyCrop(box, SIDE, 1.5)
        crops.append(middle(crop.cut(pixels, box)))
    assert np.mean([np.abs(a - b).mean() for a, b in pairwise(crops)]) > 20


def test_a_step_too_large_to_see_is_taken_from_the_box() -> None:
    pixels, box = scene((0, 0))
    crop = SteadyCrop(box, SIDE, 1.5)
    first = middle(crop.cut(pixels, box))
    pixels, box = scene((90, 40))
    assert np.abs(middle(crop.cut(pixels, box)) - first).mean() < 6


def test_it_follows_without_the_detector() -> None:
    pixels, box = scene((0, 0))
    crop = SteadyCrop(box, SIDE, 1.5)
    first = middle(crop.cut(pixels, box))
    for i in range(1, 9):
        crop_now = crop.cut(scene((2.0 * i, 0))[0], None)
    unfollowed = SteadyCrop(box, SIDE, 1.5).cut(scene((16.0, 0))[0], box)
    assert np.abs(middle(unfollowed) - first).mean() > 12
    assert np.abs(middle(crop_now) - first).mean() < 8  # eight small errors; 6.2 with AVX2 alone


def test_a_flat_thing_stays_where_it_was() -> None:
    grey = np.full((240, 320, 3), 128, dtype=np.uint8)
    crop = SteadyCrop(np.array([100.0, 100, 150, 150]), SIDE, 1.5)
    before = crop.to_crop.copy()
    for _ in range(3):
        crop.cut(grey, np.array([100.0, 100, 150, 150]))
    np.testing.assert_array_equal(crop.to_crop, before)


def test_the_box_lies_in_the_middle_of_its_crop() -> None:
    box = np.array([100.0, 80, 160, 110])
    assert SteadyCrop(box, SIDE, 1.5).box_in_crop(box) == pytest.approx((1 / 6, 1 / 3, 5 / 6, 2 / 3))
    assert SteadyCrop(box, SIDE, 1.0).box_in_crop(box + np.array([-90, 0, 90, 0])) == pytest.approx((0, 0.25, 1, 0.75))


def test_small_boxes_are_enlarged_no_further_than_useful() -> None:
    crop = SteadyCrop(np.array([100.0, 100, 104, 104]), SIDE, 1.5)
    assert crop.to_crop[0, 0] == MAX_ZOOM
    assert crop.cut(WALL, None).shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize(
    ("change", "is_lost"),
    [((0, 0, 0, 0), False), ((9, 9, 9, 9), False), ((60, 0, 60, 0), True), ((-80, -80, 80, 80), True)],
)
def test_when_a_new_crop_is_needed(change: tuple[int, ...], is_lost: bool) -> None:
    box = np.array([100.0, 80, 180, 160])
    assert SteadyCrop(box, SIDE, 1.5).has_lost(box + np.array(change)) is is_lost


def test_a_large_frame_made_small_is_averaged() -> None:
    fine = np.zeros((1280, 1280, 3), dtype=np.uint8)
    fine[:, ::2] = 255  # stripes of a pixel: picked, they would come out black or white
    crop = SteadyCrop(np.array([100.0, 100, 1100, 1100]), SIDE, 1.0).cut(fine, None)
    assert abs(float(crop.mean()) - 127) < 10 and float(crop.std()) < 20


def test_what_is_around_the_box_is_painted_over_evenly() -> None:
    pixels, box = scene((0, 0))
    crop = SteadyCrop(box, SIDE, 1.5)
    first = crop.cut(pixels, box)
    assert (first[:12] == first[0, 0]).all() and (first[:, -7:] == first[0, 0]).all()
    assert first[40:88, 40:88].std() > 20
    changed = pixels.copy()
    changed[:40] = 255 - changed[:40]
    np.testing.assert_array_equal(crop.cut(changed, box)[:12], first[:12])
