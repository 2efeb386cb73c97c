import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convlstm.config import TrainConfig
from convlstm.errors import DataError
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import LabelledSequence, open_sequences

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]

CONFIG = TrainConfig(seq_length=4, stride=2, target_size=(32, 64))


def numbered(count: int) -> list[Pixels]:
    """Frames whose brightness is their number."""
    return [np.full((32, 64, 3), index, dtype=np.uint8) for index in range(count)]


def config_for(root: Path, **changes: Any) -> TrainConfig:
    return replace(CONFIG, data_root=root, **changes)


def row(name: str, kind: str = "dynamic", fps: float | None = None) -> ManifestRow:
    return ManifestRow(name, kind, name, fps, None, 2)


def opened(config: TrainConfig, *rows: ManifestRow) -> list[LabelledSequence]:
    sequences, left_out = open_sequences(rows, config)
    assert not left_out
    return sequences


def write_masks(folder: Path, count: int) -> None:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(np.zeros((32, 64), dtype=np.uint8)).save(folder / f"frame_{index:06d}.png")


def test_rows_come_in_order_with_the_index_of_their_class(tmp_path: Path, write_folder: WriteFolder) -> None:
    for name in ("a", "b", "c"):
        write_folder(tmp_path / name, numbered(4))
    config = config_for(tmp_path, classes=("static", "dynamic", "negative"))
    rows = row("c", "negative"), row("a", "static"), row("b")
    sequences = opened(config, *rows)
    assert [sequence.row for sequence in sequences] == list(rows)
    assert [sequence.class_index for sequence in sequences] == [2, 0, 1]


def test_videos_are_sequences_too(
    tmp_path: Path, make_frames: Callable[..., list[Pixels]], write_video: Callable[..., Path]
) -> None:
    write_video(tmp_path / "clip.mkv", make_frames(8, 32, 64), codec="ffv1", pix_fmt="bgr0", fps=10)
    sequence, faster = opened(config_for(tmp_path), row("clip.mkv"), row("clip.mkv", fps=30.0))
    assert (sequence.fps, faster.fps) == (10, 30) and sequence.source.runs == [range(8)]
    assert sequence.masks is None and sequence.mask_file(3) is None


def test_the_frame_rate_is_that_of_the_manifest_or_the_setting(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(4))
    first, second = opened(config_for(tmp_path, fps=12.0), row("a", fps=50.0), row("a"))
    assert (first.fps, second.fps) == (50.0, 12.0)


def test_a_mask_has_the_name_of_its_frame(tmp_path: Path, write_folder: WriteFolder) -> None:
    frames = [Image.fromarray(pixels) for pixels in numbered(4)]
    (tmp_path / "a" / "masks").mkdir(parents=True)
    for number, frame in zip((3, 4, 5, 7), frames, strict=True):  # 6 is missing
        frame.save(tmp_path / "a" / f"cam.{number}.jpg")
        frame.convert("L").save(tmp_path / "a" / "masks" / f"cam.{number}.png")
    write_folder(tmp_path / "b", numbered(4))
    masked, plain = opened(config_for(tmp_path, seq_length=3), row("a"), row("b"))
    folder = tmp_path / "a" / "masks"
    assert masked.masks == folder and plain.masks is None
    indices = [index for run in masked.source.runs for index in run]
    files = [folder / f"cam.{number}.png" for number in (3, 4, 5, 7)]
    assert [masked.mask_file(index) for index in indices] == files
    assert plain.mask_file(0) is None


def test_missing_masks_are_named_and_the_sequence_left_out(tmp_path: Path, write_folder: WriteFolder) -> None:
    for name in ("a", "b"):
        write_folder(tmp_path / name, numbered(5))
    write_masks(tmp_path / "a" / "masks", 3)
    sequences, left_out = open_sequences([row("a"), row("b")], config_for(tmp_path))
    assert [sequence.row.folder_name for sequence in sequences] == ["b"]
    assert left_out == [
        f"{tmp_path}/a/masks: 2 of 5 masks missing (frame_000003.png, frame_000004.png): "
        "add them, black where nothing moves, or remove the folder"
    ]


@pytest.mark.parametrize("what", ["a/frame_000002.png", "a/masks", "a/masks/frame_000002.png"])
def test_links_that_leave_the_root_are_refused(tmp_path: Path, write_folder: WriteFolder, what: str) -> None:
    root = tmp_path / "data"
    write_folder(root / "a", numbered(4))
    write_masks(root / "a" / "masks", 4)
    outside = tmp_path / "outside" / what
    outside.parent.mkdir(parents=True)
    (root / what).rename(outside)
    (root / what).symlink_to(outside)
    sequences, left_out = open_sequences([row("a")], config_for(root))
    assert not sequences
    assert left_out == [f"{root}/{what}: a link that leaves data_root: copy the file instead"]


def test_links_inside_the_root_are_followed(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(4))
    write_folder(tmp_path / "b", numbered(3))
    (tmp_path / "b" / "frame_000003.png").symlink_to("../a/frame_000000.png")
    (sequence,) = opened(config_for(tmp_path), row("b"))
    assert [int(pixels[0, 0, 0]) for pixels in sequence.source.read(range(4))] == [0, 1, 2, 0]


def test_a_short_sequence_is_an_error_with_both_numbers(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(3))
    expected = (
        "^a: 3 consecutive frames, but a window needs 4: "
        "set short_sequences to skip or repeat_last, or lower seq_length$"
    )
    with pytest.raises(DataError, match=expected):
        open_sequences([row("a")], config_for(tmp_path))


def test_a_short_sequence_can_be_left_out_by_name(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(3))
    write_folder(tmp_path / "b", numbered(4))
    sequences, left_out = open_sequences([row("a"), row("b")], config_for(tmp_path, short_sequences="skip"))
    assert [sequence.row.folder_name for sequence in sequences] == ["b"]
    assert len(left_out) == 1 and left_out[0].startswith("a: 3 consecutive frames, but a window needs 4")


def test_a_short_sequence_is_kept_where_it_shall_be_padded(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(1))
    (sequence,) = opened(config_for(tmp_path, short_sequences="repeat_last"), row("a"))
    assert sequence.source.runs == [range(1)]


@pytest.mark.parametrize("policy", ["skip", "repeat_last"])
def test_several_short_stretches_are_never_padded_and_never_lost_in_silence(
    tmp_path: Path, write_folder: WriteFolder, policy: str
) -> None:
    write_folder(tmp_path / "a", numbered(6), [f"f_{number:03d}.png" for number in (0, 1, 2, 7, 8, 9)])
    sequences, left_out = open_sequences([row("a")], config_for(tmp_path, short_sequences=policy))
    assert not sequences
    assert len(left_out) == 1 and left_out[0].startswith("a: 3 consecutive frames, but a window needs 4")


def test_what_cannot_be_opened_is_left_out_and_named(
    tmp_path: Path, write_folder: WriteFolder, write_video: Callable[..., Path]
) -> None:
    write_folder(tmp_path / "good", numbered(4))
    write_folder(tmp_path / "two", numbered(4), ["a_1.png", "a_2.png", "b_1.png", "b_2.png"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    whole = write_video(tmp_path / "whole.mkv", numbered(10)).read_bytes()
    (tmp_path / "header.mkv").write_bytes(whole[: whole.index(b"\x1f\x43\xb6\x75") + 12])  # into its first cluster
    names = ["two", "empty", "text.mp4", "header.mkv", "nowhere", "x" * 300, "good"]
    sequences, left_out = open_sequences([row(name) for name in names], config_for(tmp_path))
    assert [sequence.row.folder_name for sequence in sequences] == ["good"]
    assert left_out[0].startswith(f"{tmp_path}/two: two numberings in one folder, ")
    assert [line.removeprefix(f"{tmp_path}/") for line in left_out[1:5]] == [
        "empty: no images in this folder; known are .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp",
        "text.mp4: cannot be opened as a video: Invalid data found when processing input",
        "header.mkv: no frames with a presentation time",
        "nowhere: no such file or folder",
    ]
    assert "File name too long" in left_out[5]


def test_nothing_outside_the_root_is_opened(
    tmp_path: Path, write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    write_folder(root / "a", numbered(4))
    write_folder(outside, numbered(4))
    (root / "a" / "frame_000004.png").symlink_to(outside / "frame_000000.png")
    write_folder(root / "b", numbered(4))
    (root / "b" / "masks").symlink_to(outside)
    listed: list[str] = []
    scandir = os.scandir

    def watched(path: Path) -> Any:
        listed.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"opened {path}"))
    sequences, left_out = open_sequences([row("a"), row("b")], config_for(root))
    assert not sequences and len(left_out) == 2
    assert listed == [str(root / "a"), str(root / "b")]
