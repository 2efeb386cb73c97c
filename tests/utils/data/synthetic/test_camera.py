"""The camera: each nuisance does what its name says and nothing else."""

import itertools
from collections.abc import Iterator
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.types import Float32Array, UInt8Array
from convlstm.utils.data.synthetic.camera import MARGIN, NUISANCES, Camera
from convlstm.utils.data.synthetic.codec import Codec
from convlstm.utils.data.synthetic.scenes import still_scene
from convlstm.utils.data.synthetic.sensor import Sensor

SIZE = (64, 80)
LARGE = SIZE[0] + 2 * MARGIN, SIZE[1] + 2 * MARGIN
seeds = st.integers(0, 2**32 - 1)


def perfect(num_frames: int = 4) -> Camera:
    return Camera.perfect(num_frames, SIZE)


def sample(nuisance: str, seed: int, num_frames: int = 12, severity: float = 1.0) -> Camera:
    return Camera.sample(np.random.default_rng(seed), nuisance, num_frames, SIZE, severity=severity)


def still(num_frames: int, seed: int = 5) -> Iterator[Float32Array]:
    """One and the same scene, again and again."""
    picture = still_scene(np.random.default_rng(seed), LARGE).background
    for _ in range(num_frames):
        yield picture.copy()


def moving(num_frames: int) -> Iterator[Float32Array]:
    """Noise that is new in every frame."""
    for index in range(num_frames):
        yield np.random.default_rng(index).random((*LARGE, 3), dtype=np.float32)


def record(camera: Camera, scenes: Iterator[Float32Array]) -> list[UInt8Array]:
    frames = camera.record(np.random.default_rng(1), scenes)
    assert all(frame.shape == (*SIZE, 3) and frame.dtype == np.uint8 for frame in frames)
    return frames


def inner(scene: Float32Array) -> UInt8Array:
    return np.rint(scene[MARGIN:-MARGIN, MARGIN:-MARGIN] * 255).astype(np.uint8)


def test_a_perfect_camera_shows_the_scene() -> None:
    for frame, scene in zip(record(perfect(), moving(4)), moving(4), strict=True):
        np.testing.assert_array_equal(frame, inner(scene))


def test_shake_shows_another_part_of_the_scene() -> None:
    camera = perfect()
    camera.shifts[1], camera.shifts[2] = (2, -1), (0.5, 0)
    frames = record(camera, still(4))
    [scene] = still(1)
    part = scene[MARGIN + 1 : MARGIN + 65, MARGIN - 2 : MARGIN + 78]
    np.testing.assert_array_equal(frames[1], np.rint(part * 255).astype(np.uint8))
    between = (scene[MARGIN:-MARGIN, MARGIN:-MARGIN] + scene[MARGIN:-MARGIN, MARGIN - 1 : -MARGIN - 1]) / 2
    np.testing.assert_allclose(frames[2], between * 255, atol=2)
    np.testing.assert_array_equal(frames[0], frames[3])


@settings(max_examples=40)
@given(seeds, st.integers(2, 40))
def test_shake_stays_within_the_margin(seed: int, num_frames: int) -> None:
    shifts = sample("shake", seed, num_frames).shifts
    assert shifts.shape == (num_frames, 2) and np.abs(shifts).max() <= MARGIN - 1
    assert num_frames < 10 or np.ptp(shifts, axis=0).max() > 0


def test_shake_ranges_from_a_tremble_to_a_jolt() -> None:
    strengths = np.array([sample("shake", seed, 30).shifts.std() for seed in range(60)])
    assert strengths.min() < 0.2 and strengths.max() > 1.5


def test_repeated_frames_are_equal_frames() -> None:
    camera = replace(perfect(6), times=np.array([0, 1, 1, 1, 4, 5], dtype=np.float32))
    camera = replace(camera, sensor=Sensor.sample(np.random.default_rng(0), SIZE, 1.0, is_noisy=True), stamp=(0.1, 0.5))
    frames = record(camera, moving(6))
    equal = [np.array_equal(a, b) for a, b in itertools.pairwise(frames)]
    assert equal == [False, True, True, False, False]


@settings(max_examples=40)
@given(seeds, st.integers(2, 40))
def test_lost_frames_show_the_one_before(seed: int, num_frames: int) -> None:
    times = sample("dropped", seed, num_frames).times
    assert times[0] == 0 and len(set(times.tolist())) > 1
    kept = times == np.arange(num_frames)
    assert num_frames == 2 or not kept.all()
    for index in np.flatnonzero(~kept):
        assert times[index] == times[index - 1]


def test_many_recordings_lose_frames() -> None:
    repeats = np.array([np.mean(np.diff(sample("dropped", seed, 40).times) == 0) for seed in range(60)])
    assert (repeats > 0).mean() > 0.85
    assert np.quantile(repeats, 0.2) < 0.1 and np.quantile(repeats, 0.9) > 0.4


def test_interlacing_shows_odd_rows_of_the_frame_before() -> None:
    progressive = record(perfect(), moving(4))
    frames = record(replace(perfect(), is_interlaced=True), moving(4))
    np.testing.assert_array_equal(frames[0], progressive[0])
    for index in range(1, 4):
        np.testing.assert_array_equal(frames[index][::2], progressive[index][::2])
        np.testing.assert_array_equal(frames[index][1::2], progressive[index - 1][1::2])


def test_a_clock_is_burnt_in_and_goes() -> None:
    plain, stamped = record(perfect(), still(4)), record(replace(perfect(), stamp=(0.1, 0.9)), still(4))
    touched = np.stack([np.any(a != b, axis=2) for a, b in zip(plain, stamped, strict=True)])
    assert touched.any(axis=(1, 2)).all() and touched.mean() < 0.2
    assert not touched[:, : SIZE[0] // 2].any()
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(stamped))


def fine_detail(frame: UInt8Array) -> float:
    """Share of the variance that waves of under four pixels have."""
    spectrum = np.abs(np.fft.fft2(frame.astype(float).mean(axis=2))) ** 2
    spectrum[0, 0] = 0
    fast = np.maximum(*np.meshgrid(*(np.abs(np.fft.fftfreq(n)) for n in frame.shape[:2]), indexing="ij")) > 0.25
    return float(spectrum[fast].sum() / spectrum.sum())


def test_low_resolution_has_no_fine_detail() -> None:
    sharp = record(perfect(2), moving(2))
    coarse = record(replace(perfect(2), coded_size=(32, 40)), moving(2))
    assert fine_detail(sharp[0]) > 0.7
    assert fine_detail(coarse[0]) < 0.3
    small = [cv2.resize(frame, (16, 16), interpolation=cv2.INTER_AREA).astype(float) for frame in (sharp[0], coarse[0])]
    assert np.abs(small[0] - small[1]).mean() < 10  # the same picture all the same


def test_noise_differs_from_frame_to_frame_and_has_the_strength_asked_for() -> None:
    sensor = replace(Sensor.sample(np.random.default_rng(2), SIZE, 1.0, is_noisy=True), shot_noise=0.0, rows=0.0)
    sensor = replace(sensor, read_noise=0.03, persistence=0.0, fixed=np.zeros_like(sensor.fixed))
    grey = (np.full((*LARGE, 3), 0.5, dtype=np.float32) for _ in range(6))
    frames = np.stack(record(replace(perfect(6), sensor=sensor), grey)).astype(float)
    assert frames.std() == pytest.approx(0.03 * 255, rel=0.1)
    assert (frames[1] - frames[0]).std() == pytest.approx(np.sqrt(2) * 0.03 * 255, rel=0.1)
    assert frames.mean() == pytest.approx(127.5, abs=1)


def test_codecs_see_what_the_sensor_saw() -> None:
    """Frames of low resolution are compressed as such, then scaled up; so blocks grow with them."""
    codec = Codec("jpeg", 15)
    frames = record(replace(perfect(2), codec=codec, coded_size=(32, 40)), moving(2))
    [small] = [cv2.resize(next(moving(1))[MARGIN:-MARGIN, MARGIN:-MARGIN], (40, 32), interpolation=cv2.INTER_AREA)]
    coded = codec.record([np.rint(small * 255).astype(np.uint8)])[0]
    np.testing.assert_array_equal(frames[0], cv2.resize(coded, SIZE[::-1], interpolation=cv2.INTER_LINEAR))


def test_a_codec_that_leaves_nothing_of_the_noise_is_not_used() -> None:
    """Real recordings are never all equal; equal ones would tell static sequences at once."""
    sensor = Sensor.sample(np.random.default_rng(1), SIZE, 0.0, is_noisy=False)
    camera = replace(perfect(), sensor=sensor, codec=Codec("h264", 45, 250))
    frames = record(camera, still(4))
    assert not all(np.array_equal(frames[0], frame) for frame in frames[1:])


@pytest.mark.parametrize("nuisance", NUISANCES)
def test_a_camera_suffers_from_what_it_is_asked_for(nuisance: str) -> None:
    count = 0
    for seed in range(12):
        camera = sample(nuisance, seed)
        light = camera.lighting
        suffered = {
            "still": not camera.sensor.is_perfect,
            "exposure": np.ptp(light.gains) > 0 or np.ptp(light.gammas) > 0,
            "lights": len(light.lamps) > 0 and bool(light.lamp_levels.any()),
            "clouds": light.clouds is not None,
            "noise": camera.sensor.read_noise >= 0.015,
            "shake": np.ptp(camera.shifts) > 0,
            "compression": bool(camera.codec.name),
            "dropped": bool(np.any(np.diff(camera.times) == 0)),
        }
        count += bool(suffered[nuisance])
        assert suffered["still"]
    # In twelve frames, a lamp that blinks slowly may never be on, and none need be lost.
    assert count >= {"lights": 10, "dropped": 7}.get(nuisance, 12)


@settings(max_examples=12)
@given(seed=st.integers(0, 1000), nuisance=st.sampled_from(NUISANCES))
def test_infrared_is_grey_dim_and_noisy_whatever_else_happens(seed: int, nuisance: str) -> None:
    rng = np.random.default_rng(seed)
    camera = Camera.sample(rng, nuisance, 4, SIZE, severity=0.3)
    infrared = camera.as_infrared(rng)
    assert infrared.coded_size == (32, 44)  # nearly half; no codec takes less than 32
    assert (infrared.shifts == camera.shifts).all() and (infrared.times == camera.times).all()
    infrared = replace(infrared, codec=Codec(), stamp=None)
    colourful = np.broadcast_to(np.array([0.8, 0.5, 0.2], dtype=np.float32), (*LARGE, 3))
    frames = np.stack(infrared.record(rng, (colourful.copy() for _ in infrared.times))).astype(np.float32)
    assert (frames == frames[..., :1]).all()
    assert frames.mean() < 0.75 * 255 * 0.8
    assert frames.std() > 0.5  # noise


def test_a_still_recording_is_calm() -> None:
    for seed in range(30):
        camera = sample("still", seed)
        assert np.ptp(camera.lighting.gains) == np.ptp(camera.lighting.gammas) == np.ptp(camera.shifts) == 0
        assert not len(camera.lighting.lamps) and camera.lighting.clouds is None
        assert camera.sensor.read_noise <= 0.02 and camera.sensor.rows == 0
        np.testing.assert_array_equal(camera.times, np.arange(12))


def test_nuisances_come_together_now_and_then() -> None:
    cameras = [sample("exposure", seed) for seed in range(80)]
    also = {
        "shake": sum(np.ptp(c.shifts) > 0 for c in cameras),
        "clouds": sum(c.lighting.clouds is not None for c in cameras),
        "lights": sum(len(c.lighting.lamps) > 0 for c in cameras),
        "noise": sum(c.sensor.read_noise > 0.02 for c in cameras),
        "low resolution": sum(c.coded_size != SIZE for c in cameras),
        "codec": sum(bool(c.codec.name) for c in cameras),
    }
    assert all(count >= 8 for count in also.values()), also
    assert all(count <= 35 for name, count in also.items() if name not in ("low resolution", "codec")), also
    rare = [sum(c.is_interlaced for c in cameras), sum(c.stamp is not None for c in cameras)]
    assert all(1 <= count <= 16 for count in rare), rare


@settings(max_examples=25)
@given(seeds, st.sampled_from(NUISANCES))
def test_without_severity_light_and_camera_stand_still(seed: int, nuisance: str) -> None:
    calm = sample(nuisance, seed, severity=0.0)
    assert np.ptp(calm.lighting.gains) == np.ptp(calm.lighting.gammas) == np.abs(calm.shifts).max() == 0
    assert not calm.lighting.lamp_levels.any()
    assert calm.lighting.clouds is None or np.all(calm.lighting.clouds.transmission == 1)
    assert not calm.is_interlaced and calm.stamp is None
    assert 0 < calm.sensor.read_noise <= sample(nuisance, seed).sensor.read_noise


@settings(max_examples=25)
@given(seeds, st.sampled_from(NUISANCES), st.integers(64, 110), st.integers(64, 110), st.integers(2, 4))
def test_cameras_of_every_size_record(seed: int, nuisance: str, height: int, width: int, num_frames: int) -> None:
    rng = np.random.default_rng(seed)
    camera = Camera.sample(rng, nuisance, num_frames, (height, width))
    scene = np.random.default_rng(0).random((height + 2 * MARGIN, width + 2 * MARGIN, 3), dtype=np.float32)
    frames = camera.record(rng, (scene.copy() for _ in range(num_frames)))
    assert len(frames) == num_frames and all(frame.shape == (height, width, 3) for frame in frames)
    assert all(side % 2 == 0 for side in camera.coded_size)  # encoders need that
    assert {field.name for field in fields(camera)} >= {"size", "times", "codec"}
