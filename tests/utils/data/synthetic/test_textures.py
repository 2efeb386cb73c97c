"""Surfaces: statistics of the noise, and values that are colours."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.utils.data.synthetic.textures import blurred, fractal_noise, random_colour, scrolled, surface

pytestmark = pytest.mark.pure

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(8, 70)


@settings(max_examples=30)
@given(seeds, sides, sides, st.floats(0.3, 3))
def test_noise_has_mean_0_and_standard_deviation_1(seed: int, height: int, width: int, exponent: float) -> None:
    noise = fractal_noise(np.random.default_rng(seed), (height, width), exponent=exponent)
    assert noise.shape == (height, width) and noise.dtype == np.float32
    assert noise.mean() == pytest.approx(0, abs=1e-4)
    assert noise.std() == pytest.approx(1, abs=1e-4)


def test_noise_wraps_around() -> None:
    noise = fractal_noise(np.random.default_rng(0), (40, 60))
    np.testing.assert_allclose(scrolled(noise, (40, 60), (5, -3)), np.roll(noise, (-3, 5), axis=(0, 1)), atol=1e-5)
    seam = np.abs(noise[:, 0] - noise[:, -1]).mean()
    assert seam < 2 * np.abs(np.diff(noise, axis=1)).mean()


def test_a_part_of_scrolled_noise() -> None:
    noise = fractal_noise(np.random.default_rng(0), (40, 60))
    np.testing.assert_allclose(scrolled(noise, (10, 20), (0, 0)), noise[:10, :20], atol=1e-6)
    half = scrolled(noise, (40, 60), (0.5, 0))
    np.testing.assert_allclose(half, (noise + np.roll(noise, 1, axis=1)) / 2, atol=0.02)


def test_blurred_noise_is_what_opencv_makes_of_noise_that_is_laid_side_by_side() -> None:
    noise = fractal_noise(np.random.default_rng(1), (40, 60), exponent=0.3)
    tiled = cv2.GaussianBlur(np.tile(noise, (3, 3)), (0, 0), 2.5)
    np.testing.assert_allclose(blurred(noise, 2.5), tiled[40:80, 60:120], atol=0.005)
    assert blurred(noise, 2.5).dtype == np.float32


def test_a_higher_exponent_is_smoother() -> None:
    steps = [
        np.abs(np.diff(fractal_noise(np.random.default_rng(1), (64, 64), exponent=exponent), axis=1)).mean()
        for exponent in (0.3, 0.9, 1.5, 2.1)
    ]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 4 * steps[-1]


def test_stretch_draws_the_grain_out() -> None:
    drawn_out = fractal_noise(np.random.default_rng(1), (64, 64), exponent=1.2, stretch=(10.0, 1.0))
    assert np.abs(np.diff(drawn_out, axis=0)).mean() < 0.7 * np.abs(np.diff(drawn_out, axis=1)).mean()


@settings(max_examples=30)
@given(seeds, sides, sides, st.booleans())
def test_surfaces_are_colours(seed: int, height: int, width: int, receding: bool) -> None:
    colours = surface(np.random.default_rng(seed), (height, width), receding=receding)
    assert colours.shape == (height, width, 3) and colours.dtype == np.float32
    assert colours.min() >= 0 and colours.max() <= 1
    again = surface(np.random.default_rng(seed), (height, width), receding=receding)
    np.testing.assert_array_equal(colours, again)


def test_vivid_colours_are_saturated() -> None:
    def saturation(vivid: bool) -> float:
        rng = np.random.default_rng(2)
        colours = np.stack([random_colour(rng, vivid=vivid) for _ in range(200)])
        assert colours.min() >= 0 and colours.max() <= 1
        return float(np.median(1 - colours.min(axis=1) / colours.max(axis=1)))

    assert saturation(vivid=True) > 0.5
    assert saturation(vivid=False) < 0.3
