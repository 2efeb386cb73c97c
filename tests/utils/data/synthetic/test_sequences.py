"""Synthetic sequences: exact masks, honest static ones, and a data set that depends on its seed alone."""

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.errors import ConfigError, DataError
from convlstm.types import UInt8Array
from convlstm.utils.data.synthetic import (
    DYNAMIC_KINDS,
    STATIC_KINDS,
    SyntheticSequence,
    synthesize_sequence,
    write_dataset,
)
from convlstm.utils.data.synthetic.camera import MARGIN, NUISANCES, Camera
from convlstm.utils.data.synthetic.textures import fractal_noise, scrolled

kinds = st.sampled_from(DYNAMIC_KINDS + STATIC_KINDS)
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(64, 130)


def make(kind: str, seed: int, *, num_frames: int = 4, size: tuple[int, int] = (96, 96)) -> SyntheticSequence:
    return synthesize_sequence(kind, num_frames=num_frames, size=size, rng=np.random.default_rng(seed))


def make_perfect(kind: str, seed: int, num_frames: int) -> SyntheticSequence:
    """Filmed by a camera that adds nothing."""
    size = (128, 160)
    camera = Camera.perfect(num_frames, size)
    rng = np.random.default_rng(seed)
    return synthesize_sequence(kind, num_frames=num_frames, size=size, rng=rng, camera=camera)


def change(sequence: SyntheticSequence, index: int, lag: int = 1) -> UInt8Array:
    """Largest change of each pixel's channels since `lag` frames before."""
    return np.asarray(cv2.absdiff(sequence.frames[index], sequence.frames[index - lag]).max(axis=2))


def still_pixels(
    sequence: SyntheticSequence, index: int, lag: int = 1
) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    return np.asarray((sequence.masks[index] == 0) & (sequence.masks[index - lag] == 0))


@settings(max_examples=20, deadline=None)
@given(kinds, seeds, st.integers(2, 5), sides, sides)
def test_the_seed_decides_every_pixel(kind: str, seed: int, num_frames: int, height: int, width: int) -> None:
    first, second = (make(kind, seed, num_frames=num_frames, size=(height, width)) for _ in range(2))
    assert first.frames.shape == (num_frames, height, width, 3)
    assert first.frames.dtype == first.masks.dtype == np.uint8
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.masks, second.masks)
    assert set(np.unique(first.masks)) <= {0, 255}
    assert first.is_dynamic == (kind in DYNAMIC_KINDS)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(STATIC_KINDS), seeds)
def test_static_sequences_have_empty_masks_and_no_equal_frames(kind: str, seed: int) -> None:
    sequence = make(kind, seed)
    assert not sequence.is_dynamic
    assert not sequence.masks.any()
    assert all(change(sequence, index).any() for index in range(1, len(sequence.frames)))


@pytest.mark.parametrize("seed", range(6))
def test_outside_the_masks_of_moving_things_nothing_changes(seed: int) -> None:
    sequence = make_perfect("moving", seed, num_frames=12)
    for index in range(1, 12):
        assert change(sequence, index)[still_pixels(sequence, index)].max(initial=0) <= 1  # rounding
    moved = [change(sequence, i)[sequence.masks[i] > 0] for i in range(1, 12)]
    assert max(int(m.max(initial=0)) for m in moved) > 20


@pytest.mark.parametrize("seed", range(4))
def test_outside_the_masks_of_water_nothing_changes(seed: int) -> None:
    sequence = make_perfect("water", seed, num_frames=6)
    for index in range(1, 6):
        assert change(sequence, index)[still_pixels(sequence, index)].max(initial=0) <= 1


@pytest.mark.parametrize("kind", ["flicker", "smoke"])
@pytest.mark.parametrize("seed", range(4))
def test_masks_of_fire_and_smoke_hold_most_of_the_change(kind: str, seed: int) -> None:
    sequence = make_perfect(kind, seed, num_frames=8)
    inside = np.mean([change(sequence, i, lag=4)[sequence.masks[i] > 0].mean() for i in range(4, 8)])
    outside = np.mean([change(sequence, i, lag=4)[still_pixels(sequence, i, lag=4)].mean() for i in range(4, 8)])
    assert inside > 4 * outside


@pytest.mark.parametrize("kind", DYNAMIC_KINDS)
def test_dynamic_sequences_are_dynamic_in_every_window(kind: str) -> None:
    for seed in range(4):
        masks = make(kind, seed, num_frames=24, size=(128, 128)).masks
        shares = (masks > 0).mean(axis=(1, 2))
        assert all(shares[start : start + 10].max() > 0.001 for start in range(15))


def test_masks_follow_a_shaking_camera() -> None:
    camera = Camera.perfect(2, (64, 64))
    camera.shifts[1] = (2, -1)
    scene = np.random.default_rng(0).random((64 + 2 * MARGIN, 64 + 2 * MARGIN), dtype=np.float32)
    expected = scene[MARGIN + 1 : MARGIN + 65, MARGIN - 2 : MARGIN + 62]
    np.testing.assert_allclose(camera.crop(scene, 1), expected, atol=1e-6)


@pytest.mark.parametrize("nuisance", NUISANCES)
def test_a_camera_suffers_from_what_it_is_asked_for(nuisance: str) -> None:
    camera = Camera.sample(np.random.default_rng(1), nuisance, 10, (64, 64))
    suffered = {
        "still": camera.read_noise > 0,
        "exposure": np.ptp(camera.gains) > 0,
        "lights": camera.lamps.any(),
        "shake": np.ptp(camera.shifts) > 0,
        "compression": camera.qualities.all(),
    }
    assert suffered[nuisance]
    assert suffered["still"]
    assert np.abs(camera.shifts).max() < MARGIN


def test_severity_scales_what_a_camera_does() -> None:
    def sample(nuisance: str, severity: float) -> Camera:
        return Camera.sample(np.random.default_rng(0), nuisance, 10, (64, 64), severity=severity)

    for nuisance in NUISANCES:
        calm = sample(nuisance, 0.0)
        assert np.ptp(calm.gains) == np.ptp(calm.shifts) == np.abs(calm.lamp_levels).sum() == 0
        assert 0 < calm.read_noise <= sample(nuisance, 1.0).read_noise
    with pytest.raises(ConfigError, match="severity must lie between 0 and 1, got 2"):
        synthesize_sequence("still", num_frames=2, size=(64, 64), rng=np.random.default_rng(0), severity=2)


def test_noise_wraps_around() -> None:
    noise = fractal_noise(np.random.default_rng(0), (40, 60))
    assert noise.mean() == pytest.approx(0, abs=1e-4)
    assert noise.std() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(scrolled(noise, (40, 60), (5, -3)), np.roll(noise, (-3, 5), axis=(0, 1)), atol=1e-5)


def write(root: Path, *, num_workers: int = 0, seed: int = 3) -> Path:
    numbers = {"num_train": 4, "num_val": 2, "num_test": 3, "num_frames": 3, "size": (64, 96), "fps": 12.5}
    return write_dataset(root, **numbers, seed=seed, num_workers=num_workers)  # type: ignore[arg-type]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_files_depend_on_the_seed_and_not_on_the_number_of_workers(tmp_path: Path) -> None:
    alone, together, other = (tmp_path / name for name in ("alone", "together", "other"))
    write(alone)
    write(together, num_workers=2)
    write(other, seed=4)
    assert contents(alone) == contents(together)
    frame = "sequence_001/frame_000001.png"
    assert contents(alone)[frame] != contents(other)[frame]


def test_data_set_on_disk(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    manifest = write_dataset(
        tmp_path / "a" / "b",
        num_train=20,
        num_val=10,
        num_test=2,
        num_frames=2,
        size=(64, 64),
        fps=25,
        seed=0,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert manifest == tmp_path / "a" / "b" / "data.csv"
    assert calls == [(done, 32) for done in range(1, 33)]
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["folder_name", "type", "group", "fps", "frames", "split", "kind"]
    assert len({row["group"] for row in rows}) == len(rows) == 32
    assert Counter((row["split"], row["type"]) for row in rows) == {
        (split, kind): number
        for split, number in (("train", 10), ("val", 5), ("test", 1))
        for kind in ("dynamic", "static")
    }
    for split in ("train", "val"):
        assert {row["kind"] for row in rows if row["split"] == split} == {*DYNAMIC_KINDS, *STATIC_KINDS}
    for row in rows:
        folder = manifest.parent / row["folder_name"]
        names = [f"frame_{number:06d}.png" for number in (1, 2)]
        assert sorted(path.name for path in folder.iterdir()) == [*names, "masks"]
        assert sorted(path.name for path in (folder / "masks").iterdir()) == names
        frame = cv2.imread(str(folder / names[0]), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(folder / "masks" / names[0]), cv2.IMREAD_UNCHANGED)
        assert frame is not None and frame.shape == (64, 64, 3)
        assert mask is not None and mask.shape == (64, 64) and mask.dtype == np.uint8
        assert row["type"] == "dynamic" or not mask.any()


def test_files_hold_the_sequence_pixel_by_pixel(tmp_path: Path) -> None:
    write(tmp_path / "data")
    rng = np.random.default_rng(np.random.SeedSequence(3).spawn(9)[0])
    sequence = synthesize_sequence("moving", num_frames=3, size=(64, 96), rng=rng)
    frame = cv2.imread(str(tmp_path / "data" / "sequence_001" / "frame_000003.png"))
    assert frame is not None
    np.testing.assert_array_equal(frame[..., ::-1], sequence.frames[2])


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not empty"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_data_set_has_no_manifest(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(
            tmp_path / "data",
            num_train=2,
            num_val=2,
            num_test=0,
            num_frames=2,
            size=(64, 64),
            fps=25,
            seed=0,
            progress=interrupt,
        )
    assert not (tmp_path / "data" / "data.csv").exists()


@pytest.mark.parametrize(
    ("kind", "num_frames", "size", "message"),
    [
        ("earthquake", 10, (64, 64), 'unknown kind of sequence "earthquake"'),
        ("moving", 1, (64, 64), "num_frames must be at least 2, got 1"),
        ("still", 10, (64, 32), r"at least 64 x 64 pixels, got \(64, 32\)"),
    ],
)
def test_impossible_sequences_are_refused(kind: str, num_frames: int, size: tuple[int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(kind, 0, num_frames=num_frames, size=size)


def test_a_split_with_one_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_val must be 0 or at least 2"):
        write_dataset(tmp_path, num_train=2, num_val=1, num_test=0, num_frames=2, size=(64, 64), fps=25, seed=0)


def test_repr_shows_shapes() -> None:
    assert (
        repr(make("still", 0, num_frames=2)) == "SyntheticSequence(still, frames=(2, 96, 96, 3), dynamic share=0.000)"
    )
