import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from convlstm.clips import count_windows, window_frames
from convlstm.config import Cache, TrainConfig
from convlstm.errors import DataError
from convlstm.inference.engines.torch import TorchEngine
from convlstm.inference.stream import HeatmapStream
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.types import Frame
from convlstm.utils.data.batch import Batch
from convlstm.utils.data.dataset import Stretch, WindowDataset
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import LabelledSequence, open_sequences

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]
MakeDataset = Callable[[TrainConfig, Sequence[Sequence[int]]], WindowDataset]
FrameName = tuple[int, int]
"""Sequence and index."""

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


def cells_of(dataset: WindowDataset, window: int) -> list[list[int]]:
    targets = dataset[window].cell_targets(dataset.config.mask_min_share)
    assert targets.dtype == torch.int64 and targets.shape == (1, 1, 2)
    cells: list[list[int]] = targets[0].tolist()
    return cells


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
    assert [(place.start, place.run) for place in map(dataset.place, range(len(dataset)))] == [
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


def test_a_batch_has_the_shapes_it_promises(tmp_path: Path, write_folder: WriteFolder) -> None:
    for name in ("a", "b"):
        write_folder(tmp_path / name, [np.zeros((50, 70, 3), dtype=np.uint8)] * 8)
    dataset = dataset_of(config_for(tmp_path), row("a"), row("b", "static"))
    assert len(dataset) == 6
    batch = dataset.__getitems__([dataset.stretch(range(1, 3), 77), dataset.stretch(range(3, 4), 88)])
    assert batch.frames.shape == (12, 32, 64, 3) and batch.frames.dtype == torch.uint8
    assert batch.shares.shape == (12, 4, 8) and batch.shares.dtype == torch.float16
    assert batch.unreadable.tolist() == [False] * 12 and batch.damaged == ()
    assert batch.encode.tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]  # frames 2-7 of the first, 0-3 of the second
    assert batch.lagged.tolist()[:3] == [[1, 0], [2, 0], [3, 1]] and batch.lagged.shape == (10, 2)
    assert batch.windows.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [6, 7, 8, 9]]
    assert batch.labels.tolist() == [1, 1, 0] and batch.ids.tolist() == [1, 2, 3] and len(batch) == 3
    assert batch.bounds == (0, 8, 12) and batch.seeds == (77, 88)
    assert batch.num_carried == batch.num_carried_frames == 0


def test_one_window_is_a_batch_too(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(10))
    batch = dataset_of(config_for(tmp_path), row("a"))[1]
    assert batch.ids.tolist() == [1] and batch.seeds == (0,)
    assert batch.frames[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.frames[batch.encode[batch.windows[0]], 0, 0, 0].tolist() == [2, 3, 4, 5]


def test_a_part_without_windows_is_empty(tmp_path: Path, write_folder: WriteFolder) -> None:
    """Some processes get one at the end of an epoch."""
    write_folder(tmp_path / "a", numbered(4))
    batch = dataset_of(config_for(tmp_path), row("a")).__getitems__([])
    assert len(batch) == 0 and batch.bounds == (0,) and batch.seeds == () == batch.damaged
    shapes = (batch.frames.shape, batch.shares.shape, batch.encode.shape, batch.lagged.shape, batch.windows.shape)
    assert shapes == ((0, 32, 64, 3), (0, 4, 8), (0,), (0, 2), (0, 4))
    assert len(batch.readable()) == 0 and batch.cell_targets(0.1).shape == (0, 1, 2)


def test_windows_of_videos(
    tmp_path: Path, make_frames: Callable[..., list[Pixels]], write_video: Callable[..., Path]
) -> None:
    frames = make_frames(8, 32, 64)
    write_video(tmp_path / "clip.mkv", frames, codec="ffv1", pix_fmt="bgr0", fps=10)
    dataset = dataset_of(config_for(tmp_path), row("clip.mkv"))
    np.testing.assert_array_equal(dataset.read_clip(1).numpy(), np.stack([frames[i] for i in (0, 0, 1, 2, 3, 4, 5)]))


def test_masks_become_cell_targets(tmp_path: Path, write_folder: WriteFolder) -> None:
    """A cell counts by its largest share in any frame: over a quarter, exactly a quarter, one pixel, none."""
    write_folder(tmp_path / "a", numbered(12))
    shares = [(0, 0), (257, 0), (0, 256), (0, 0), (1, 0), (0, 0), (0, 0), (0, 300), *[(0, 0)] * 4]
    write_masks(tmp_path / "a" / "masks", [mask(*share) for share in shares])
    dataset = dataset_of(config_for(tmp_path), row("a"))
    found = [cells_of(dataset, window) for window in range(len(dataset))]
    assert found == [[[1, -1]], [[-1, -1]], [[-1, 1]], [[0, 1]], [[0, 0]]]


def test_context_frames_have_no_say_in_cell_targets(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(6))
    write_masks(tmp_path / "a" / "masks", [mask(1024, 1024)] * 2 + [mask()] * 4)
    dataset = dataset_of(config_for(tmp_path), row("a"))
    assert cells_of(dataset, 1) == [[0, 0]]


def test_masks_of_another_size_cover_the_same_cells(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(4))
    large = np.kron(mask(0, 1024), np.ones((3, 5), dtype=np.uint8))
    write_masks(tmp_path / "a" / "masks", [large.astype(np.uint8)] * 4)
    assert cells_of(dataset_of(config_for(tmp_path), row("a")), 0) == [[0, 1]]


def test_masks_of_a_third_class_carry_its_index(tmp_path: Path, write_folder: WriteFolder) -> None:
    config = config_for(tmp_path, classes=("static", "dynamic", "negative"))
    for name in ("third", "first"):
        write_folder(tmp_path / name, numbered(4))
        write_masks(tmp_path / name / "masks", [mask(1024, 0)] * 4)
    dataset = dataset_of(config, row("third", "negative"), row("first", "static"))
    assert cells_of(dataset, 0) == [[2, 0]]
    assert cells_of(dataset, 1) == [[1, 0]]


def test_without_masks_static_is_known_only_where_others_have_masks(tmp_path: Path, write_folder: WriteFolder) -> None:
    for name in ("still", "moving", "masked"):
        write_folder(tmp_path / name, numbered(4))
    write_masks(tmp_path / "masked" / "masks", [mask(1024, 0)] * 4)
    config = config_for(tmp_path)
    bare = dataset_of(config, row("still", "static"), row("moving"))
    assert not bare.has_masks
    assert [cells_of(bare, window) for window in (0, 1)] == [[[-1, -1]], [[-1, -1]]]
    mixed = dataset_of(config, row("still", "static"), row("moving"), row("masked"))
    assert mixed.has_masks
    assert [cells_of(mixed, window) for window in range(3)] == [[[0, 0]], [[-1, -1]], [[1, 0]]]


def test_a_short_sequence_can_be_padded_by_its_last_frame(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(3))
    write_masks(tmp_path / "a" / "masks", [mask(), mask(), mask(300, 0)])
    dataset = dataset_of(config_for(tmp_path, short_sequences="repeat_last"), row("a"))
    assert len(dataset) == 1
    assert numbers(dataset, 0) == [0, 0, 0, 0, 1, 2, 2]
    assert cells_of(dataset, 0) == [[1, 0]]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def test_an_unreadable_frame_costs_its_windows_only(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(12, first=1))
    damage(tmp_path / "a" / "frame_000009.png")
    dataset = dataset_of(config_for(tmp_path, stem="rgb"), row("a"))
    batch = dataset.__getitems__([dataset.stretch(range(1, 2)), dataset.stretch(range(2, 5))])
    assert batch.ids.tolist() == [1, 2, 3, 4] and batch.readable().ids.tolist() == [1, 2]
    assert batch.unreadable.nonzero().flatten().tolist() == [4 + 9 - 4]
    assert batch.frames[:, 0, 0, 0].tolist() == [3, 4, 5, 6, 5, 6, 7, 8, 9, 0, 11, 12]
    (reason,) = batch.damaged
    assert reason.startswith(f"{tmp_path}/a/frame_000009.png: ")
    assert len(dataset[4].readable()) == 0
    with pytest.raises(DataError) as caught:
        dataset.read_clip(4)
    assert str(caught.value) == reason
    assert numbers(dataset, 2) == [5, 6, 7, 8]


def test_what_several_windows_cannot_read_is_named_once(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(12))
    for name in ("frame_000009.png", "frame_000004.png"):
        damage(tmp_path / "a" / name)
    dataset = dataset_of(config_for(tmp_path), row("a"))
    batch = dataset.__getitems__([dataset.stretch(range(window, window + 1)) for window in range(len(dataset))])
    assert [Path(reason.split(": ")[0]).name for reason in batch.damaged] == ["frame_000004.png", "frame_000009.png"]
    assert int(batch.unreadable.sum()) == 5  # 4 in windows 1 and 2 and before 3, 9 in 3 and 4
    assert batch.readable().ids.tolist() == [0]


def test_a_window_is_left_out_where_its_lags_reach_an_unreadable_frame(
    tmp_path: Path, write_folder: WriteFolder
) -> None:
    """Windows 2-3, 3-4, ..., with a lag of 4: those that hold frame 5, and those that hold 9; 7 only loads it."""
    write_folder(tmp_path / "a", numbered(14))
    damage(tmp_path / "a" / "frame_000005.png")
    dataset = dataset_of(config_for(tmp_path, lags=(4,), seq_length=2, stride=1), row("a"))
    batch = dataset.__getitems__([dataset.stretch(range(2, 13))])
    assert batch.readable().ids.tolist() == [2, 3, 6, 7, 10, 11, 12]
    readable = [window for window in range(2, 13) if len(dataset[window].readable())]
    assert readable == [2, 3, 6, 7, 10, 11, 12]


def test_an_unreadable_mask_costs_its_windows_only(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", numbered(6))
    write_masks(tmp_path / "a" / "masks", [mask()] * 6)
    damage(tmp_path / "a" / "masks" / "frame_000005.png")
    dataset = dataset_of(config_for(tmp_path), row("a"))
    assert len(dataset[0].readable()) == 1 and dataset[0].damaged == ()
    assert len(dataset[1].readable()) == 0
    assert dataset[1].damaged[0].startswith(f"{tmp_path}/a/masks/frame_000005.png: ")


def assert_equal_batches(first: Batch, second: Batch) -> None:
    for name, value in vars(first).items():
        other = getattr(second, name)
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(other, value, rtol=0, atol=0, equal_nan=True)
        else:
            assert other == value


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_frames_that_are_kept_are_those_of_the_files(
    tmp_path: Path,
    make_frames: Callable[..., list[Pixels]],
    write_folder: WriteFolder,
    write_video: Callable[..., Path],
    cache: Cache,
) -> None:
    frames = make_frames(9, 48, 80)
    write_folder(tmp_path / "a", frames, [f"f_{number:03d}.png" for number in (*range(5), *range(6, 10))])
    write_masks(tmp_path / "a" / "masks", [])
    for name in (tmp_path / "a").glob("*.png"):
        Image.fromarray(mask(500, 3)).save(tmp_path / "a" / "masks" / name.name)
    write_video(tmp_path / "v.mp4", frames)
    rows = row("a"), row("v.mp4", "static")
    plain, cached = (dataset_of(config_for(tmp_path, cache=kind), *rows) for kind in ("none", cache))
    (tmp_path / "v.mp4").rename(tmp_path / "away.mp4")
    assert len(plain) == len(cached) == 5
    with pytest.raises(DataError):
        plain.read_clip(4)
    from_memory = [cached[window] for window in range(5)]
    (tmp_path / "away.mp4").rename(tmp_path / "v.mp4")
    for window in range(5):
        assert_equal_batches(plain[window], from_memory[window])


@pytest.mark.pure
def test_a_window_takes_32_bytes_where_it_is_sent_to(noise_dataset: MakeDataset) -> None:
    config = replace(CONFIG, stride=1)
    small, large = (pickle.dumps(noise_dataset(config, [[count + 3]])) for count in (1_000, 21_000))
    assert len(large) - len(small) == pytest.approx(32 * 20_000, rel=0.01)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[TrainConfig, list[list[int]]]:
    """Settings that decide about windows, and lengths of gapless runs."""
    config = replace(
        CONFIG,
        stem=draw(st.sampled_from(["rgb", "motion"])),
        lags=tuple(draw(st.sets(st.integers(1, 7), min_size=1, max_size=3))),
        seq_length=draw(st.integers(1, 5)),
        stride=draw(st.integers(1, 6)),
        target_size=(32, 32),
    )
    return config, draw(st.lists(st.lists(st.integers(1, 16), min_size=1, max_size=3), min_size=1, max_size=3))


def held(dataset: WindowDataset, windows: range) -> set[FrameName]:
    """Frames that windows consist of."""
    return frames_with_context(dataset, windows, 0)


def needed(dataset: WindowDataset, windows: range) -> set[FrameName]:
    """With those that lags may reach back to."""
    return frames_with_context(dataset, windows, dataset.num_context)


def frames_with_context(dataset: WindowDataset, windows: range, num_context: int) -> set[FrameName]:
    return {
        (place.sequence, index)
        for place in map(dataset.place, windows)
        for index in window_frames(place.start, dataset.config.seq_length, num_context, place.run)
    }


def loaded(dataset: WindowDataset, stretch: Stretch) -> list[FrameName]:
    return [(dataset.place(stretch.windows[0]).sequence, index) for index in stretch.frames]


def in_pieces(draw: Callable[..., Any], dataset: WindowDataset) -> list[Stretch]:
    """One of the runs of windows, cut anywhere; each piece goes on where the one before ended."""
    run = draw(st.sampled_from(list(dataset.window_runs(range(len(dataset))))))
    inner = draw(st.sets(st.sampled_from(run)))
    pieces: list[Stretch] = []
    for start, stop in pairwise([*sorted({run.start, *inner}), run.stop]):
        pieces.append(dataset.stretch(range(start, stop), before=pieces[-1] if pieces else None))
    return pieces


@pytest.mark.pure
@given(layouts(), st.data())
def test_windows_are_cut_where_frames_are_not_shared(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], data: st.DataObject
) -> None:
    dataset = noise_dataset(*layout)
    stop = data.draw(st.integers(0, len(dataset)))
    windows = range(data.draw(st.integers(0, stop)), stop)
    runs = list(dataset.window_runs(windows))
    assert [window for run in runs for window in run] == list(windows) and all(runs)
    cuts = {run.start for run in runs}
    for before, after in pairwise(windows):
        shares = bool(held(dataset, range(before, after)) & held(dataset, range(after, after + 1)))
        assert shares == (after not in cuts)


@pytest.mark.pure
@given(layouts(), st.data())
def test_a_stretch_loads_what_its_windows_need_and_nothing_else(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], data: st.DataObject
) -> None:
    dataset = noise_dataset(*layout)
    assume(len(dataset))
    run = data.draw(st.sampled_from(list(dataset.window_runs(range(len(dataset))))))
    start = data.draw(st.sampled_from(run))
    windows = range(start, data.draw(st.integers(start + 1, run.stop)))
    stretch = dataset.stretch(windows, 5)
    assert set(loaded(dataset, stretch)) == needed(dataset, windows)
    assert (stretch.windows, stretch.seed, stretch.num_carried, stretch.num_carried_frames) == (windows, 5, 0, 0)


@pytest.mark.pure
@given(layouts(), st.data())
def test_a_run_in_pieces_loads_each_frame_once(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], data: st.DataObject
) -> None:
    dataset = noise_dataset(*layout)
    assume(len(dataset))
    before: set[FrameName] = set()
    pieces = in_pieces(data.draw, dataset)
    for number, piece in enumerate(pieces):
        assert before.isdisjoint(loaded(dataset, piece))
        if number:
            assert piece.num_carried == len(held(dataset, piece.windows) & before)
            assert piece.num_carried_frames == min(dataset.num_context, len(before))
        before.update(loaded(dataset, piece))
    assert before == needed(dataset, range(pieces[0].windows.start, pieces[-1].windows.stop))


@pytest.mark.pure
@given(layouts(), st.data())
def test_places_name_the_frames_they_promise(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], data: st.DataObject
) -> None:
    """A run over several batches, with other stretches before it in the first and after it in the last."""
    dataset = noise_dataset(*layout)
    assume(len(dataset))
    whole = st.sampled_from(list(dataset.window_runs(range(len(dataset))))).map(dataset.stretch)
    pieces = in_pieces(data.draw, dataset)
    groups = [[piece] for piece in pieces]
    groups[0] = [*data.draw(st.lists(whole, max_size=2)), *groups[0]]
    groups[-1] = [*groups[-1], *data.draw(st.lists(whole, max_size=2))]
    frames: list[FrameName] = []
    encoded: list[FrameName] = []
    for group in groups:
        batch = dataset.__getitems__(group)
        frames = frames[len(frames) - batch.num_carried_frames :]
        frames += [name for stretch in group for name in loaded(dataset, stretch)]
        newly_encoded = [frames[place] for place in batch.encode]
        encoded = [*encoded[len(encoded) - batch.num_carried :], *newly_encoded]
        check_places(dataset, batch, frames, encoded)
        counts = Counter(name for stretch in group for name in held(dataset, stretch.windows))
        carried = held(dataset, group[0].windows) & set(encoded[: batch.num_carried])
        assert Counter(newly_encoded) == counts - Counter(carried)


def check_places(dataset: WindowDataset, batch: Batch, frames: list[FrameName], encoded: list[FrameName]) -> None:
    """Windows and lags by their definition."""
    for row, window in enumerate(batch.ids.tolist()):
        place = dataset.place(window)
        indices = range(place.start, place.start + dataset.config.seq_length)
        assert [encoded[number] for number in batch.windows[row]] == [(place.sequence, index) for index in indices]
        assert batch.labels[row] == dataset.sequences[place.sequence].class_index
        for number, index in zip(batch.windows[row].tolist(), indices, strict=True):
            if number >= batch.num_carried:
                reached = [frames[at] for at in batch.lagged[number - batch.num_carried]]
                lags = dataset.config.lags if dataset.num_context else ()
                assert reached == [(place.sequence, max(place.run.start, index - lag)) for lag in lags]


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_training_sees_shrunk_frames_as_detection_does(tmp_path: Path, write_folder: WriteFolder, cache: Cache) -> None:
    frames = [np.random.RandomState(index).randint(0, 256, (50, 70, 3)).astype(np.uint8) for index in range(10)]
    write_folder(tmp_path / "a", frames)
    config = config_for(tmp_path, downsample=2, differences="local", cache=cache)
    dataset = dataset_of(config, row("a"))
    torch.manual_seed(0)
    model = TemporalClassifier(config.model_config()).eval()
    batch = dataset.__getitems__([dataset.stretch(range(len(dataset)))])
    assert batch.frames.shape == (10, 16, 32, 3) and batch.shares.shape == (10, 4, 8)
    with torch.inference_mode():
        pixels = batch.frames.permute(0, 3, 1, 2)
        logits = model.window_logits(pixels, batch.encode, batch.lagged, batch.windows)
    checkpoint = Checkpoint(model.state_dict(), model.config, 4, (32, 64), threshold=0.5, fps=25)
    stream = HeatmapStream(TorchEngine(checkpoint, device="cpu"), stride=2)
    heatmaps = stream.process([Frame(frame, index, index / 25) for index, frame in enumerate(frames)])
    assert len(heatmaps) == len(logits) == 4
    found = torch.from_numpy(np.stack([heatmap.probabilities for heatmap in heatmaps]))
    torch.testing.assert_close(found, torch.sigmoid(logits[:, 0]), atol=1e-5, rtol=0)
