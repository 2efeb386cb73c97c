import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from convlstm.clips import window_frames
from convlstm.config import TrainConfig
from convlstm.interrupts import SignalGuard
from convlstm.utils.data import loader as loader_module
from convlstm.utils.data.batch import Batch
from convlstm.utils.data.dataset import Stretch, WindowDataset
from convlstm.utils.data.loader import EvalBatches, TrainBatches, eval_loader, stop_workers, train_loader
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import open_sequences

MakeDataset = Callable[[TrainConfig, Sequence[Sequence[int]]], WindowDataset]

CONFIG = TrainConfig(stem="motion", lags=(1, 2), seq_length=3, stride=1, target_size=(32, 32), batch_size=3)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[TrainConfig, list[list[int]]]:
    """Settings that decide about batches, and lengths of gapless runs."""
    config = replace(
        CONFIG,
        stride=draw(st.integers(1, 4)),
        batch_size=draw(st.integers(1, 9)),
        windows_per_sample=draw(st.integers(1, 6)),
        accumulate=draw(st.integers(1, 4)),
        seed=draw(st.integers(0, 2**40)),
    )
    return config, draw(st.lists(st.lists(st.integers(1, 14), min_size=1, max_size=3), min_size=1, max_size=3))


def windows_of(stretches: Sequence[Stretch]) -> list[int]:
    return [window for stretch in stretches for window in stretch.windows]


def epoch_of(
    dataset: WindowDataset, config: TrainConfig, *, epoch: int = 3, start: int = 0, rank: int = 0, world_size: int = 1
) -> list[list[Stretch]]:
    sampler = TrainBatches(dataset, config, rank, world_size)
    sampler.epoch, sampler.start = epoch, start
    parts = list(sampler)
    assert len(parts) == len(sampler)
    return parts


def whole_batches(dataset: WindowDataset, config: TrainConfig, *, epoch: int = 3) -> list[list[Stretch]]:
    return epoch_of(dataset, replace(config, accumulate=1), epoch=epoch)


@pytest.mark.pure
@given(layouts())
def test_an_epoch_holds_every_window_once_in_full_batches(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]]
) -> None:
    config, _ = layout
    dataset = noise_dataset(*layout)
    assume(len(dataset))
    batches = whole_batches(dataset, config)
    assert sorted(window for batch in batches for window in windows_of(batch)) == list(range(len(dataset)))
    sizes = [len(windows_of(batch)) for batch in batches]
    assert sizes[:-1] == [config.batch_size] * (len(sizes) - 1) and 1 <= sizes[-1] <= config.batch_size
    assert TrainBatches(dataset, config).num_batches == len(batches)


@pytest.mark.pure
@given(layouts())
def test_groups_are_neighbours_that_share_frames(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]]
) -> None:
    config, _ = layout
    dataset = noise_dataset(*layout)
    assume(len(dataset))
    runs = list(dataset.window_runs(range(len(dataset))))
    for batch in whole_batches(dataset, config):
        for stretch in batch:
            assert 1 <= len(stretch.windows) <= config.windows_per_sample and stretch.windows.step == 1
            assert len(stretch.windows) == 1 or config.stride < config.seq_length
            assert any(run.start <= stretch.windows.start and stretch.windows.stop <= run.stop for run in runs)
            assert stretch == dataset.stretch(stretch.windows, stretch.seed)


@pytest.mark.pure
@given(st.integers(1, 6), st.integers(0, 1000))
def test_groups_are_whole_but_at_the_ends_of_a_run(noise_dataset: MakeDataset, size: int, epoch: int) -> None:
    config = replace(CONFIG, windows_per_sample=size, batch_size=100)
    dataset = noise_dataset(config, [[30], [15, 12]])
    (batch,) = whole_batches(dataset, config, epoch=epoch)
    for run in dataset.window_runs(range(len(dataset))):
        groups = sorted((s.windows.start, len(s.windows)) for s in batch if s.windows.start in run)
        assert [length for _, length in groups[1:-1]] == [size] * (len(groups) - 2)


@pytest.mark.pure
def test_borders_of_groups_move_and_each_place_has_its_turn(noise_dataset: MakeDataset) -> None:
    config = replace(CONFIG, windows_per_sample=4, batch_size=100)
    dataset = noise_dataset(config, [[42], [42]])
    borders = []
    for epoch in range(40):
        (batch,) = whole_batches(dataset, config, epoch=epoch)
        starts = sorted(stretch.windows.start for stretch in batch)
        borders.append((starts[1] % 4, starts[-1] % 4))
    assert {first for first, _ in borders} == {last for _, last in borders} == {0, 1, 2, 3}
    assert len(set(borders)) > 4  # runs move independently of each other


@pytest.mark.pure
@given(layouts(), st.integers(0, 10_000))
def test_seed_and_epoch_alone_decide(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], epoch: int
) -> None:
    config, _ = layout
    dataset = noise_dataset(*layout)
    assume(len(dataset))
    sampler = TrainBatches(dataset, config)
    sampler.epoch = epoch + 1
    list(sampler)
    sampler.epoch = epoch
    torch.manual_seed(epoch)
    np.random.seed(epoch)
    assert list(sampler) == list(sampler) == epoch_of(dataset, config, epoch=epoch)


@pytest.mark.pure
@pytest.mark.parametrize("windows_per_sample", [1, 3])
@given(seed=st.integers(0, 2**31), epoch=st.integers(0, 10_000))
def test_epochs_and_seeds_have_orders_and_draws_of_their_own(
    noise_dataset: MakeDataset, windows_per_sample: int, seed: int, epoch: int
) -> None:
    config = replace(CONFIG, windows_per_sample=windows_per_sample, batch_size=5)
    dataset = noise_dataset(config, [[52]])
    epochs = [
        [stretch for batch in whole_batches(dataset, replace(config, seed=s), epoch=e) for stretch in batch]
        for s, e in ((seed, epoch), (seed, epoch + 1), (seed + 1, epoch))
    ]
    assert len({tuple(windows_of(stretches)) for stretches in epochs}) == 3
    seeds = [stretch.seed for stretches in epochs for stretch in stretches]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 1 << 63 for seed in seeds)


@pytest.mark.pure
def test_the_sampler_leaves_the_global_random_state_alone(noise_dataset: MakeDataset) -> None:
    dataset = noise_dataset(CONFIG, [[12]])
    before = torch.get_rng_state()
    epoch_of(dataset, replace(CONFIG, windows_per_sample=2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.pure
@given(layouts(), st.integers(1, 3), st.data())
def test_an_epoch_can_be_entered_anywhere(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], world_size: int, data: st.DataObject
) -> None:
    config, _ = layout
    dataset = noise_dataset(*layout)
    assume(len(dataset))
    start = data.draw(st.integers(0, TrainBatches(dataset, config).num_batches))
    place = {"rank": data.draw(st.integers(0, world_size - 1)), "world_size": world_size}
    assert (
        epoch_of(dataset, config, start=start, **place)
        == epoch_of(dataset, config, **place)[start * config.accumulate :]
    )


@pytest.mark.pure
@given(layouts(), st.integers(1, 5))
def test_the_parts_of_all_processes_are_the_batch_of_one(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], world_size: int
) -> None:
    config, _ = layout
    dataset = noise_dataset(*layout)
    assume(len(dataset))
    ranks = [epoch_of(dataset, config, rank=rank, world_size=world_size) for rank in range(world_size)]
    batches = whole_batches(dataset, config)
    assert {len(parts) for parts in ranks} == {len(batches) * config.accumulate}
    for number, batch in enumerate(batches):
        begin = number * config.accumulate
        parts = [ranks[rank][begin + step] for step in range(config.accumulate) for rank in range(world_size)]
        assert [window for part in parts for window in windows_of(part)] == windows_of(batch)
        sizes = [len(windows_of(part)) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        seeds = {stretch.windows.start: stretch.seed for stretch in batch}
        for stretch in (stretch for part in parts for stretch in part):
            assert stretch.windows and stretch == dataset.stretch(stretch.windows, stretch.seed)
            assert stretch.seed == seeds.get(stretch.windows.start, stretch.seed)  # cut groups draw for themselves


@pytest.mark.pure
@given(layouts(), st.integers(1, 12), st.integers(1, 10))
def test_evaluation_holds_every_window_once_over_all_processes(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], world_size: int, batch_size: int
) -> None:
    dataset = noise_dataset(*layout)
    found = []
    for rank in range(world_size):
        sampler = EvalBatches(dataset, batch_size, rank, world_size)
        batches = list(sampler)
        sizes = [len(windows_of(batch)) for batch in batches]
        assert len(sampler) == len(sizes) and sizes[:-1] == [batch_size] * (len(sizes) - 1) and 0 not in sizes
        found.append(windows_of([stretch for batch in batches for stretch in batch]))
    assert [window for windows in found for window in windows] == list(range(len(dataset)))
    counts = [len(windows) for windows in found]
    assert max(counts) - min(counts) <= 1


@pytest.mark.pure
@given(layouts(), st.integers(1, 4), st.integers(1, 10))
def test_evaluation_loads_each_frame_once_per_process(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], world_size: int, batch_size: int
) -> None:
    config, lengths = layout
    config = replace(config, stride=min(config.stride, config.seq_length - 1))
    dataset = noise_dataset(config, lengths)
    for rank in range(world_size):
        sampler = EvalBatches(dataset, batch_size, rank, world_size)
        loaded = Counter(
            (dataset.place(stretch.windows[0]).sequence, index)
            for batch in sampler
            for stretch in batch
            for index in stretch.frames
        )
        needed = {
            (place.sequence, index)
            for place in map(dataset.place, sampler.windows)
            for index in window_frames(place.start, config.seq_length, dataset.num_context, place.run)
        }
        assert loaded == Counter(needed)


@pytest.mark.pure
@given(layouts(), st.integers(1, 10))
def test_what_is_carried_comes_from_the_end_of_the_batch_before(
    noise_dataset: MakeDataset, layout: tuple[TrainConfig, list[list[int]]], batch_size: int
) -> None:
    dataset = noise_dataset(*layout)
    last: Stretch | None = None
    for batch in EvalBatches(dataset, batch_size):
        assert not any(stretch.num_carried or stretch.num_carried_frames for stretch in batch[1:])
        if batch[0].num_carried:
            assert last is not None and batch[0] == dataset.stretch(batch[0].windows, before=last)
        last = batch[-1]


@pytest.fixture
def config(tmp_path: Path, write_folder: Callable[..., Path]) -> TrainConfig:
    """Two sequences: nine windows and four, in batches of three."""
    for name, count in (("a", 11), ("b", 6)):
        frames = [np.full((32, 32, 3), 20 * (name == "b") + index, dtype=np.uint8) for index in range(count)]
        write_folder(tmp_path / name, frames)
    (tmp_path / "b" / "masks").mkdir()
    for index in range(6):
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[: 5 * index] = 255
        Image.fromarray(mask).save(tmp_path / "b" / "masks" / f"frame_{index:06d}.png")
    return replace(CONFIG, data_root=tmp_path, num_workers=0)


def dataset_of(config: TrainConfig) -> WindowDataset:
    rows = [ManifestRow("a", "static", "a", None, None, 2), ManifestRow("b", "dynamic", "b", None, None, 3)]
    return WindowDataset(open_sequences(rows, config)[0], config)


def batches_of(config: TrainConfig, epochs: range, start: int = 0) -> list[Batch]:
    loader, sampler = train_loader(dataset_of(config), config)
    found = []
    for epoch in epochs:
        sampler.epoch, sampler.start = epoch, start
        found += list(loader)
    stop_workers(loader)
    return found


def test_training_batches_follow_the_sampler(config: TrainConfig) -> None:
    dataset = dataset_of(config)
    batches = batches_of(config, range(5, 6))
    assert [batch.ids.tolist() for batch in batches] == [windows_of(b) for b in epoch_of(dataset, config, epoch=5)]
    assert [len(batch) for batch in batches] == [3, 3, 3, 3, 1]
    for batch in batches:
        for window, places in zip(batch.ids.tolist(), batch.windows, strict=True):
            assert torch.equal(batch.frames[batch.encode[places]], dataset.read_clip(window)[2:])


def assert_equal_batches(first: Batch, second: Batch) -> None:
    for name, value in vars(first).items():
        other = getattr(second, name)
        if isinstance(value, torch.Tensor):
            assert other.dtype == value.dtype
            torch.testing.assert_close(other, value, rtol=0, atol=0, equal_nan=True)
        else:
            assert other == value


CHANGES: list[dict[str, Any]] = [
    {},
    {"stem": "rgb"},
    {"windows_per_sample": 3, "accumulate": 2},
    {"batch_size": 2, "accumulate": 3},  # parts without windows
]


@pytest.mark.parametrize("changes", CHANGES)
def test_processes_give_the_batches_of_none(config: TrainConfig, changes: dict[str, Any]) -> None:
    config = replace(config, **changes)
    alone = batches_of(config, range(2), start=1)
    helped = batches_of(replace(config, num_workers=2), range(2), start=1)
    assert len(alone) == len(helped) > 4
    for first, second in zip(alone, helped, strict=True):
        assert_equal_batches(first, second)
        assert second.frames.is_shared() and second.shares.is_shared()  # nothing was copied in between
        assert not first.frames.is_shared()


def test_processes_give_the_batches_of_none_in_evaluation_too(config: TrainConfig) -> None:
    dataset = dataset_of(config)
    alone, helped = (list(eval_loader(dataset, replace(config, num_workers=count))) for count in (0, 2))
    assert [batch.num_carried for batch in alone] == [0, 2, 2, 0, 2]
    assert [batch.num_carried_frames for batch in alone] == [0, 2, 2, 0, 2]
    for first, second in zip(alone, helped, strict=True):
        assert_equal_batches(first, second)


def test_loading_takes_nothing_from_the_global_random_state(config: TrainConfig) -> None:
    before = torch.get_rng_state()
    batches_of(config, range(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_goes_in_order(config: TrainConfig) -> None:
    dataset = dataset_of(config)
    batches = list(eval_loader(dataset, config))
    assert [batch.ids.tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12]]
    assert [label for batch in batches for label in batch.labels.tolist()] == dataset.labels() == [0] * 9 + [1] * 4
    shares = [batches_of_rank.ids.tolist() for batches_of_rank in eval_loader(dataset, config, 1, 2)]
    assert shares == [[6, 7, 8], [9, 10, 11], [12]]


def test_the_name_of_what_is_damaged_comes_out_of_a_process(config: TrainConfig) -> None:
    dataset = dataset_of(config)
    (config.data_root / "a" / "frame_000000.png").write_bytes(b"")
    first, second, *_ = eval_loader(dataset, replace(config, num_workers=1))
    assert first.unreadable.tolist() == [True, False, False, False, False]
    assert first.damaged == (f"{config.data_root}/a/frame_000000.png: empty file",) and second.damaged == ()


def test_processes_of_a_loader_end_when_they_are_told(config: TrainConfig) -> None:
    loader, _ = train_loader(dataset_of(config), replace(config, num_workers=2))
    next(iter(loader))
    workers = list(loader._iterator._workers)  # type: ignore[union-attr]
    assert len(workers) == 2 and all(worker.is_alive() for worker in workers)
    stop_workers(loader)
    assert not any(worker.is_alive() for worker in workers)
    stop_workers(loader)


def test_a_signal_while_workers_start_is_raised_when_they_have(config: TrainConfig) -> None:
    waiting = [signal.SIGINT]

    def send() -> None:
        if waiting:  # hooks stay registered: this one works once
            signal.raise_signal(waiting.pop())

    os.register_at_fork(after_in_parent=send)
    loader, _ = train_loader(dataset_of(config), replace(config, num_workers=1))
    with SignalGuard(), pytest.raises(KeyboardInterrupt):
        iter(loader)
    stop_workers(loader)


def test_a_worker_prints_what_ends_its_threads_unless_the_parent_left(capsys: pytest.CaptureFixture[str]) -> None:
    hook = loader_module._print_unless_parent_left
    for error in (BrokenPipeError(32, "Broken pipe"), ConnectionResetError(), EOFError()):
        hook(type(error), error, None)
    assert capsys.readouterr().err == ""
    hook(KeyError, KeyError("handle"), None)
    assert capsys.readouterr().err == "KeyError: 'handle'\n"
