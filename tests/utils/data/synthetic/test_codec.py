"""Encoders: real ones, with their kind of error, and key frames that pulse."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.types import UInt8Array
from convlstm.utils.data.synthetic.codec import Codec
from convlstm.utils.data.synthetic.scenes import still_scene

ENCODERS = ("jpeg", "h264", "mpeg4")


@pytest.fixture(scope="module")
def noisy() -> list[UInt8Array]:
    """A still scene (96, 128) under noise, 20 frames."""
    rng = np.random.default_rng(3)
    scene = still_scene(rng, (96, 128)).background
    noise = rng.normal(0, 0.02, (20, *scene.shape))
    return [np.rint(np.clip(scene + frame, 0, 1) * 255).astype(np.uint8) for frame in noise]


def error(frames: list[UInt8Array], recorded: list[UInt8Array]) -> float:
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(frames, recorded, strict=True)]))


def changes(frames: list[UInt8Array]) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return np.array([np.abs(b.astype(int) - a).mean() for a, b in itertools.pairwise(frames)])


def blockiness(frame: UInt8Array) -> float:
    """How much larger steps are at the borders of blocks of 8 than elsewhere."""
    steps = np.abs(np.diff(frame.astype(float).mean(axis=2), axis=1)).mean(axis=0)
    at_border = np.arange(len(steps)) % 8 == 7
    return float(steps[at_border].mean() / steps[~at_border].mean())


def test_no_codec_leaves_frames_alone(noisy: list[UInt8Array]) -> None:
    assert Codec().record(noisy) is noisy


@pytest.mark.parametrize(("name", "fine", "coarse"), [("jpeg", 92, 15), ("h264", 18, 38), ("mpeg4", 2, 15)])
def test_codecs_lose_more_the_harder_they_press(noisy: list[UInt8Array], name: str, fine: int, coarse: int) -> None:
    light, heavy = (Codec(name, quality).record(noisy) for quality in (fine, coarse))
    assert len(light) == len(heavy) == 20
    assert all(frame.shape == (96, 128, 3) and frame.dtype == np.uint8 for frame in light + heavy)
    assert 0 < error(noisy, light) < 0.8 * error(noisy, heavy)
    assert error(noisy, heavy) < 12
    assert blockiness(heavy[0]) > 1.2 > blockiness(noisy[0])
    again = Codec(name, coarse).record(noisy)
    assert all(np.array_equal(a, b) for a, b in zip(heavy, again, strict=True))


def test_jpeg_compresses_every_frame_by_itself(noisy: list[UInt8Array]) -> None:
    together, alone = Codec("jpeg", 40).record(noisy), Codec("jpeg", 40).record(noisy[7:8])
    np.testing.assert_array_equal(together[7], alone[0])


@pytest.mark.parametrize(("name", "quality"), [("h264", 34), ("mpeg4", 10)])
@pytest.mark.parametrize("key_interval", [5, 8])
def test_key_frames_pulse(noisy: list[UInt8Array], name: str, quality: int, key_interval: int) -> None:
    pulse = changes(Codec(name, quality, key_interval).record(noisy))
    is_key = (np.arange(1, 20) % key_interval) == 0
    assert pulse[is_key].min() > 2 * pulse[~is_key].mean()


def test_between_key_frames_little_of_the_noise_is_left(noisy: list[UInt8Array]) -> None:
    assert changes(Codec("h264", 30, 250).record(noisy)).mean() < 0.3 * changes(noisy).mean()


def test_motion_survives() -> None:
    frames = [np.full((64, 64, 3), 90, dtype=np.uint8) for _ in range(8)]
    for index, frame in enumerate(frames):
        frame[20:40, 4 * index : 4 * index + 16] = (220, 60, 60)
    for name, quality in (("h264", 30), ("mpeg4", 8), ("jpeg", 50)):
        recorded = Codec(name, quality).record(frames)
        where = [int(np.argmax(frame[30, :, 0].astype(int) - frame[30, :, 2] > 60)) for frame in recorded]
        assert where == pytest.approx([4 * index for index in range(8)], abs=2)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_sampled_codecs_are_ones_that_run(seed: int, is_strong: bool) -> None:
    codec = Codec.sample(np.random.default_rng(seed), is_strong=is_strong)
    assert codec.name in ENCODERS
    low, high = {"jpeg": (25, 96), "h264": (18, 40), "mpeg4": (2, 16)}[codec.name]
    assert low <= codec.quality < high
    frames = [np.random.default_rng(seed + index).integers(0, 256, (32, 34, 3), dtype=np.uint8) for index in range(2)]
    recorded = codec.record(frames)
    assert len(recorded) == 2 and all(frame.shape == (32, 34, 3) for frame in recorded)


def test_strong_compression_is_stronger() -> None:
    def qualities(name: str, is_strong: bool) -> list[int]:
        codecs = [Codec.sample(np.random.default_rng(seed), is_strong=is_strong) for seed in range(80)]
        return [codec.quality for codec in codecs if codec.name == name]

    for name in ENCODERS:
        mild, strong = qualities(name, False), qualities(name, True)
        assert len(mild) > 5 and len(strong) > 5
        assert max(strong) <= min(mild) if name == "jpeg" else max(mild) < min(strong) + 1
