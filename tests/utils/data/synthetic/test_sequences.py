"""Whole sequences: exact masks, honest static ones, and a data set that depends on its seed alone."""

import csv
import multiprocessing
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from convlstm.errors import ConfigError, DataError
from convlstm.types import UInt8Array
from convlstm.utils.data.synthetic import (
    DYNAMIC_KINDS,
    STATIC_KINDS,
    SyntheticSequence,
    synthesize_sequence,
    write_dataset,
)
from convlstm.utils.data.synthetic import write as write_module
from convlstm.utils.data.synthetic.camera import MARGIN, Camera
from convlstm.utils.data.synthetic.recordings import UNKNOWN, find_recordings, training_mask
from convlstm.utils.data.synthetic.scenes import still_scene
from convlstm.utils.data.synthetic.sequences import PASSING, RECORDING, film_recording

Make = Callable[..., SyntheticSequence]
Pixels = NDArray[np.uint8]

kinds = st.sampled_from(DYNAMIC_KINDS + STATIC_KINDS)
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(64, 130)


def change(sequence: SyntheticSequence, index: int, lag: int = 1) -> UInt8Array:
    """Largest change of each pixel's channels since `lag` frames before."""
    return np.asarray(cv2.absdiff(sequence.frames[index], sequence.frames[index - lag]).max(axis=2))


def still_pixels(sequence: SyntheticSequence, index: int, lag: int = 1) -> NDArray[np.bool_]:
    return np.asarray((sequence.masks[index] == 0) & (sequence.masks[index - lag] == 0))


@settings(max_examples=30)
@given(kinds, seeds, st.integers(2, 5), sides, sides, st.booleans(), st.floats(0, 1))
def test_the_seed_decides_every_pixel(
    make: Make, kind: str, seed: int, num_frames: int, height: int, width: int, has_photos: bool, severity: float
) -> None:
    photos = (np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8),) if has_photos else ()
    first, second = (
        make(kind, seed, num_frames=num_frames, size=(height, width), photos=photos, severity=severity)
        for _ in range(2)
    )
    assert first.frames.shape == (num_frames, height, width, 3)
    assert first.masks.shape == (num_frames, height, width)
    assert first.frames.dtype == first.masks.dtype == np.uint8
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.masks, second.masks)
    assert set(np.unique(first.masks)) <= {0, 255}
    assert first.is_dynamic == (kind in DYNAMIC_KINDS)


@pytest.mark.parametrize("kind", STATIC_KINDS)
def test_static_sequences_have_empty_masks_and_frames_that_differ(kind: str, make: Make) -> None:
    """Copies of one frame would tell a static sequence at once."""
    for seed in range(6):
        sequence = make(kind, seed, num_frames=5)
        assert not sequence.is_dynamic and not sequence.masks.any()
        assert any(change(sequence, index).any() for index in range(1, 5))


@pytest.mark.parametrize(("kind", "most"), [("moving", 4), ("water", 4), ("foliage", 14), ("smoke", 14)])
def test_outside_of_the_masks_nothing_changes(kind: str, most: int, make: Make) -> None:
    """In greys: a little blue alone is not seen. In two of eight at most, a fire or a lamp shines on what is still."""
    worst, inside = [], []
    for seed in range(8):
        sequence = make(kind, seed, num_frames=6, is_perfect=True)
        greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in sequence.frames]
        worst.append(
            max(int(cv2.absdiff(greys[i], greys[i - 1])[still_pixels(sequence, i)].max(initial=0)) for i in range(1, 6))
        )
        inside.append(max(int(change(sequence, i)[sequence.masks[i] > 0].max(initial=0)) for i in range(1, 6)))
    assert sorted(worst)[5] <= most
    assert np.median(inside) > 10


@pytest.mark.parametrize("kind", ["flicker", "smoke", "screen"])
def test_masks_hold_most_of_the_change(kind: str, make: Make) -> None:
    inside, outside = [], []
    for seed in range(6):
        sequence = make(kind, seed, num_frames=8, size=(128, 160), is_perfect=True)
        inside += [change(sequence, i, lag=4)[sequence.masks[i] > 0].mean() for i in range(4, 8)]
        outside += [change(sequence, i, lag=4)[still_pixels(sequence, i, lag=4)].mean() for i in range(4, 8)]
    assert np.nanmean(inside) > 4 * np.nanmean(outside)


@pytest.mark.parametrize("kind", DYNAMIC_KINDS)
def test_dynamic_sequences_are_dynamic_in_every_window(kind: str, make: Make) -> None:
    for seed in range(3):
        masks = make(kind, seed, num_frames=24, size=(128, 128)).masks
        shares = (masks > 0).mean(axis=(1, 2))
        assert all(shares[start : start + 10].max() > 0.001 for start in range(15))


def is_on_grid(size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where masks hold single pixels that say that nobody knows."""
    return training_mask(np.full(size, UNKNOWN, np.uint8)) > 0


@pytest.mark.parametrize("kind", DYNAMIC_KINDS)
def test_a_shaking_camera_moves_frames_and_masks_alike(kind: str, make: Make) -> None:
    steady = Camera.perfect(4, (96, 96))
    shaking = replace(steady, shifts=np.array([[0, 0], [3, -2], [-5, 1], [4, 4]], dtype=np.float32))
    one, other = (make(kind, 3, camera=camera) for camera in (steady, shaking))
    assert one.masks.any()
    inner = slice(MARGIN, -MARGIN)
    for index, (x, y) in enumerate(shaking.shifts.astype(int)):
        expected = np.roll(one.frames[index], (y, x), axis=(0, 1))[inner, inner]
        np.testing.assert_array_equal(other.frames[index][inner, inner], expected)
        grid = is_on_grid((96, 96))
        grid |= np.roll(grid, (y, x), axis=(0, 1))
        moved = np.roll(one.masks[index], (y, x), axis=(0, 1))
        np.testing.assert_array_equal((other.masks[index] * ~grid)[inner, inner], (moved * ~grid)[inner, inner])


@pytest.mark.parametrize("kind", ["moving", "flicker"])
def test_repeated_frames_repeat_their_masks(kind: str, make: Make) -> None:
    camera = replace(Camera.perfect(6, (96, 96)), times=np.array([0, 1, 1, 3, 3, 3], dtype=np.float32))
    sequence = make(kind, 4, num_frames=6, camera=camera)
    for pixels in (sequence.frames, sequence.masks):
        assert [np.array_equal(a, b) for a, b in pairwise(pixels)] == [False, True, False, True, True]


@pytest.mark.parametrize("added", [{"stamp": (0.1, 0.5)}, {"coded_size": (48, 60)}], ids=str)
def test_what_the_camera_adds_is_not_in_the_masks(added: dict[str, Any], make: Make) -> None:
    plain, spoilt = (
        make("moving", 5, camera=camera)
        for camera in (Camera.perfect(4, (96, 96)), replace(Camera.perfect(4, (96, 96)), **added))
    )
    np.testing.assert_array_equal(plain.masks, spoilt.masks)


def test_interlaced_rows_show_what_was_there_a_frame_ago(make: Make) -> None:
    plain, spoilt = (
        make("moving", 5, camera=replace(Camera.perfect(4, (96, 96)), is_interlaced=interlaced))
        for interlaced in (False, True)
    )
    np.testing.assert_array_equal(spoilt.masks[:, ::2], plain.masks[:, ::2])
    before = plain.masks[[0, 0, 1, 2], 1::2]
    assert not is_on_grid((96, 96))[1::2].any()
    np.testing.assert_array_equal(spoilt.masks[:, 1::2], plain.masks[:, 1::2] | before)
    assert not np.array_equal(plain.frames, spoilt.frames)


def test_the_foreground_hides_actors_and_their_masks(make: Make) -> None:
    found = 0
    for seed in range(40):
        scene = still_scene(np.random.default_rng(seed), (96 + 2 * MARGIN, 96 + 2 * MARGIN))  # drawn first of all
        if scene.foreground is None:
            continue
        hidden = scene.foreground[MARGIN:-MARGIN, MARGIN:-MARGIN, 3]
        sequence = make(DYNAMIC_KINDS[seed % len(DYNAMIC_KINDS)], seed, is_perfect=True)
        assert not sequence.masks[:, hidden > 0.9].any()
        assert np.ptp(sequence.frames[:, hidden > 0.9999], axis=0).max(initial=0) <= 1
        found += bool(hidden.any() and sequence.masks.any())
    assert found >= 4


def test_photographs_become_backgrounds(make: Make) -> None:
    green = (np.full((90, 120, 3), (10, 180, 10), dtype=np.uint8),)
    photographed = 0
    for seed in range(16):
        red, of_green, blue = np.median(make("still", seed, num_frames=2, photos=green).frames.reshape(-1, 3), axis=0)
        photographed += bool(of_green > 1.3 * max(red, blue))
    assert 4 <= photographed <= 12


def test_severity_must_be_a_share(make: Make) -> None:
    with pytest.raises(ConfigError, match="severity must lie between 0 and 1, got 2"):
        make("still", 0, severity=2.0)


@pytest.mark.parametrize(
    ("kind", "num_frames", "size", "message"),
    [
        ("earthquake", 10, (64, 64), 'unknown kind of sequence "earthquake"'),
        ("moving", 1, (64, 64), "num_frames must be at least 2, got 1"),
        ("still", 10, (64, 32), r"at least 64 x 64 pixels, got \(64, 32\)"),
    ],
)
def test_impossible_sequences_are_refused(
    kind: str, num_frames: int, size: tuple[int, int], message: str, make: Make
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(kind, 0, num_frames=num_frames, size=size)


def test_repr_shows_shapes(make: Make) -> None:
    sequence = make("still", 0, num_frames=2)
    assert repr(sequence) == "SyntheticSequence(still, frames=(2, 96, 96, 3), dynamic share=0.000)"


@pytest.fixture(scope="module")
def footage(
    tmp_path_factory: pytest.TempPathFactory,
    make_frames: Callable[..., list[Pixels]],
    write_video: Callable[..., Path],
) -> Path:
    """A folder with two real videos (96, 128): in one a pillar crosses the picture, in the other nothing happens."""
    root = tmp_path_factory.mktemp("footage")
    [still] = make_frames(1, 96, 128)
    moving = [still.copy() for _ in range(40)]
    for index, frame in enumerate(moving):
        frame[:, 3 * index : 3 * index + 24] = 250
    write_video(root / "moving.mp4", moving)
    (root / "still").mkdir()
    write_video(root / "still" / "still.mp4", [still] * 30)
    return root


def film(folder: Path, seed: int, size: tuple[int, int] = (96, 110), severity: float = 1.0) -> SyntheticSequence:
    rng = np.random.default_rng(seed)
    return film_recording(rng, find_recordings(folder), num_frames=5, size=size, severity=severity)


def test_recordings_become_sequences(footage: Path) -> None:
    dynamic = 0
    for seed in range(12):
        sequence = film(footage, seed)
        assert sequence.kind == RECORDING
        assert sequence.frames.shape == (5, 96, 110, 3) and sequence.masks.shape == (5, 96, 110)
        assert sequence.frames.dtype == sequence.masks.dtype == np.uint8 and set(np.unique(sequence.masks)) <= {0, 255}
        solid = [cv2.erode(mask, np.ones((3, 3), np.uint8)).any() for mask in sequence.masks]  # more than single pixels
        assert not any(solid) or sequence.is_dynamic
        dynamic += sequence.is_dynamic
    assert 1 <= dynamic < 12


def test_the_seed_decides_what_a_recording_becomes(footage: Path) -> None:
    first, again, other = (film(footage, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.frames, other.frames)


def test_in_recordings_of_nothing_nothing_moves(footage: Path) -> None:
    for seed in range(4):
        sequence = film(footage / "still", seed)
        assert not sequence.is_dynamic and not sequence.masks.any()


@pytest.mark.parametrize("size", [(64, 71), (640, 640)])
def test_recordings_come_in_any_size(footage: Path, size: tuple[int, int]) -> None:
    assert film(footage, 1, size=size).frames.shape == (5, *size, 3)


def write(root: Path, *, num_workers: int = 0, seed: int = 3, **others: Any) -> Path:
    numbers = {"num_train": 4, "num_val": 2, "num_test": 3, "num_frames": 3, "size": (64, 96), "fps": 12.5}
    settings: dict[str, Any] = {**numbers, **others}
    return write_dataset(root, **settings, seed=seed, num_workers=num_workers)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_depend_on_the_seed_and_not_on_the_number_of_workers(tmp_path: Path, footage: Path) -> None:
    sources: dict[str, Any] = {"backgrounds": footage, "recordings": footage, "num_recordings": 1}
    alone, together, other, plain = (tmp_path / name for name in ("alone", "together", "other", "plain"))
    write(alone, **sources)
    write(together, num_workers=2, **sources)
    write(other, seed=4, **sources)
    write(plain)
    assert contents(alone) == contents(together)
    frame = "sequence_001/frame_000001.png"
    assert contents(alone)[frame] != contents(other)[frame]
    assert {name.split("/")[0] for name in contents(alone)} - {name.split("/")[0] for name in contents(plain)} == {
        "sequence_010"
    }
    different = [name for name, data in contents(plain).items() if contents(alone)[name] != data]
    assert different and "data.csv" in different  # backgrounds change scenes, recordings add a row


def test_data_set_on_disk(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    settings: dict[str, Any] = {"num_train": 28, "num_val": 16, "num_test": 2, "num_frames": 2, "size": (64, 64)}
    manifest = write(tmp_path / "a" / "b", **settings, fps=25, progress=lambda done, all: calls.append((done, all)))
    assert manifest == tmp_path / "a" / "b" / "data.csv"
    assert calls == [(done, 46) for done in range(1, 47)]
    rows = rows_of(manifest)
    assert list(rows[0]) == ["folder_name", "type", "group", "fps", "frames", "split", "kind"]
    assert len({row["group"] for row in rows}) == len(rows) == 46
    assert Counter((row["split"], row["type"]) for row in rows) == {
        (split, kind): count
        for split, count in (("train", 14), ("val", 8), ("test", 1))
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
        assert (row["fps"], row["frames"]) == ("25", "2")


@pytest.mark.parametrize(
    ("kinds", "train"),
    [
        (("clouds", "smoke", "smoke", "water"), ["smoke", "clouds", "smoke", "clouds", "water", "clouds"]),
        (("screen",), ["screen", STATIC_KINDS[0], "screen", STATIC_KINDS[1], "screen", STATIC_KINDS[2]]),
        ((PASSING, "still"), [PASSING, "still", PASSING, "still", PASSING, "still"]),
        (("noise",), [DYNAMIC_KINDS[0], "noise", DYNAMIC_KINDS[1], "noise", DYNAMIC_KINDS[2], "noise"]),
    ],
)
def test_kinds_that_are_named_take_turns(tmp_path: Path, kinds: tuple[str, ...], train: list[str]) -> None:
    rows = rows_of(write(tmp_path / "data", num_train=6, num_test=0, num_frames=2, kinds=kinds))
    assert [row["kind"] for row in rows if row["split"] == "train"] == train
    assert [row["kind"] for row in rows if row["split"] == "val"] == train[:2]


@pytest.mark.parametrize("seed", range(4))
def test_a_place_is_empty_before_something_comes_or_after_it_has_left(seed: int) -> None:
    camera = Camera.perfect(24, (96, 96))
    rng = np.random.default_rng(seed)
    sequence = synthesize_sequence(PASSING, num_frames=24, size=(96, 96), rng=rng, camera=camera)
    moves = np.asarray((sequence.masks > 0).any(axis=(1, 2)))
    assert sequence.kind == PASSING and sequence.is_dynamic and moves.any() and not moves[[0, -1]].all()
    empty = sequence.frames[~moves]
    assert (empty == empty[0]).all()


def test_files_hold_the_sequence_pixel_by_pixel(tmp_path: Path) -> None:
    write(tmp_path / "data")
    rng = np.random.default_rng(np.random.SeedSequence(3).spawn(9)[0])
    sequence = synthesize_sequence("moving", num_frames=3, size=(64, 96), rng=rng)
    folder = tmp_path / "data" / "sequence_001"
    frame, mask = cv2.imread(str(folder / "frame_000003.png")), cv2.imread(str(folder / "masks" / "frame_000003.png"))
    assert frame is not None and mask is not None
    np.testing.assert_array_equal(frame[..., ::-1], sequence.frames[2])
    np.testing.assert_array_equal(mask[..., 0], sequence.masks[2])


def test_severities_are_drawn_between_two(tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    for name in ("synthesize_sequence", "film_recording"):
        make = getattr(write_module, name)

        def spy(*arguments: Any, severity: float, make: Any = make, **others: Any) -> SyntheticSequence:
            seen.append(severity)
            return make(*arguments, severity=severity, **others)  # type: ignore[no-any-return]

        monkeypatch.setattr(write_module, name, spy)
    settings: dict[str, Any] = {"num_train": 10, "recordings": footage, "num_recordings": 5}
    write(tmp_path / "range", min_severity=0.2, severity=0.7, **settings)
    assert len(seen) == len(set(seen)) == 20 and min(seen) < 0.35 and max(seen) > 0.55
    assert all(0.2 <= severity <= 0.7 for severity in seen)
    seen.clear()
    write(tmp_path / "one", severity=0.7, **settings)
    assert seen == [0.7] * 20


def test_a_share_of_sequences_is_infrared_and_the_same_happens_in_them(tmp_path: Path, footage: Path) -> None:
    settings: dict[str, Any] = {"num_train": 6, "recordings": footage, "num_recordings": 2}
    folders = [
        write(tmp_path / name, infrared=share, **settings).parent
        for name, share in (("none", 0.0), ("some", 0.5), ("all", 1.0))
    ]

    def is_grey(folder: Path) -> bool:
        frame = cv2.imread(str(next(iter(sorted(folder.glob("*.png"))))))
        assert frame is not None
        spread = frame.max(axis=2).astype(int) - frame.min(axis=2)
        return bool(spread.max() <= 4)  # codecs round colours

    none, some, all_of_them = ([is_grey(f) for f in sorted(root.glob("sequence_*"))] for root in folders)
    assert all(all_of_them) and sum(none) < sum(some) < sum(all_of_them)
    same = [rows_of(root / "data.csv") for root in folders]
    assert same[0] == same[1] == same[2]  # the same happens in them


def test_recordings_stand_among_the_training_rows(tmp_path: Path, footage: Path) -> None:
    manifest = write(tmp_path / "data", recordings=footage, num_recordings=5, num_train=0, num_val=2, num_test=0)
    rows = rows_of(manifest)
    assert [row["kind"] for row in rows] == ["moving", "still", *[RECORDING] * 5]
    assert [row["split"] for row in rows] == ["val", "val", *["train"] * 5]
    types = {row["folder_name"]: row["type"] for row in rows[2:]}
    assert set(types.values()) <= {"dynamic", "static"}
    for name, kind in types.items():
        masks = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (tmp_path / "data" / name / "masks").iterdir()]
        shares = [float((mask > 0).mean()) for mask in masks if mask is not None]
        assert len(shares) == 3
        assert max(shares) < 0.02 or kind == "dynamic"  # where nobody knows, 1 in 64 pixels is set


def test_backgrounds_are_read_from_images(tmp_path: Path) -> None:
    Image.new("RGB", (90, 70), (10, 200, 10)).save(tmp_path / "green.png")
    write(tmp_path / "data", backgrounds=tmp_path, num_train=10, num_val=0, num_test=0, num_frames=2)
    green = 0
    for folder in (tmp_path / "data").glob("sequence_*"):
        frame = cv2.imread(str(folder / "frame_000001.png"))
        assert frame is not None
        blue, of_green, red = np.median(frame.reshape(-1, 3), axis=0)
        green += bool(of_green > 1.3 * max(red, blue))
    assert 2 <= green <= 9


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not empty"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_interrupted_data_set_has_no_manifest(tmp_path: Path, num_workers: int) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "data", num_train=40, num_frames=2, size=(64, 64), progress=interrupt, num_workers=num_workers)
    assert not (tmp_path / "data" / "data.csv").exists()
    assert len(list((tmp_path / "data").iterdir())) < 30  # what was waiting is not done
    assert not multiprocessing.active_children()


def test_a_killed_worker_is_told_in_one_line(tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        for worker in multiprocessing.active_children():
            worker.kill()

    with pytest.raises(DataError, match="a worker was killed, most likely for lack of memory: use fewer num_workers"):
        write(tmp_path / "data", num_train=40, progress=kill, num_workers=1)
    assert not (tmp_path / "data" / "data.csv").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_val": 1}, "num_val must be 0 or at least 2, one sequence of each type, got 1"),
        ({"num_train": -2}, "num_train must be 0 or at least 2"),
        ({"num_recordings": -1}, "num_recordings must not be negative, got -1"),
        ({"num_recordings": 2}, "num_recordings is 2, but no folder is given: name one with recordings"),
        ({"recordings": Path()}, r"recordings is \., but num_recordings is 0: say how many sequences to cut out"),
        ({"num_train": 0, "num_val": 0, "num_test": 0}, "are all 0: ask for at least 2 sequences"),
        ({"num_frames": 1}, "num_frames must be at least 2, got 1"),
        ({"severity": 1.5}, "severity must lie between 0 and 1, got 1.5"),
        ({"severity": 0.5, "min_severity": 0.6}, r"min_severity must lie between 0 and severity \(0.5\), got 0.6"),
        ({"infrared": 1.5}, "infrared must lie between 0 and 1, got 1.5"),
        ({"min_severity": -0.1}, "min_severity must lie between 0 and severity"),
        ({"kinds": ("flicker", "fire")}, 'unknown kind of sequence "fire": known are moving, '),
    ],
)
def test_impossible_data_sets_are_refused_before_anything_is_made(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        write(tmp_path / "data", **wrong)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("wrong", ["backgrounds", "recordings"])
def test_folders_without_footage_are_refused_before_anything_is_made(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "empty").mkdir()
    others: dict[str, Any] = {wrong: tmp_path / "empty", "num_recordings": 2 if wrong == "recordings" else 0}
    with pytest.raises(DataError, match=f"leave --{wrong} out"):
        write(tmp_path / "data", **others)
    assert not (tmp_path / "data").exists()
