import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from convlstm.clips import count_windows
from convlstm.config import TrainConfig
from convlstm.errors import DataError
from convlstm.utils.data.dataset import (
    Batch,
    LabelledSequence,
    Sample,
    WindowDataset,
    cell_targets,
    collate,
    open_sequences,
)
from convlstm.utils.data.manifest import ManifestRow

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]

CONFIG = TrainConfig(
    stem="motion", lags=(1, 3), seq_length=4, stride=2, target_size=(32, 64), batch_size=2, mask_min_share=0.25
)


def numbered(count: int, first: int = 0) -> list[Pixels]:
    """Frames whose brightness is their number."""
    return [np.full((32, 64, 3), first + index, dtype=np.uint8) for index in range(count)]


def config_for(root: Path, **changes: Any) -> TrainConfig:
    return replace(CONFIG, data_root=root, **changes)


def row(name: str, kind: str = "dynamic", fps: float | None = None) -> ManifestRow:
    return ManifestRow(name, kind, name, fps, None, 2)


def opened(config: TrainConfig, *rows: ManifestRow) -> list[LabelledSequence]:
    sequences, left_out = open_sequences(rows, config)
    assert not left_out
    return sequences


def dataset_of(config: TrainConfig, *rows: ManifestRow) -> WindowDataset:
    return WindowDataset(opened(config, *rows), config)


def numbers(dataset: WindowDataset, window: int) -> list[int]:
    """Which frames a clip holds, by their brightness."""
    return dataset.read_clip(window)[:, 0, 0, 0].tolist()


def sample_of(dataset: WindowDataset, window: int) -> Sample:
    sample = dataset[window]
    assert isinstance(sample, Sample)
    return sample


def write_masks(folder: Path, masks: list[Pixels]) -> None:
    folder.mkdir()
    for index, mask in enumerate(masks):
        Image.fromarray(mask).save(folder / f"frame_{index:06d}.png")


def mask(left: int = 0, right: int = 0) -> Pixels:
    """Dynamic pixels per half (cell) of a 32x64 frame, out of 1024 each."""
    pixels = np.zeros((2, 1024), dtype=np.uint8)
    pixels[0, :left] = 255
    pixels[1, :right] = 1
    return np.concatenate([half.reshape(32, 32) for half in pixels], axis=1)


def test_windows_lie_between_gaps(tmp_path: Path, write_folder: WriteFolder) -> None:
    """Frames 0-6, 8-10 and 12-16: two windows, none in the short stretch, one."""
    present = [*range(7), *range(8, 11), *range(12, 17)]
    write_folder(tmp_path / "a", numbered(15), [f"f_{number:03d}.png" for number in present])
    dataset = dataset_of(config_for(tmp_path), row("a"))
    assert [(place.start, place.run) for place in dataset.windows] == [
        (0, range(7)),
        (2, range(7)),
        (12, range(12, 17)),
    ]


@pytest.mark.parametrize(("seq_length", "stride"), [(4, 2), (3, 1), (2, 5), (9, 1)])
def test_window_count_is_that_of_clips(tmp_path: Path, write_folder: WriteFolder, seq_length: int, stride: int) -> None:
    for name, count in (("a", 9), ("b", 13)):
        write_folder(tmp_path / name, numbered(count))
    dataset = dataset_of(config_for(tmp_path, seq_length=seq_length, stride=stride), row("a"), row("b", "static"))
    counts = [count_windows(count, seq_length, stride) for count in (9, 13)]
    assert dataset.labels() == [1] * counts[0] + [0] * counts[1]
    assert len(dataset) == sum(counts)


def test_context_is_clamped_at_the_start_and_real_later(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(10, first=10))
    dataset = dataset_of(config_for(tmp_path), row("a"))
    assert dataset.num_context == 3
    assert numbers(dataset, 0) == [10, 10, 10, 10, 11, 12, 13]
    assert numbers(dataset, 1) == [10, 10, 11, 12, 13, 14, 15]
    assert numbers(dataset, 3) == [13, 14, 15, 16, 17, 18, 19]


def test_context_never_reaches_over_a_gap(tmp_path: Path, write_folder: WriteFolder) -> None:
    names = [f"f_{number:03d}.png" for number in (*range(6), *range(7, 13))]
    write_folder(tmp_path / "a", numbered(12), names)
    dataset = dataset_of(config_for(tmp_path), row("a"))
    assert numbers(dataset, 2) == [6, 6, 6, 6, 7, 8, 9]


def test_the_rgb_stem_takes_no_context(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(6))
    dataset = dataset_of(config_for(tmp_path, stem="rgb"), row("a"))
    assert numbers(dataset, 1) == [2, 3, 4, 5]


def test_a_sample_and_a_batch_have_the_shapes_they_promise(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", [np.zeros((50, 70, 3), dtype=np.uint8)] * 6)
    dataset = dataset_of(config_for(tmp_path), row("a", "static"))
    sample = sample_of(dataset, 1)
    assert sample.clip.shape == (7, 32, 64, 3) and sample.clip.dtype == torch.uint8
    assert sample.cells.shape == (1, 2) and sample.cells.dtype == torch.int64
    assert (sample.label, sample.window) == (0, 1)
    batch = collate([dataset[0], sample])
    assert batch.clips.shape == (2, 7, 32, 64, 3) and batch.cells.shape == (2, 1, 2)
    assert batch.labels.tolist() == [0, 0] and batch.windows.tolist() == [0, 1] and len(batch) == 2
    assert batch.damaged == ()


def test_videos_are_sequences_too(
    tmp_path: Path, make_frames: Callable[..., list[Pixels]], write_video: Callable[..., Path]
) -> None:
    frames = make_frames(8, 32, 64)
    write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pix_fmt="bgr0", fps=10)
    (sequence,) = opened(config_for(tmp_path), row("clip.mkv"))
    dataset = WindowDataset([sequence], config_for(tmp_path))
    assert sequence.fps == 10 and sequence.masks is None
    np.testing.assert_array_equal(dataset.read_clip(1).numpy(), np.stack([frames[i] for i in (0, 0, 1, 2, 3, 4, 5)]))


def test_the_frame_rate_is_that_of_the_manifest_or_the_setting(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(4))
    first, second = opened(config_for(tmp_path, fps=12.0), row("a", fps=50.0), row("a"))
    assert (first.fps, second.fps) == (50.0, 12.0)


def test_masks_become_cell_targets(tmp_path: Path, write_folder: WriteFolder) -> None:
    """A cell counts by its largest share in any frame: over a quarter, exactly a quarter, one pixel, none."""
    write_folder(tmp_path / "a", numbered(12))
    shares = [(0, 0), (257, 0), (0, 256), (0, 0), (1, 0), (0, 0), (0, 0), (0, 300), *[(0, 0)] * 4]
    write_masks(tmp_path / "a" / "masks", [mask(*share) for share in shares])
    dataset = dataset_of(config_for(tmp_path), row("a"))
    found = [sample_of(dataset, window).cells.tolist() for window in range(len(dataset))]
    assert found == [[[1, -1]], [[-1, -1]], [[-1, 1]], [[0, 1]], [[0, 0]]]


def test_context_frames_have_no_say_in_cell_targets(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(6))
    write_masks(tmp_path / "a" / "masks", [mask(1024, 1024)] * 2 + [mask()] * 4)
    dataset = dataset_of(config_for(tmp_path), row("a"))
    assert sample_of(dataset, 1).cells.tolist() == [[0, 0]]


def test_masks_of_another_size_cover_the_same_cells(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(4))
    large = np.kron(mask(0, 1024), np.ones((3, 5), dtype=np.uint8))
    write_masks(tmp_path / "a" / "masks", [large.astype(np.uint8)] * 4)
    assert sample_of(dataset_of(config_for(tmp_path), row("a")), 0).cells.tolist() == [[0, 1]]


def test_masks_of_a_third_class_carry_its_index(tmp_path: Path, write_folder: WriteFolder) -> None:
    config = config_for(tmp_path, classes=("static", "dynamic", "negative"))
    for name in ("third", "first"):
        write_folder(tmp_path / name, numbered(4))
        write_masks(tmp_path / name / "masks", [mask(1024, 0)] * 4)
    dataset = dataset_of(config, row("third", "negative"), row("first", "static"))
    assert sample_of(dataset, 0).cells.tolist() == [[2, 0]]
    assert sample_of(dataset, 1).cells.tolist() == [[1, 0]]


def test_without_masks_static_is_known_only_where_others_have_masks(tmp_path: Path, write_folder: WriteFolder) -> None:
    for name in ("still", "moving", "masked"):
        write_folder(tmp_path / name, numbered(4))
    write_masks(tmp_path / "masked" / "masks", [mask(1024, 0)] * 4)
    config = config_for(tmp_path)
    bare = dataset_of(config, row("still", "static"), row("moving"))
    assert not bare.has_masks
    assert [sample_of(bare, window).cells.tolist() for window in (0, 1)] == [[[-1, -1]], [[-1, -1]]]
    mixed = dataset_of(config, row("still", "static"), row("moving"), row("masked"))
    assert mixed.has_masks
    assert [sample_of(mixed, window).cells.tolist() for window in range(3)] == [[[0, 0]], [[-1, -1]], [[1, 0]]]


@given(arrays(np.float32, (2, 3), elements=st.floats(0, 1, width=32)), st.integers(1, 5), st.floats(0, 0.9))
def test_cell_targets_by_definition(share: NDArray[np.float32], class_index: int, min_share: float) -> None:
    targets = cell_targets(share, class_index, min_share)
    assert targets.dtype == np.int64
    for value, target in zip(share.ravel().tolist(), targets.ravel().tolist(), strict=True):
        expected = 0 if value == 0 else class_index if value > np.float32(min_share) else -1
        assert target == expected


def test_missing_masks_are_named_and_the_sequence_left_out(tmp_path: Path, write_folder: WriteFolder) -> None:
    for name in ("a", "b"):
        write_folder(tmp_path / name, numbered(5))
    write_masks(tmp_path / "a" / "masks", [mask()] * 3)
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
    write_masks(root / "a" / "masks", [mask()] * 4)
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
    assert numbers(dataset_of(config_for(tmp_path, stem="rgb"), row("b")), 0) == [0, 1, 2, 0]


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


def test_a_short_sequence_can_be_padded_by_its_last_frame(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(3))
    write_masks(tmp_path / "a" / "masks", [mask(), mask(), mask(300, 0)])
    dataset = dataset_of(config_for(tmp_path, short_sequences="repeat_last"), row("a"))
    assert len(dataset) == 1
    assert numbers(dataset, 0) == [0, 0, 0, 0, 1, 2, 2]
    assert sample_of(dataset, 0).cells.tolist() == [[1, 0]]


@pytest.mark.parametrize("policy", ["skip", "repeat_last"])
def test_several_short_stretches_are_never_padded_and_never_lost_in_silence(
    tmp_path: Path, write_folder: WriteFolder, policy: str
) -> None:
    write_folder(tmp_path / "a", numbered(6), [f"f_{number:03d}.png" for number in (0, 1, 2, 7, 8, 9)])
    sequences, left_out = open_sequences([row("a")], config_for(tmp_path, short_sequences=policy))
    assert not sequences
    assert len(left_out) == 1 and left_out[0].startswith("a: 3 consecutive frames, but a window needs 4")


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def test_an_unreadable_frame_costs_its_windows_only(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(12))
    damage(tmp_path / "a" / "frame_000009.png")
    dataset = dataset_of(config_for(tmp_path, stem="rgb"), row("a"))
    samples = [dataset[window] for window in range(len(dataset))]
    assert [isinstance(sample, str) for sample in samples] == [False, False, False, True, True]
    assert str(samples[3]).startswith(f"{tmp_path}/a/frame_000009.png: ")
    batch = collate(samples)
    assert batch.windows.tolist() == [0, 1, 2] and batch.clips.shape[0] == 3
    assert batch.damaged == (samples[3], samples[4])


def test_an_unreadable_mask_costs_its_windows_only(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(6))
    write_masks(tmp_path / "a" / "masks", [mask()] * 6)
    damage(tmp_path / "a" / "masks" / "frame_000005.png")
    dataset = dataset_of(config_for(tmp_path), row("a"))
    assert isinstance(dataset[0], Sample)
    assert str(dataset[1]).startswith(f"{tmp_path}/a/masks/frame_000005.png: ")


def test_a_batch_of_nothing_readable_is_empty() -> None:
    batch = collate(["a: broken", "b: broken"])
    assert len(batch) == 0 and batch.clips.numel() == batch.cells.numel() == batch.windows.numel() == 0
    assert batch.damaged == ("a: broken", "b: broken")


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


def assert_equal_samples(first: Sample | str, second: Sample | str) -> None:
    assert isinstance(first, Sample) and isinstance(second, Sample)
    assert torch.equal(first.clip, second.clip) and torch.equal(first.cells, second.cells)
    assert (first.label, first.window) == (second.label, second.window)


def test_frames_from_memory_are_those_from_disk(
    tmp_path: Path,
    make_frames: Callable[..., list[Pixels]],
    write_folder: WriteFolder,
    write_video: Callable[..., Path],
) -> None:
    frames = make_frames(9, 48, 80)
    write_folder(tmp_path / "a", frames, [f"f_{number:03d}.png" for number in (*range(5), *range(6, 10))])
    write_masks(tmp_path / "a" / "masks", [])
    for name in (tmp_path / "a").glob("*.png"):
        Image.fromarray(mask(500, 3)).save(tmp_path / "a" / "masks" / name.name)
    write_video(tmp_path / "v.mp4", frames)
    rows = row("a"), row("v.mp4", "static")
    plain, cached = (dataset_of(config_for(tmp_path, cache=cache), *rows) for cache in ("none", "ram"))
    (tmp_path / "v.mp4").rename(tmp_path / "away.mp4")
    assert len(plain) == len(cached) == 5
    with pytest.raises(DataError):
        plain.read_clip(4)
    (tmp_path / "away.mp4").rename(tmp_path / "v.mp4")
    for window in range(len(plain)):
        assert_equal_samples(plain[window], cached[window])


def test_batches_can_be_changed_in_place() -> None:
    """Devices move the fields of a batch one by one."""
    batch = collate([Sample(torch.zeros(1, 32, 32, 3, dtype=torch.uint8), 0, torch.zeros(1, 1, dtype=torch.int64), 0)])
    batch.labels = batch.labels + 1
    assert isinstance(batch, Batch) and batch.labels.tolist() == [1]


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
