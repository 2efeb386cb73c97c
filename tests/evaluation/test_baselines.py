from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.config import BaselineName
from convlstm.evaluation.baselines import THRESHOLDS, WARM_UP_FRAMES, start_baseline

pytestmark = pytest.mark.pure

NAMES: tuple[BaselineName, ...] = get_args(BaselineName)
LONG = 40
Pixels = NDArray[np.uint8]


def still(num_frames: int = LONG, noise: float = 0) -> list[Pixels]:
    generator = np.random.RandomState(0)
    base = cv2.GaussianBlur(generator.randint(60, 190, (96, 128, 3)).astype(np.float32), (0, 0), 3)
    base = (base - base.mean()) * 6 + 128
    frames = [base + generator.normal(0, noise, base.shape) for _ in range(num_frames)]
    return [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames]


def with_square(frames: list[Pixels], start: int) -> list[Pixels]:
    """From frame `start` on a square moves through the lower middle: cells (2, 1) and (2, 2)."""
    frames = [frame.copy() for frame in frames]
    for index in range(start, len(frames)):
        left = 34 + 3 * (index - start) % 40
        frames[index][68:92, left : left + 20] = (250, 20, 20)
    return frames


def scores(name: BaselineName, frames: list[Pixels]) -> NDArray[np.float32]:
    baseline = start_baseline(name)
    return np.stack([baseline.process(frame, follows=index > 0) for index, frame in enumerate(frames)])


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_shares_of_cells(name: BaselineName) -> None:
    found = scores(name, with_square(still(noise=3), 10))
    assert found.shape == (LONG, 3, 4) and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_still_scene_is_cold_and_a_moving_square_hot_where_it_is(name: BaselineName) -> None:
    threshold = THRESHOLDS[name]
    assert scores(name, still(noise=2)).max() < threshold
    found = scores(name, with_square(still(noise=2), 15))
    assert (found[:15] < threshold).all()
    assert found[16:25, 2, 1].max() >= threshold
    assert (found[16:25, 0] < threshold).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_first_frame_says_nothing(name: BaselineName) -> None:
    assert not scores(name, still(noise=10))[0].any()


@pytest.mark.parametrize("name", ["mog2", "knn"])
def test_background_models_learn_before_they_speak(name: BaselineName) -> None:
    found = scores(name, still(noise=10))
    assert not found[:WARM_UP_FRAMES].any()
    flash = still()
    flash[WARM_UP_FRAMES] = 255 - flash[WARM_UP_FRAMES]
    assert scores(name, flash)[WARM_UP_FRAMES].min() > THRESHOLDS[name]


@pytest.mark.parametrize("name", ["frame_difference", "optical_flow"])
def test_what_compares_neighbours_is_silent_after_a_gap(name: BaselineName) -> None:
    frames = with_square(still(), 0)
    for follows in (True, False):
        baseline = start_baseline(name)
        baseline.process(frames[0], follows=False)
        assert baseline.process(frames[1], follows=follows).any() == follows
        assert baseline.process(frames[2], follows=True).any()  # compared with the frame before the gap was forgotten


def test_shadows_are_no_foreground() -> None:
    frames = still(60)
    shaded = [frame.copy() for frame in frames]
    for frame in shaded[40:]:
        frame[32:64, 32:64] = (frame[32:64, 32:64] * 0.7).astype(np.uint8)
    subtractor = cv2.createBackgroundSubtractorMOG2()
    raw = [subtractor.apply(frame) for frame in shaded]
    assert (raw[40][32:64, 32:64] == 127).mean() > 0.5  # OpenCV does call it a shadow
    assert scores("mog2", shaded)[40, 1, 1] < 0.5


def test_frame_difference_counts_pixels_that_change_much() -> None:
    before, after = np.full((64, 64, 3), 100, dtype=np.uint8), np.full((64, 64, 3), 100, dtype=np.uint8)
    after[:32, :16] = 126
    after[32:, :16] = 125
    found = scores("frame_difference", [before, after])[1]
    assert found.tolist() == [[0.5, 0], [0, 0]]


def test_flow_is_the_speed_of_the_small_picture() -> None:
    large = cv2.GaussianBlur(np.random.RandomState(1).randint(0, 255, (192, 200)).astype(np.float32), (0, 0), 6)
    large = np.clip((large - large.mean()) * 12 + 128, 0, 255).astype(np.uint8)
    frames = [np.stack([large[:, 8 * i : 8 * i + 160]] * 3, axis=2) for i in range(2)]
    middle = scores("optical_flow", frames)[1, 2:4, 2:3]
    assert (middle / (1 - middle)).mean() == pytest.approx(2, rel=0.2)  # 8 pixels are 2 at a quarter of the size
