"""Filmed photographs: nothing moves in them, no two frames are the same, and each strength does what it says."""

from dataclasses import fields, replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from convlstm.toolkits.filming import DRIFT, SHAKE_PIXELS, Strengths, film
from convlstm.types import UInt8Array

NONE = Strengths(**{field.name: 0.0 for field in fields(Strengths)})


def photo(height: int = 64, width: int = 80) -> UInt8Array:
    """A textured picture with edges."""
    coarse = np.random.default_rng(3).integers(60, 190, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8))[:height, :width])


def frames(strengths: Strengths, *, num_frames: int = 30, seed: int = 0, fps: float = 25.0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    made = list(film(photo(), num_frames=num_frames, fps=fps, strengths=strengths, rng=rng))
    assert len(made) == num_frames and all(frame.shape == (64, 80, 3) and frame.dtype == np.uint8 for frame in made)
    return np.stack(made).astype(np.float64)


def shifts(sequence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels by which each frame is shifted against the photograph, (T, 2)."""
    still = photo().mean(axis=2)[8:-8, 8:-8]
    found = [cv2.phaseCorrelate(still.copy(), frame.mean(axis=2)[8:-8, 8:-8].copy())[0] for frame in sequence]
    return np.array(found)


def sharpness(sequence: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([np.abs(np.diff(frame, axis=1)).mean() for frame in sequence])


def test_without_any_strength_all_is_the_photograph() -> None:
    assert (frames(NONE) == photo()).all()


def test_the_defaults_change_every_frame_a_little() -> None:
    for seed in range(4):
        made = frames(Strengths(), seed=seed, num_frames=40)
        error = np.abs(made - photo()).mean(axis=(1, 2, 3))
        assert error.mean() > 0.3 and error.max() < 25
        equal = sum(np.array_equal(a, b) for a, b in pairwise(made))
        assert equal < 30  # codecs repeat frames; a camera does not send the same one for ever


def test_noise_is_new_in_every_frame_and_as_strong_as_asked_for() -> None:
    def deviation(strength: float, seed: int) -> float:
        return float((frames(replace(NONE, noise=strength), seed=seed) - photo()).std())

    for seed in range(3):
        assert 0.4 < deviation(1, seed) < 8
        assert deviation(3, seed) == pytest.approx(3 * deviation(1, seed), rel=0.25)
    made = frames(replace(NONE, noise=1.0))
    assert all(not np.array_equal(a, b) for a, b in pairwise(made))
    assert np.abs(made.mean(axis=0) - photo()).mean() < 1.5  # no pixel is always wrong


def test_exposure_drifts_slowly_about_the_photograph() -> None:
    levels = np.concatenate([frames(replace(NONE, exposure=1.0), seed=s).mean(axis=(1, 2, 3)) for s in range(20)])
    drift = np.log(levels / photo().mean())
    assert 0.6 * DRIFT < drift.std() < 1.5 * DRIFT
    steps = np.abs(np.diff(drift.reshape(20, 30), axis=1))
    assert steps.max() < 0.5 * DRIFT and steps.mean() > 1e-4
    strong = frames(replace(NONE, exposure=3.0), seed=1).mean(axis=(1, 2, 3))
    weak = frames(replace(NONE, exposure=1.0), seed=1).mean(axis=(1, 2, 3))
    assert np.log(strong / photo().mean()).std() == pytest.approx(3 * np.log(weak / photo().mean()).std(), rel=0.2)


def test_the_drift_goes_by_seconds_not_by_frames() -> None:
    def step(fps: float) -> float:
        made = [frames(replace(NONE, exposure=1.0), seed=s, fps=fps).mean(axis=(1, 2, 3)) for s in range(6)]
        return float(np.abs(np.diff(np.stack(made), axis=1)).mean())

    assert step(5.0) > 2.5 * step(25.0)


def test_the_stand_trembles_by_parts_of_a_pixel() -> None:
    found = np.concatenate([shifts(frames(replace(NONE, shake=1.0), seed=seed)) for seed in range(8)])
    assert 0.5 * SHAKE_PIXELS < found.std() < 1.6 * SHAKE_PIXELS
    strong = shifts(frames(replace(NONE, shake=4.0)))
    assert strong.std() > 2 * SHAKE_PIXELS and np.abs(strong).max() < 6
    made = frames(replace(NONE, shake=4.0))
    assert made.min() > 50  # no black edge comes into view


def test_focus_is_lost_and_found_again() -> None:
    picture = np.random.default_rng(5).integers(60, 190, (320, 64, 3), dtype=np.uint8)

    def course(strength: float) -> NDArray[np.float64]:
        strengths, rng = replace(NONE, refocus=strength), np.random.default_rng(0)
        made = film(picture, num_frames=50, fps=25.0, strengths=strengths, rng=rng)
        return sharpness(np.stack(list(made)).astype(np.float64)) / sharpness(picture[None].astype(np.float64))

    strong, common = course(4.0), course(1.0)
    assert strong.min() < 0.7 and common.min() < 0.95 and strong.min() < common.min()
    assert (common > 0.99).mean() > 0.3  # most of the time it is in focus
    assert np.abs(np.diff(strong)).max() < 0.25


def test_compression_costs_more_the_stronger_it_is() -> None:
    def error(strength: float) -> float:
        made = [frames(replace(NONE, noise=1.0, compression=strength), seed=s) for s in range(4)]
        return float(np.abs(np.stack(made) - photo()).mean())

    assert error(4) > error(1) > 0
    clean = frames(replace(NONE, noise=1.0))
    assert not np.array_equal(clean, frames(replace(NONE, noise=1.0, compression=1.0)))


@settings(max_examples=12)
@given(
    height=st.integers(32, 70),
    width=st.integers(32, 70),
    num_frames=st.integers(2, 6),
    strength=st.floats(0, 4),
    seed=st.integers(0, 1 << 40),
)
def test_every_size_and_strength_gives_whole_frames(
    height: int, width: int, num_frames: int, strength: float, seed: int
) -> None:
    strengths = Strengths(**{field.name: strength for field in fields(Strengths)})
    picture = photo(height, width)
    made = [
        list(film(picture, num_frames=num_frames, fps=25.0, strengths=strengths, rng=np.random.default_rng(seed)))
        for _ in range(2)
    ]
    assert [frame.shape for frame in made[0]] == [(height, width, 3)] * num_frames
    assert all(np.array_equal(a, b) for a, b in zip(*made, strict=True))


def test_a_long_sequence_is_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convlstm.toolkits.filming._PIXELS_AT_ONCE", 64 * 80 * 7)
    made = frames(Strengths(compression=0.0), num_frames=30)
    assert len(made) == 30
    assert np.abs(np.diff(made.mean(axis=(1, 2, 3)))).max() < 5  # light goes on where the part before ended
    parts = film(photo(), num_frames=1000, fps=25.0, strengths=NONE, rng=np.random.default_rng(0))
    assert next(parts).shape == (64, 80, 3)  # without making a thousand
