from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convlstm.config import TrainConfig
from convlstm.utils.data.dataset import Batch, WindowDataset, open_sequences
from convlstm.utils.data.loader import EpochSampler, eval_loader, train_loader
from convlstm.utils.data.manifest import ManifestRow


@pytest.fixture
def config(tmp_path: Path, write_folder: Callable[..., Path]) -> TrainConfig:
    """Two sequences: nine windows and four, in batches of three."""
    for name, count in (("a", 11), ("b", 6)):
        frames = [np.full((32, 32, 3), 10 * (name == "b") + index, dtype=np.uint8) for index in range(count)]
        write_folder(tmp_path / name, frames)
    return TrainConfig(
        data_root=tmp_path, stem="rgb", seq_length=3, stride=1, target_size=(32, 32), batch_size=3, num_workers=0
    )


def dataset_of(config: TrainConfig) -> WindowDataset:
    rows = [ManifestRow("a", "static", "a", None, None, 2), ManifestRow("b", "dynamic", "b", None, None, 3)]
    return WindowDataset(open_sequences(rows, config)[0], config)


def order(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.epoch = epoch
    return list(sampler)


@given(st.integers(0, 200), st.integers(0, 2**31), st.integers(0, 10_000))
def test_an_epoch_is_a_permutation_that_seed_and_epoch_decide(num_windows: int, seed: int, epoch: int) -> None:
    first, second = EpochSampler(num_windows, seed), EpochSampler(num_windows, seed)
    order(second, epoch + 1)
    torch.manual_seed(epoch)
    assert order(first, epoch) == order(second, epoch)
    assert sorted(first) == list(range(num_windows)) and len(first) == num_windows


@given(st.integers(0, 2**31), st.integers(0, 10_000))
def test_epochs_and_seeds_have_orders_of_their_own(seed: int, epoch: int) -> None:
    orders = [order(EpochSampler(50, s), e) for s, e in ((seed, epoch), (seed, epoch + 1), (seed + 1, epoch))]
    assert len({tuple(one) for one in orders}) == 3


def test_the_sampler_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    order(EpochSampler(10, 0), 3)
    assert torch.equal(torch.get_rng_state(), before)


def batches_of(config: TrainConfig, epochs: range) -> list[Batch]:
    loader, sampler = train_loader(dataset_of(config), config)
    found = []
    for epoch in epochs:
        sampler.epoch = epoch
        found += list(loader)
    return found


def test_training_batches_follow_the_sampler(config: TrainConfig) -> None:
    batches = batches_of(config, range(5, 6))
    windows = [window for batch in batches for window in batch.windows.tolist()]
    assert windows == order(EpochSampler(13, config.seed), 5)
    assert [len(batch) for batch in batches] == [3, 3, 3, 3, 1]
    dataset = dataset_of(config)
    for batch in batches:
        for clip, window in zip(batch.clips, batch.windows.tolist(), strict=True):
            assert torch.equal(clip, dataset.read_clip(window))


def test_processes_give_the_batches_of_none(config: TrainConfig) -> None:
    alone = batches_of(config, range(2))
    helped = batches_of(replace(config, num_workers=2), range(2))
    assert len(alone) == len(helped) == 10
    for first, second in zip(alone, helped, strict=True):
        for name in ("clips", "labels", "cells", "windows"):
            assert torch.equal(getattr(first, name), getattr(second, name))


def test_loading_takes_nothing_from_the_global_random_state(config: TrainConfig) -> None:
    before = torch.get_rng_state()
    batches_of(config, range(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_goes_in_order(config: TrainConfig) -> None:
    dataset = dataset_of(config)
    batches = list(eval_loader(dataset, config))
    assert [batch.windows.tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12]]
    assert [label for batch in batches for label in batch.labels.tolist()] == dataset.labels() == [0] * 9 + [1] * 4


def test_the_name_of_what_is_damaged_comes_out_of_a_process(config: TrainConfig) -> None:
    dataset = dataset_of(config)
    (config.data_root / "a" / "frame_000000.png").write_bytes(b"")
    first, *_ = eval_loader(dataset, replace(config, num_workers=1))
    assert first.windows.tolist() == [1, 2]
    assert first.damaged == (f"{config.data_root}/a/frame_000000.png: empty file",)
