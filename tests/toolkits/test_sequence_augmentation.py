"""Copies of sequences: their group, their rows, their masks and times, and what is not copied."""

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convlstm.cli import main
from convlstm.config import TrainConfig
from convlstm.config.toolkits import CHANGES, SequenceAugmentationConfig
from convlstm.errors import ConfigError, DataError
from convlstm.sources.frame_times import FrameTime, write_frame_times
from convlstm.sources.images import read_image, read_mask
from convlstm.sources.open import open_source
from convlstm.toolkits.origin import read_origin
from convlstm.toolkits.runner import ToolResult
from convlstm.toolkits.sequence_augmentation import run
from convlstm.types import UInt8Array
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.sequences import open_sequences
from convlstm.utils.data.split import split_rows

NONE = dict.fromkeys(CHANGES, 0.0)
WIDTH, HEIGHT = 96, 64


def write_sequence(folder: Path, *, masks: bool = True, num_frames: int = 8, missing: tuple[int, ...] = ()) -> Path:
    """A bright square that moves over a pattern with a black bar; frames of even numbers are a little brighter."""
    folder.mkdir(parents=True)
    coarse = np.random.default_rng(len(folder.name)).integers(60, 150, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    for number in range(1, num_frames + 1):
        frame = np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8)) + np.uint8(number)
        frame[:, 80:90] = 0
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        left = 24 + 2 * number
        frame[24:40, left : left + 16], mask[24:40, left : left + 16] = 230, 255
        if number in missing:
            continue
        Image.fromarray(frame).save(folder / f"frame_{number:06d}.png")
        if masks:
            (folder / "masks").mkdir(exist_ok=True)
            Image.fromarray(mask).save(folder / "masks" / f"frame_{number:06d}.png")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    write_sequence(root / "fire" / "a")
    write_sequence(root / "fire" / "b", masks=False)
    write_sequence(root / "calm" / "c", masks=False)
    write_sequence(root / "calm" / "d", masks=False)
    (root / "data.csv").write_text(
        "folder_name,type,fps,frames,split,note\nfire/a,dynamic,12.5,8,train,x\nfire/b,dynamic,,8,val,\n"
        "calm/c,static,,8,train,\ncalm/d,static,,8,val,\n"
    )
    return root


def augment(source: Path, output: Path, **settings: Any) -> ToolResult:
    return run(SequenceAugmentationConfig(source=(str(source),), output=output, **{"workers": 1, **settings}))


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def frames(folder: Path) -> list[UInt8Array]:
    return [read_image(path) for path in sorted(folder.glob("frame_*"))]


def masks(folder: Path) -> list[UInt8Array]:
    return [read_mask(path) for path in sorted((folder / "masks").glob("frame_*"))]


def rows(root: Path) -> list[dict[str, str]]:
    with (root / "data.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_copies_beside_their_originals_keep_their_group(tmp_path: Path, data: Path) -> None:
    before = contents(data)
    result = augment(data, data, copies=2)
    assert (result.summary, result.exit_code) == ("copies: 4, frames: 32", 0)
    after = contents(data)
    assert {name: after[name] for name in before if name != "data.csv"} == {
        name: content for name, content in before.items() if name != "data.csv"
    }
    names = [(row["folder_name"], row["group"], row["split"], row["frames"], row["note"]) for row in rows(data)]
    assert names[:4] == [
        ("fire/a", "", "train", "8", "x"),
        ("fire/b", "", "val", "8", ""),
        ("calm/c", "", "train", "8", ""),
        ("calm/d", "", "val", "8", ""),
    ]
    assert names[4:] == [
        ("calm/c_aug1", "calm/c", "train", "8", ""),
        ("calm/c_aug2", "calm/c", "train", "8", ""),
        ("fire/a_aug1", "fire/a", "train", "8", "x"),
        ("fire/a_aug2", "fire/a", "train", "8", "x"),
    ]
    assert rows(data)[6]["fps"] == "12.5"
    config = TrainConfig(data_root=data, seq_length=8)
    splits = split_rows(read_manifest(data, "data.csv", config.classes), val_ratio=0.2, seed=0)
    assert {side: len(members) for side, members in splits.items()} == {"train": 6, "val": 2, "test": 0}
    sequences, left_out = open_sequences(splits["train"], config)
    assert left_out == [] and len(sequences) == 6
    assert (data / "contact_sheet.png").exists()
    copy = read_origin(data / "fire" / "a_aug1")
    assert copy is not None and (copy.group, copy.fps, copy.num_frames) == ("fire/a", 12.5, 8)
    assert copy.extra["changes"] and frames(data / "fire" / "a_aug1")[0].shape == (HEIGHT, WIDTH, 3)


def test_a_second_run_copies_no_copies_and_adds_no_rows(data: Path) -> None:
    augment(data, data, copies=2)
    before = contents(data)
    again = augment(data, data, copies=2)
    assert again.summary == "copies finished before: 4" and contents(data) == before
    more = augment(data, data, copies=3)
    assert more.summary == "copies finished before: 4, copies: 2, frames: 16" and len(rows(data)) == 10
    fewer = augment(data, data, copies=1, seed=1, overwrite=True)
    assert fewer.summary == "copies: 2, frames: 16" and len(rows(data)) == 10


def test_another_output_holds_copies_alone(tmp_path: Path, data: Path) -> None:
    before = contents(data)
    augment(data, tmp_path / "out", splits=("val",))
    assert contents(data) == before
    assert [(row["folder_name"], row["group"], row["split"]) for row in rows(tmp_path / "out")] == [
        ("calm/d_aug1", "calm/d", "val"),
        ("fire/b_aug1", "fire/b", "val"),
    ]
    assert len(read_manifest(tmp_path / "out", "data.csv", ("static", "dynamic"))) == 2


def test_rows_without_a_split_are_copied_with_a_warning(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    (data / "data.csv").write_text("folder_name,type\nfire/a,dynamic\ncalm/c,static\n")
    result = augment(data, data)
    assert result.summary.startswith("copies: 2")
    assert "2 of 2 sequences have no split: what training draws for validation will hold copies too" in caplog.text
    assert [row["group"] for row in rows(data)] == ["", "", "calm/c", "fire/a"]
    (data / "data.csv").write_text("folder_name,type,split\nfire/a,dynamic,test\n")
    with pytest.raises(DataError, match="no sequence is of split train: see --splits"):
        augment(data, data)


def test_folders_without_a_manifest(tmp_path: Path) -> None:
    write_sequence(tmp_path / "in" / "dynamic" / "a")
    augment(tmp_path / "in", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["contact_sheet.png", "dynamic"]
    origin = read_origin(tmp_path / "out" / "dynamic" / "a_aug1")
    assert origin is not None and origin.group == "dynamic/a"
    augment(tmp_path / "in", tmp_path / "in")
    assert augment(tmp_path / "in", tmp_path / "in").summary == "copies finished before: 1"


def test_masks_follow_and_black_stays_black(data: Path) -> None:
    augment(
        data, data, copies=3, **{**NONE, "flip": 0.5, "crop": 1.0, "rotation": 0.5, "brightness": 1.0, "noise": 1.0}
    )
    for number in range(1, 4):
        folder = data / "fire" / f"a_aug{number}"
        black = [(frame.max(axis=2) == 0).sum() for frame in frames(folder)]
        assert len(set(black)) == 1  # of all frames the same
        for frame, mask in zip(frames(folder), masks(folder), strict=True):
            assert set(np.unique(mask)) == {0, 255}
            inside, outside = frame[mask == 255].mean(), frame[(mask == 0) & (frame.max(axis=2) > 0)].mean()
            assert inside > 1.4 * outside
        shown = [int(np.nonzero(mask.any(axis=0))[0].mean()) for mask in masks(folder)]
        assert len(set(shown)) > 4  # the square moves on


def test_geometry_and_light_are_the_same_for_all_frames(data: Path) -> None:
    augment(data, data, **{**NONE, "flip": 1.0})
    for original, copy in zip(frames(data / "fire" / "a"), frames(data / "fire" / "a_aug1"), strict=True):
        np.testing.assert_array_equal(copy, original[:, ::-1])
    for original, copy in zip(masks(data / "fire" / "a"), masks(data / "fire" / "a_aug1"), strict=True):
        np.testing.assert_array_equal(copy, original[:, ::-1])


def test_light_that_varies(tmp_path: Path) -> None:
    write_sequence(tmp_path / "in" / "static" / "c", masks=False, num_frames=60)

    def ratios(output: Path, **settings: Any) -> list[float]:
        augment(tmp_path / "in", output, **{**NONE, "brightness": 1.0, **settings})
        pairs = zip(frames(tmp_path / "in/static/c"), frames(output / "static" / "c_aug1"), strict=True)
        return [float(copy[8:16, 0:8].mean() / original[8:16, 0:8].mean()) for original, copy in pairs]

    still, varied = ratios(tmp_path / "a"), ratios(tmp_path / "b", smooth=True)
    assert max(still) - min(still) < 0.02 and abs(still[0] - 1) > 0.004
    assert max(varied) - min(varied) > 0.05 and np.abs(np.diff(varied)).max() < 0.08


def test_time_reversal_and_lost_frames(data: Path) -> None:
    times = [FrameTime(n, f"frame_{n:06d}.png", seconds, n) for n, seconds in enumerate((1, 1.5, 3, 4, 5, 6, 7, 9), 1)]
    write_frame_times(data / "fire" / "a", times)
    augment(data, data, **{**NONE, "reverse": 1.0})
    originals, copies = frames(data / "fire" / "a"), frames(data / "fire" / "a_aug1")
    assert all(np.array_equal(a, b) for a, b in zip(originals[::-1], copies, strict=True))
    source = open_source(data / "fire" / "a_aug1")
    assert [frame.pts_seconds for frame in source] == [1, 3, 4, 5, 6, 7, 8.5, 9]
    table = (data / "fire" / "a_aug1" / "frames.csv").read_text().splitlines()
    assert table[1] == "1,frame_000001.png,1.0,7"
    assert not (data / "calm" / "c_aug1" / "frames.csv").exists()  # its original has no times either
    augment(data, data / "lost", seed=5, **{**NONE, "frame_drop": 1.0})
    places = [
        next(i for i, a in enumerate(originals) if np.array_equal(a, b))
        for b in frames(data / "lost" / "fire" / "a_aug1")
    ]
    assert places[0] == 0 and len(set(places)) < 8 and places == sorted(places)
    assert all(shown in (place, places[place - 1]) for place, shown in enumerate(places))
    marks = masks(data / "lost" / "fire" / "a_aug1")
    assert all(
        np.array_equal(mask, masks(data / "fire" / "a")[place]) for mask, place in zip(marks, places, strict=True)
    )


@pytest.mark.parametrize("reverse", [0.0, 1.0])
def test_gaps_and_unreadable_frames_stay_gaps(tmp_path: Path, reverse: float) -> None:
    folder = write_sequence(tmp_path / "in" / "a", num_frames=12, missing=(4, 5))
    (folder / "frame_000009.png").write_bytes(b"")
    result = augment(tmp_path / "in", tmp_path / "out", **{**NONE, "flip": 1.0, "reverse": reverse})
    assert result.exit_code == 3 and "decoded 9 of 10 frames; unreadable: " in result.left_out[0]
    assert "frame_000009.png: empty file" in result.left_out[0]
    numbers = sorted(int(path.stem[-6:]) for path in (tmp_path / "out" / "a_aug1").glob("frame_*"))
    left = [1, 2, 3, 6, 7, 8, 10, 11, 12]
    assert numbers == (sorted(13 - number for number in left) if reverse else left)
    again = augment(tmp_path / "in", tmp_path / "out", **{**NONE, "flip": 1.0, "reverse": reverse})
    assert again.left_out == result.left_out and "copies finished before: 1" in again.summary


def test_what_a_label_is_about_is_not_cut_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="convlstm")
    root = tmp_path / "in"
    write_sequence(root / "fire" / "a", masks=False)
    write_sequence(root / "static" / "c", masks=False)
    corner = write_sequence(root / "fire" / "corner")
    for path in (corner / "masks").iterdir():
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        mask[:4, :4] = 255
        Image.fromarray(mask).save(path)
    augment(root, tmp_path / "out", copies=4, **{**NONE, "crop": 1.0, "flip": 1.0})
    changes = {}
    for path in sorted((tmp_path / "out").rglob("origin.json")):
        origin = read_origin(path.parent)
        assert origin is not None
        changes[path.parent.name] = str(origin.extra["changes"])
    assert all(changes[f"a_aug{n}"] == "left-right" for n in range(1, 5))
    assert all("crop" in changes[f"c_aug{n}"] for n in range(1, 5))
    assert any("crop" not in changes[f"corner_aug{n}"] for n in range(1, 5))
    for path in (tmp_path / "out" / "fire").glob("corner_aug*"):
        assert all(mask.any() for mask in masks(path))
    assert "1 of 3 sequences have no masks and are not known to be static: they are not cropped" in caplog.text
    result = augment(root / "fire" / "a", tmp_path / "none", **{**NONE, "crop": 1.0})
    assert "nothing of what is asked for can change it" in result.left_out[0]


def test_videos_become_folders(tmp_path: Path, make_frames: Any, write_video: Callable[..., Path]) -> None:
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "clip.mp4", make_frames(12))
    augment(tmp_path / "in", tmp_path / "out", **{**NONE, "flip": 1.0, "reverse": 1.0})
    original, copy = open_source(tmp_path / "in" / "clip.mp4"), open_source(tmp_path / "out" / "clip_aug1")
    for a, b in zip(original, copy, strict=True):
        np.testing.assert_array_equal(a.pixels[:, ::-1], b.pixels)
        assert a.pts_seconds == b.pts_seconds


def test_one_bad_sequence_stops_no_other(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_sequence(root / "a")
    (write_sequence(root / "b") / "masks" / "frame_000003.png").unlink()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(write_sequence(root / "c", masks=False) / "frame_000005.png")
    (write_sequence(root / "d") / "masks" / "frame_000003.png").write_bytes(b"")
    result = augment(root, tmp_path / "out")
    assert result.exit_code == 3 and result.summary == "copies: 1, frames: 8, with problems: 3"
    assert "b_aug1: 1 masks are missing: frame_000003.png: add them, or remove the folder" in result.left_out
    assert "c_aug1: frames of several sizes: not all are 96x64, as the first one is" in result.left_out
    assert "masks/frame_000003.png: empty file" in result.left_out[2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_aug1", "contact_sheet.png"]


def test_seeds(tmp_path: Path, data: Path) -> None:
    augment(data, tmp_path / "a", copies=2)
    augment(data, tmp_path / "b", copies=2)
    augment(data, tmp_path / "c", copies=2, seed=1)
    augment(data / "fire" / "a", tmp_path / "d", copies=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    first, other = (contents(tmp_path / name / "fire" / "a_aug1") for name in "ac")
    assert first["frame_000004.png"] != other["frame_000004.png"]
    second = contents(tmp_path / "a" / "fire" / "a_aug2")
    assert first["frame_000004.png"] != second["frame_000004.png"]


@pytest.mark.slow
def test_the_same_bytes_for_any_number_of_workers(tmp_path: Path, data: Path) -> None:
    augment(data, tmp_path / "one", copies=2)
    augment(data, tmp_path / "two", copies=2, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_dry_run_writes_nothing(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="convlstm")
    before = contents(data)
    assert augment(data, data, dry_run=True, **{**NONE, "flip": 1.0}).summary == "copies to make: 2"
    assert contents(data) == before
    assert f"{data / 'calm' / 'c'} to {data / 'calm' / 'c_aug1'}: left-right" in caplog.messages
    assert "2 sequences of other splits are not copied" in caplog.messages


def test_an_output_inside_a_sequence_is_refused(data: Path) -> None:
    for output in (data / "fire" / "a", data / "fire" / "a" / "more"):
        with pytest.raises(ConfigError, match=r"lies in the sequence .*a: name another folder"):
            augment(data / "fire" / "a", output)


def test_the_command(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "sequence_augmentation", "--source", str(data), "--output", str(tmp_path / "out")]
    assert main([*command, "--copies", "2", "--smooth", "--workers", "1", "--format", "jpg"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: copies: 4, frames: 32\n"
    assert len(list((tmp_path / "out" / "fire" / "a_aug1").glob("*.jpg"))) == 8
    assert main([*command, *(flag for name in CHANGES for flag in (f"--{name}", "0"))]) == 2
    assert "all probabilities are 0: copies would be as the original" in capsys.readouterr().err
