"""Random changes of whole sequences: masks stay aligned, black stays black, what is still stays still."""

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convlstm.config import AugmentConfig
from convlstm.config.toolkits import CHANGES
from convlstm.toolkits.frame_changes import (
    MOST_DEGREES,
    Change,
    Painter,
    between,
    draw_change,
    kept_share,
    placing_matrix,
    without_geometry,
)
from convlstm.types import UInt8Array
from convlstm.utils.data.augment import CROP_SIDE, draw_changes
from convlstm.utils.data.augment_geometry import Box
from convlstm.utils.data.augment_pixels import BLACK_LEVEL, Look

SIZE = (48, 72)
ANY_SEED = st.integers(0, 1 << 56)
NAMES = [f"aug_{name}" for name in CHANGES if name != "rotation"]


def only(*names: str) -> AugmentConfig:
    return AugmentConfig(**dict[str, Any]({name: float(name in names) for name in NAMES}))


ALL = only(*NAMES)


def draw(
    config: AugmentConfig, seed: int = 0, *, rotation: float = 0.0, num_frames: int = 12, looks: int = 1
) -> Change:
    return draw_change(config, seed, rotation=rotation, num_frames=num_frames, size=SIZE, num_looks=looks)


def picture(seed: int = 0) -> UInt8Array:
    coarse = np.random.default_rng(seed).integers(40, 220, (6, 9, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def test_the_draw_is_that_of_training() -> None:
    for seed in range(20):
        ours, training = draw(ALL, seed), draw_changes(ALL, seed, 12, SIZE)
        assert ours.box == training.box and ours.looks == (training.look,)
        assert ours.flipped_axes == tuple(dim - 1 for dim in training.flipped_dims)
        shown = np.arange(12)[::-1] if ours.is_reversed else np.arange(12)
        last = 0
        for place in range(12):
            last = last if ours.is_lost[place] else place
            assert shown[last] == training.shown[place]


def test_nothing_asked_for_nothing_changed() -> None:
    change = draw(only())
    assert change.changes_nothing and change.describe() == ""
    np.testing.assert_array_equal(change.place(picture()), picture())
    np.testing.assert_array_equal(Painter(change, picture()).paint(picture(), 3, 0.5), picture())


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_asked_for_changes_something(name: str) -> None:
    assert not draw(only(name), num_frames=40).changes_nothing


def test_flips_are_exact() -> None:
    np.testing.assert_array_equal(draw(only("aug_flip")).place(picture()), picture()[:, ::-1])
    np.testing.assert_array_equal(draw(only("aug_flip_vertical")).place(picture()), picture()[::-1])


def test_a_crop_is_that_part_enlarged() -> None:
    box = Box(top=6, left=12, height=30, width=40)
    matrix = placing_matrix(SIZE, box, 0.0)
    assert matrix is not None
    part = picture()[6:36, 12:52]
    expected = cv2.resize(part, SIZE[::-1], interpolation=cv2.INTER_LINEAR).astype(int)
    placed = replace(draw(only()), matrix=matrix).place(picture()).astype(int)
    assert np.abs(placed - expected)[2:-2, 2:-2].max() <= 3
    whole = placing_matrix(SIZE, Box(0, 0, *SIZE), 0.0)
    assert whole is not None
    np.testing.assert_allclose(whole, [[1, 0, 0], [0, 1, 0]], atol=1e-12)


@given(degrees=st.floats(-MOST_DEGREES, MOST_DEGREES), height=st.integers(8, 400), width=st.integers(8, 400))
def test_a_rotated_frame_is_full_and_turned_by_that_angle(degrees: float, height: int, width: int) -> None:
    matrix = placing_matrix((height, width), None, degrees)
    if degrees == 0:
        assert matrix is None
        return
    assert matrix is not None
    x, y = np.meshgrid([-0.5, width - 0.5], [-0.5, height - 0.5])
    corners = matrix[:, :2] @ np.stack([x.ravel(), y.ravel()]) + matrix[:, 2:]
    assert corners.min() > -0.5 - 1e-6
    assert corners[0].max() < width - 0.5 + 1e-6 and corners[1].max() < height - 0.5 + 1e-6
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    np.testing.assert_allclose(matrix[:, :2] @ middle + matrix[:, 2], middle, atol=1e-6)
    assert math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])) == pytest.approx(degrees, abs=1e-6)
    touched = min(*np.abs(corners + 0.5).min(axis=1), width - 0.5 - corners[0].max(), height - 0.5 - corners[1].max())
    assert abs(touched) < 1e-6  # and no more is cut away than it takes


@settings(max_examples=25)
@example(seed=858_519_770_054, left=5, top=5)  # an edge in the middle of pixels
@given(seed=ANY_SEED, left=st.integers(5, 50), top=st.integers(5, 30))
def test_masks_follow_their_frames_to_the_pixel(seed: int, left: int, top: int) -> None:
    change = draw(only("aug_crop", "aug_flip", "aug_flip_vertical"), seed, rotation=0.7)
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[top : top + 12, left : left + 14] = 255
    frame = np.repeat(mask[..., None], 3, axis=2)
    placed, placed_mask = change.place(frame)[..., 0], change.place_mask(mask, SIZE)
    assert set(np.unique(placed_mask)) <= {0, 255}
    np.testing.assert_array_equal(placed_mask[placed == 255], 255)
    np.testing.assert_array_equal(placed_mask[placed == 0], 0)
    is_tie = np.abs(placed - 127.5) <= 255 / 32  # in the middle of a pixel, as a whole edge may lie, to OpenCV's 32nd
    wrong = ((placed_mask == 255) != (placed >= 128)) & ~is_tie
    assert wrong.sum() <= 0.15 * max(1, ((placed > 0) & (placed < 255)).sum())  # corners, where two edges share a pixel


def test_masks_of_another_size_or_grey_become_the_frames(seed: int = 3) -> None:
    change = draw(only("aug_crop"), seed)
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[8:24, 16:40] = 1
    small = mask[::2, ::2]
    np.testing.assert_array_equal(change.place_mask(small, SIZE), change.place_mask(mask * 7, SIZE))


@settings(max_examples=15)
@given(seed=ANY_SEED, looks=st.integers(1, 4), data=st.data())
def test_black_stays_black(seed: int, looks: int, data: st.DataObject) -> None:
    change = draw(ALL, seed, looks=looks)
    frame = picture()
    frame[:, 20:45] = data.draw(st.integers(0, BLACK_LEVEL))
    share = data.draw(st.floats(0, 1))
    painted = Painter(change, frame).paint(frame, 5, share)
    np.testing.assert_array_equal(painted[:, 20:45], frame[:, 20:45])
    assert not np.array_equal(painted, frame)


def test_equal_frames_stay_equal_but_for_noise() -> None:
    for seed in range(10):
        quiet = Painter(draw(replace(ALL, aug_noise=0.0), seed), picture())
        np.testing.assert_array_equal(quiet.paint(picture(), 1, 0.1), quiet.paint(picture(), 9, 0.8))
        noisy = Painter(draw(only("aug_noise"), seed), picture())
        first, second = noisy.paint(picture(), 1, 0.1), noisy.paint(picture(), 2, 0.1)
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(first, noisy.paint(picture(), 1, 0.1))
        deviation = noisy.change.looks[0].noise_deviation
        assert (first.astype(int) - picture()).std() == pytest.approx(deviation, rel=0.15)


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (Look(gain=1.3), lambda p: p * 1.3),
        (Look(contrast=0.8), lambda p: 0.8 * p + 0.2 * picture()[::8, ::8].mean()),
        (Look(channel_gains=(1.1, 1.0, 0.9)), lambda p: p * [1.1, 1.0, 0.9]),
        (Look(saturation=0.0), lambda p: np.repeat((p @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)),
    ],
)
def test_light_and_colour(look: Look, expected: Any) -> None:
    painted = Painter(replace(draw(only()), looks=(look,)), picture()).paint(picture(), 0, 0.0)
    np.testing.assert_allclose(painted, np.clip(expected(picture().astype(float)), 0, 255), atol=0.6)


def test_compression_keeps_red_and_blue_apart() -> None:
    frame = np.zeros((*SIZE, 3), dtype=np.uint8)
    frame[:, :32], frame[:, 32:] = (220, 40, 30), (30, 40, 220)
    painted = Painter(replace(draw(only()), looks=(Look(jpeg_quality=60),)), frame).paint(frame, 0, 0.0)
    assert np.abs(painted.astype(int) - frame)[:, [8, 60]].max() < 12
    assert not np.array_equal(painted, frame)


def test_a_look_that_varies_goes_from_one_to_the_next() -> None:
    looks = (Look(gain=0.8, jpeg_quality=20), Look(gain=1.25, jpeg_quality=60), Look(gain=1.0, jpeg_quality=40))
    change = replace(draw(only()), looks=looks)
    assert [change.look_at(share) for share in (0.0, 0.5, 1.0, -1.0, 2.0)] == [looks[i] for i in (0, 1, 2, 0, 2)]
    middle = change.look_at(0.25)
    assert middle.gain == pytest.approx(1.0) and middle.jpeg_quality == 40
    gains = np.array([change.look_at(share).gain for share in np.linspace(0, 1, 400)])
    assert np.abs(np.diff(gains)).max() < 0.01 and gains.min() >= 0.8 - 1e-9 and gains.max() <= 1.25 + 1e-9


@settings(max_examples=15)
@given(seed=ANY_SEED, share=st.floats(0, 1))
def test_what_does_not_happen_does_not_begin_to(seed: int, share: float) -> None:
    names = ("aug_brightness", "aug_noise", "aug_compression")
    change = draw(only(*names), seed, looks=5)
    assert len(change.looks) == 5 and len({look.gain for look in change.looks}) == 5
    look = change.look_at(share)
    assert (look.contrast, look.saturation, look.channel_gains, look.blur_sigma) == (1, 1, (1, 1, 1), 0)
    assert look.gain != 1 and look.noise_deviation >= 1 and look.jpeg_quality is not None


@settings(max_examples=25)
@given(share=st.floats(0, 1), seeds=st.tuples(ANY_SEED, ANY_SEED))
def test_between_two_looks_every_part_lies_between(share: float, seeds: tuple[int, int]) -> None:
    first, second = (draw(ALL, seed).looks[0] for seed in seeds)
    look = between(first, second, share)
    for name in ("gain", "contrast", "saturation", "blur_sigma", "noise_deviation", "jpeg_quality"):
        low, high = sorted((getattr(first, name), getattr(second, name)))
        assert low - 1e-9 <= getattr(look, name) <= high + 1e-9
    assert between(first, first, share) == replace(first, noise_seed=0)


def test_how_much_of_the_motion_a_crop_keeps() -> None:
    dynamic = np.zeros(SIZE, dtype=np.bool_)
    matrix = placing_matrix(SIZE, Box(0, 0, 24, 36), 0.0)
    assert matrix is not None and kept_share(matrix, dynamic) == 1.0
    dynamic[0:24, 30:42] = True
    assert kept_share(matrix, dynamic) == 0.5
    dynamic[:] = False
    dynamic[40, 60] = True
    assert kept_share(matrix, dynamic) == 0.0
    turned = placing_matrix(SIZE, None, 4.0)
    dynamic[:] = False
    dynamic[0, 0] = dynamic[24, 36] = True
    assert turned is not None and kept_share(turned, dynamic) == 0.5


def test_without_geometry_only_flips_stay() -> None:
    change = without_geometry(draw(ALL, 4, rotation=1.0))
    assert change.matrix is None and change.flipped_axes == (0, 1) and change.looks[0].gain != 1
    assert "rotation" not in change.describe() and "crop" not in change.describe()


def test_the_change_in_words() -> None:
    text = draw(ALL, 4, rotation=1.0, num_frames=40).describe()
    words = ("top-bottom", "left-right", "rotation", "crop", "brightness", "contrast", "saturation", "blur", "noise")
    assert [word for word in (*words, "JPEG", "reversed", "frames lost") if word not in text] == []
    assert " to " in draw(only("aug_brightness"), looks=3).describe()


def test_angles_and_crops_stay_within_their_limits() -> None:
    drawn = [draw(only("aug_crop"), seed, rotation=0.5) for seed in range(200)]
    turned = [change.degrees for change in drawn if change.degrees]
    assert 60 < len(turned) < 140 and max(map(abs, turned)) <= MOST_DEGREES and min(turned) < -4 and max(turned) > 4
    sides = [change.box.height / SIZE[0] for change in drawn if change.box is not None]
    assert len(sides) == 200 and min(sides) >= CROP_SIDE[0] - 0.01 and max(sides) <= 1
    assert len({change.noise_seed for change in drawn}) == 200
