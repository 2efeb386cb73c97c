"""Sensor noise: as strong as asked, of the asked grain and colour, lasting as long as asked; dead pixels stay."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.types import Float32Array
from convlstm.utils.data.synthetic.sensor import Sensor

SIZE = (96, 96)
seeds = st.integers(0, 2**32 - 1)


def sensors(count: int, *, is_noisy: bool = False, severity: float = 1.0) -> list[Sensor]:
    return [Sensor.sample(np.random.default_rng(seed), SIZE, severity, is_noisy=is_noisy) for seed in range(count)]


def course(sensor: Sensor, num_frames: int) -> list[Float32Array]:
    rng = np.random.default_rng(9)
    noises: list[Float32Array] = []
    for _ in range(num_frames):
        noises.append(sensor.unit_noise(rng, noises[-1] if noises else None))
    return noises


def correlation(one: Float32Array, other: Float32Array) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_a_perfect_sensor_adds_nothing() -> None:
    assert Sensor.perfect(SIZE).is_perfect
    assert not any(sensor.is_perfect for sensor in sensors(5, severity=0.0))


def test_noise_is_as_strong_as_told() -> None:
    """Read noise at black; shot noise adds its variance in proportion to the light."""
    for sensor in sensors(30, is_noisy=True):
        plain = replace(sensor, rows=0.0, persistence=0.0, fixed=np.zeros_like(sensor.fixed))
        unit = course(plain, 3)[-1]
        for level in (0.0, 0.5, 1.0):
            picture = np.full((*SIZE, 3), level, dtype=np.float32)
            noise = plain.expose(picture, unit) - picture
            strength = np.sqrt(plain.read_noise**2 + level * plain.shot_noise**2)
            assert noise.std() == pytest.approx(strength, rel=0.15)
            assert abs(noise.mean()) < 0.2 * strength


def test_noisy_sensors_are_noisier_and_severity_scales() -> None:
    quiet, noisy, calm = sensors(60), sensors(60, is_noisy=True), sensors(10, severity=0.0)
    levels, high = [s.read_noise for s in quiet], [s.read_noise for s in noisy]
    assert 0.002 <= min(levels) < 0.004 and 0.01 < max(levels) <= 0.02
    assert 0.015 <= min(high) < 0.02 and 0.045 < max(high) <= 0.06
    assert {s.read_noise for s in calm} == {0.002}


def test_grey_and_coloured_noise() -> None:
    """From one noise that all colours share to one of its own in each."""
    shared = [correlation(noise[..., 0], noise[..., 1]) for noise in (course(s, 1)[0] for s in sensors(40))]
    assert sum(c > 0.99 for c in shared) >= 5
    assert sum(abs(c) < 0.1 for c in shared) >= 5
    assert sum(0.3 < c < 0.98 for c in shared) >= 5


def test_fine_and_coarse_grain() -> None:
    neighbours = [correlation(noise[:, 1:], noise[:, :-1]) for noise in (course(s, 1)[0] for s in sensors(40))]
    assert sum(abs(c) < 0.05 for c in neighbours) >= 15
    assert sum(c > 0.3 for c in neighbours) >= 4


def test_noise_is_new_in_every_frame_unless_it_lasts() -> None:
    lasting = 0
    for sensor in sensors(40):
        first, second, third = course(sensor, 3)
        assert correlation(first, second) == pytest.approx(sensor.persistence, abs=0.12)
        assert correlation(first, third) == pytest.approx(sensor.persistence**2, abs=0.12)
        assert third.std() == pytest.approx(1, rel=0.2)
        lasting += sensor.persistence > 0
    assert 3 <= lasting <= 20


def test_rows_share_a_noise() -> None:
    banded = [sensor for sensor in sensors(60, is_noisy=True) if sensor.rows]
    assert 8 <= len(banded) <= 30
    for sensor in banded:
        plain = replace(sensor, persistence=0.0)
        noise = np.stack(course(plain, 6)) * plain.read_noise
        of_rows = noise.mean(axis=(2, 3)).std()
        grain_of_mean = (np.stack(course(replace(plain, rows=0.0), 6)) * plain.read_noise).mean(axis=(2, 3)).std()
        assert of_rows == pytest.approx(np.hypot(plain.rows, grain_of_mean), rel=0.25)
    assert not any(sensor.rows for sensor in sensors(20))


def test_dead_pixels_and_columns_stay() -> None:
    patterns = [sensor for sensor in sensors(60) if sensor.fixed.any()]
    assert 8 <= len(patterns) <= 30
    for sensor in patterns:
        dead = np.abs(sensor.fixed).max(axis=2) > 0.9
        assert dead.sum() < 40
        dark, bright = (
            [sensor.expose(np.full((*SIZE, 3), level, np.float32), noise) for noise in course(sensor, 3)]
            for level in (0.05, 0.95)
        )
        for picture in dark + bright:
            seen = np.rint(picture.clip(0, 1) * 255)[dead]
            is_bright = sensor.fixed[dead] > 0.5
            assert np.all(seen[is_bright] > 200) and np.all(seen[~is_bright] < 55)
        columns = np.where(dead[..., None], np.nan, sensor.fixed)
        assert np.nanmax(np.nanstd(columns, axis=0)) < 1e-6
    assert any(np.nanstd(np.where(np.abs(s.fixed) > 0.9, np.nan, s.fixed)) > 0 for s in patterns)


@settings(max_examples=30)
@given(seeds, st.integers(32, 90), st.integers(32, 90), st.booleans(), st.floats(0, 1))
def test_every_size_has_its_noise(seed: int, height: int, width: int, is_noisy: bool, severity: float) -> None:
    sensor = Sensor.sample(np.random.default_rng(seed), (height, width), severity, is_noisy=is_noisy)
    noise = sensor.unit_noise(np.random.default_rng(seed), None)
    assert noise.shape == (height, width, 3) and noise.dtype == np.float32
    picture = sensor.expose(np.full((height, width, 3), 0.5, dtype=np.float32), noise)
    assert picture.shape == noise.shape and picture.dtype == np.float32 and np.isfinite(picture).all()
    blurred = cv2.GaussianBlur(noise, (0, 0), 4)
    assert blurred.std() < noise.std()
