"""Light on a still scene: it multiplies what is there, where it says so, and never moves anything."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.lighting import Clouds, Lighting

SIZE = (70, 90)
seeds = st.integers(0, 2**32 - 1)


def light(seed: int, *suffered: str, num_frames: int = 20, severity: float = 1.0) -> Lighting:
    suffers = {name: name in suffered for name in ("exposure", "lights", "clouds")}
    return Lighting.sample(np.random.default_rng(seed), suffers, num_frames, SIZE, severity)


def scene(seed: int = 0) -> Float32Array:
    return np.random.default_rng(seed).uniform(0.1, 0.9, (*SIZE, 3)).astype(np.float32)


def factors(lighting: Lighting, num_frames: int) -> Iterator[Float32Array]:
    """What each pixel is multiplied by, (H, W, 3), per frame."""
    for index in range(num_frames):
        yield lighting.on_scene(scene(), index) / scene()


def test_constant_light_changes_nothing() -> None:
    lighting = Lighting.constant(3, SIZE)
    for index in range(3):
        picture = scene()
        np.testing.assert_array_equal(lighting.in_camera(lighting.on_scene(picture, index), index), scene())


@settings(max_examples=25)
@given(seeds)
def test_the_shadow_of_a_cloud_dims_and_is_never_black(seed: int) -> None:
    clouds = Clouds.sample(np.random.default_rng(seed), 5, SIZE, 1.0)
    assert clouds.transmission.shape == SIZE
    assert clouds.transmission.min() > 0.2 and clouds.transmission.max() <= 1
    assert np.ptp(clouds.transmission) > 0.01  # here and not there
    steps = np.linalg.norm(np.diff(clouds.way, axis=0), axis=1)
    assert steps.min() > 0.06 and steps.max() < 8.1
    assert clouds.at(3).shape == (*SIZE, 1)


def test_most_shadows_of_clouds_have_a_soft_edge() -> None:
    """Softer than a tenth of their depth per pixel, as the width of the sun makes them; some are hard all the same."""
    steepest = []
    for seed in range(60):
        shadow = Clouds.sample(np.random.default_rng(seed), 5, SIZE, 1.0).transmission
        steepest.append(np.abs(np.diff(shadow, axis=1)).max() / np.ptp(shadow))
    soft = np.count_nonzero(np.array(steepest) < 0.1)
    assert 40 <= soft <= 56


def test_the_shadow_of_a_cloud_goes_its_way() -> None:
    clouds = Clouds.sample(np.random.default_rng(3), 5, SIZE, 1.0)
    clouds.way[2] = (4, -3)
    np.testing.assert_allclose(clouds.at(2)[..., 0], np.roll(clouds.at(0)[..., 0], (-3, 4), axis=(0, 1)), atol=1e-5)


@settings(max_examples=25)
@given(seeds, st.sampled_from(["clouds", "lights"]))
def test_clouds_and_lamps_multiply_and_do_nothing_else(seed: int, nuisance: str) -> None:
    """A scene twice as dark stays twice as dark, black stays black, all scenes are multiplied alike."""
    lighting = light(seed, nuisance)
    for index in (0, 9, 19):
        lit = lighting.on_scene(scene(), index)
        np.testing.assert_allclose(lighting.on_scene(0.5 * scene(), index), 0.5 * lit, rtol=1e-5)
        assert not lighting.on_scene(np.zeros_like(scene()), index).any()
        other = scene(1)
        np.testing.assert_allclose(lighting.on_scene(other, index) / other, lit / scene(), rtol=1e-4)
        assert nuisance == "lights" or lit.min() > 0


def test_clouds_are_local_and_change_with_time() -> None:
    for seed in range(8):
        shades = np.stack(list(factors(light(seed, "clouds"), 20)))
        assert np.ptp(shades, axis=(1, 2)).max() > 0.01
        assert np.ptp(shades, axis=0).max() > 0.001
        assert shades.max() <= 1 + 1e-5
        assert np.ptp(shades, axis=3).max() < 1e-5  # all colours alike


def test_lamps_are_local_brighten_or_dim_and_are_switched() -> None:
    brighter, darker, changing, local = 0, 0, 0, 0
    for seed in range(25):
        lighting = light(seed, "lights")
        shades = np.stack(list(factors(lighting, 20)))
        brighter += bool(shades.max() > 1.1)
        darker += bool(shades.min() < 0.9)
        changing += bool(np.ptp(shades, axis=0).max() > 0.05)
        local += bool(np.ptp(shades[..., 0], axis=(1, 2)).max() > 0.05)
        assert lighting.lamps.shape == (lighting.lamp_levels.shape[1], *SIZE, 3)
        assert 1 <= len(lighting.lamps) <= 3 and lighting.lamps.min() >= 0
        assert lighting.clouds is None
        assert np.all(lighting.gammas == 1) and np.all(lighting.saturations == 1)
        if not lighting.lamp_levels[0].any():
            np.testing.assert_allclose(shades[0], 1, rtol=1e-6)
    assert brighter >= 10 and darker >= 5 and changing >= 22 and local >= 22


def test_the_light_of_two_lamps_multiplies() -> None:
    lamps = np.full((2, *SIZE, 3), [[[[1.0, 0.5, 0.0]]], [[[0.2, 0.2, 0.2]]]], dtype=np.float32)
    lighting = replace(Lighting.constant(1, SIZE), lamps=lamps, lamp_levels=np.array([[0.5, -1.0]], dtype=np.float32))
    np.testing.assert_allclose(lighting.on_scene(scene(), 0), scene() * [1.5 * 0.8, 1.25 * 0.8, 0.8], rtol=1e-5)


def test_cameras_answer_to_lamps_by_less_exposure() -> None:
    """Some do: where light is added, their gain falls, a little late; it is the same all over the frame."""
    answers = [light(seed, "lights") for seed in range(25)]
    answering = [lighting for lighting in answers if np.ptp(lighting.gains) > 0.01]
    assert 8 <= len(answering) <= 24
    for lighting in answering:
        added = 1 + lighting.lamp_levels @ lighting.lamps.mean(axis=(1, 2, 3))
        gain = lighting.gains[:, 0]
        assert np.corrcoef(np.log(added.clip(0.1)), np.log(gain))[0, 1] < 0.2


def test_cameras_are_set_for_the_light_of_the_brightest_lamp() -> None:
    """So a lamp that lights a dark room leaves it dark before, and does not burn it out."""
    strong = 0
    for seed in range(40):
        lighting = light(seed, "lights")
        brightest = max(1.0, float((1 + lighting.lamp_levels @ lighting.lamps.mean(axis=(1, 2, 3))).max()))
        assert brightest**-1.1 * 0.999 <= lighting.gains[0, 0] <= brightest**-0.4 * 1.001
        strong += brightest > 2.5
    assert 3 <= strong <= 20


def test_exposure_changes_the_whole_frame_alike() -> None:
    """One function per colour maps the values before to those after, whatever the place, and keeps their order."""
    changing = 0
    for seed in range(25):
        lighting = light(seed, "exposure")
        assert not len(lighting.lamps) and lighting.clouds is None
        np.testing.assert_array_equal(lighting.on_scene(scene(), 7), scene())
        lighting = replace(lighting, saturations=np.ones(20, dtype=np.float32))
        for index in (0, 10, 19):
            order = np.argsort(scene().reshape(-1, 3), axis=0)
            pictured = lighting.in_camera(scene(), index).reshape(-1, 3)
            assert np.all(np.diff(np.take_along_axis(pictured, order, axis=0), axis=0) >= -1e-6)
        means = [lighting.in_camera(scene(), index).mean() for index in range(20)]
        changing += bool(np.ptp(means) > 0.01)
    assert changing >= 22


def test_gains_multiply_each_colour_and_gammas_bend() -> None:
    constant = Lighting.constant(2, SIZE)
    tinted = replace(constant, gains=np.array([[1, 1, 1], [2, 1, 0.5]], dtype=np.float32))
    np.testing.assert_allclose(tinted.in_camera(scene(), 1), scene() * [2, 1, 0.5], rtol=1e-6)
    bent = replace(constant, gammas=np.array([1, 2], dtype=np.float32))
    np.testing.assert_allclose(bent.in_camera(scene(), 1), scene() ** 2, rtol=1e-5)
    assert np.isfinite(bent.in_camera(scene() - 0.5, 1)).all()


def test_infrared_is_grey_on_one_side_of_a_moment() -> None:
    switching = [light(seed, "exposure").saturations for seed in range(150)]
    switched = [saturations for saturations in switching if np.ptp(saturations)]
    assert 4 <= len(switched) <= 30
    for saturations in switched:
        assert set(saturations.tolist()) == {0.0, 1.0}
        assert np.count_nonzero(np.diff(saturations)) == 1
    lighting = replace(Lighting.constant(2, SIZE), saturations=np.array([1, 0], dtype=np.float32))
    assert np.ptp(lighting.in_camera(scene(), 1), axis=2).max() < 1e-6
    np.testing.assert_allclose(lighting.in_camera(scene(), 1).mean(axis=2), scene().mean(axis=2), atol=1e-6)


@settings(max_examples=20)
@given(seeds, st.integers(2, 6))
def test_without_severity_light_is_constant(seed: int, num_frames: int) -> None:
    calm = light(seed, "exposure", "lights", "clouds", num_frames=num_frames, severity=0.0)
    assert np.all(calm.gains == 1) and np.all(calm.gammas == 1) and np.all(calm.saturations == 1)
    for shades in factors(calm, num_frames):
        np.testing.assert_allclose(shades, 1, rtol=1e-6)


@settings(max_examples=20)
@given(seeds, st.floats(0, 1))
def test_severity_scales_how_far_light_changes(seed: int, severity: float) -> None:
    # The random numbers behind a switch to infrared depend on severity: leave colours out.
    mild, strong = light(seed, "clouds", severity=severity), light(seed, "clouds")
    assert mild.clouds is not None and strong.clouds is not None
    dimmed = 1 - mild.clouds.transmission
    np.testing.assert_allclose(dimmed, severity * (1 - strong.clouds.transmission), atol=1e-6)
