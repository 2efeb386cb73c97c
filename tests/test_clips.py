from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.clips import (
    consecutive_runs,
    count_windows,
    mask_share,
    resize_frame,
    too_short,
    window_frames,
    window_starts,
)
from convlstm.errors import DataError

pytestmark = pytest.mark.pure


def test_shrinking_averages_areas() -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[:2, :2] = [[[0, 10, 100], [20, 10, 100]], [[40, 10, 100], [60, 10, 200]]]
    pixels[2:, 2:] = 255
    small = resize_frame(pixels, (2, 2))
    assert small.tolist() == [[[30, 10, 125], [0, 0, 0]], [[0, 0, 0], [255, 255, 255]]]


def test_size_is_height_then_width() -> None:
    pixels = np.zeros((480, 640, 3), dtype=np.uint8)
    pixels[:, 320:] = 200  # the right half
    resized = resize_frame(pixels, (64, 32))
    assert resized.shape == (64, 32, 3) and resized.dtype == np.uint8
    assert (resized[:, :16] == 0).all() and (resized[:, 16:] == 200).all()


def test_enlarging_stays_within_the_values_and_a_fitting_frame_is_not_copied() -> None:
    pixels = np.full((20, 30, 3), 77, dtype=np.uint8)
    assert (resize_frame(pixels, (32, 64)) == 77).all()
    assert (resize_frame(pixels, (10, 64)) == 77).all()
    assert resize_frame(pixels, (20, 30)) is pixels


@given(
    sides=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    place=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
)
def test_no_pixel_is_skipped(sides: tuple[int, int], size: tuple[int, int], place: tuple[float, float]) -> None:
    """However far an image shrinks, whatever is as large as a new pixel leaves its mark."""
    pixels = np.zeros((*sides, 3), dtype=np.uint8)
    height, width = (-(-side // new) for side, new in zip(sides, size, strict=True))
    y, x = int(place[0] * max(1, sides[0] - height)), int(place[1] * max(1, sides[1] - width))
    pixels[y : y + height, x : x + width] = 255
    resized = resize_frame(pixels, size)
    assert resized.shape == (*size, 3) and resized.max() > 40


@pytest.mark.parametrize("sides", [(720, 1280), (1080, 1920), (2160, 3840), (480, 640), (333, 777)])
def test_shrinking_is_close_to_averages_over_areas(sides: tuple[int, int]) -> None:
    coarse = np.random.RandomState(0).randint(0, 256, (sides[0] // 24, sides[1] // 24, 3)).astype(np.uint8)
    pixels = np.asarray(cv2.resize(coarse, sides[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    averages = cv2.resize(pixels, (320, 320), interpolation=cv2.INTER_AREA)
    assert np.abs(resize_frame(pixels, (320, 320)).astype(int) - averages).mean() < 1.5


def test_mask_share_is_exact() -> None:
    mask = np.zeros((64, 96), dtype=np.uint8)
    mask[0:32, 0:32] = 255  # a whole cell
    mask[32:48, 32:64] = 1  # half a cell, whatever the value
    mask[63, 95] = 9  # one pixel of 1024
    expected = [[1.0, 0.0, 0.0], [0.0, 0.5, 1 / 1024]]
    share = mask_share(mask, (2, 3))
    assert share.dtype == np.float32
    np.testing.assert_allclose(share, expected, atol=1e-6)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_mask_share_is_the_mean_of_the_cell(rows: int, columns: int, side: int, seed: int) -> None:
    mask = np.random.RandomState(seed).randint(0, 2, (rows * side, columns * side)).astype(np.uint8) * 200
    expected = (mask > 0).reshape(rows, side, columns, side).mean(axis=(1, 3))
    np.testing.assert_allclose(mask_share(mask, (rows, columns)), expected, atol=1e-6)


@given(st.integers(0, 500), st.integers(1, 40), st.integers(1, 20))
def test_windows_are_whole_evenly_spaced_and_all_there(num_frames: int, seq_length: int, stride: int) -> None:
    starts = window_starts(num_frames, seq_length, stride)
    expected = (num_frames - seq_length) // stride + 1 if num_frames >= seq_length else 0
    assert count_windows(num_frames, seq_length, stride) == len(starts) == expected
    if expected:
        assert starts[0] == 0
        assert starts[-1] + seq_length <= num_frames < starts[-1] + stride + seq_length
        assert all(b - a == stride for a, b in pairwise(starts))


def test_windows_of_the_picture_at_the_top_of_the_module() -> None:
    assert list(window_starts(16, 10, 3)) == [0, 3, 6]
    assert list(window_starts(9, 10, 3)) == []
    assert window_frames(3, 10, 9, range(16)) == [0, 0, 0, 0, 0, 0, 0, 1, 2, *range(3, 13)]


def test_window_frames_stay_inside_their_run() -> None:
    run = range(20, 26)
    assert window_frames(20, 3, 2, run) == [20, 20, 20, 21, 22]
    assert window_frames(23, 3, 2, run) == [21, 22, 23, 24, 25]
    assert window_frames(24, 4, 0, run) == [24, 25, 25, 25]


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 12), st.integers(0, 12), st.data())
def test_window_frames_clamp_at_the_ends(
    first: int, length: int, seq_length: int, num_context: int, data: st.DataObject
) -> None:
    run = range(first, first + length)
    start = data.draw(st.sampled_from(run))
    frames = window_frames(start, seq_length, num_context, run)
    assert len(frames) == num_context + seq_length
    assert frames[num_context] == start
    for offset, frame in enumerate(frames):
        wanted = start - num_context + offset
        assert frame == (wanted if wanted in run else run[0] if wanted < first else run[-1])


@given(st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_runs_are_gapless_apart_from_each_other_and_cover_the_indices(indices: list[int]) -> None:
    runs = consecutive_runs(indices)
    assert [index for run in runs for index in run] == indices
    assert all(len(run) > 0 for run in runs)
    assert all(after.start > before.stop for before, after in pairwise(runs))


def test_runs_of_the_docstring() -> None:
    assert consecutive_runs([0, 1, 2, 5, 6]) == [range(3), range(5, 7)]


def test_too_short_names_both_numbers_and_what_to_do() -> None:
    error = too_short("cam1", 7, 10, remedies="lower seq_length")
    assert isinstance(error, DataError)
    with pytest.raises(DataError, match=r"^cam1: 7 consecutive frames, but a window needs 10: lower seq_length$"):
        raise error
