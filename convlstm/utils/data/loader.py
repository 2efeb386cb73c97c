"""Loaders: order by seed and epoch alone, so that a resumed run sees what an uninterrupted one would have seen."""

import math
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from convlstm.config import TrainConfig
from convlstm.interrupts import leave_signals_to_parent, signals_waiting
from convlstm.utils.data.batch import Batch
from convlstm.utils.data.dataset import Stretch, WindowDataset

BatchLoader = DataLoader[Batch]


class TrainBatches(Sampler[list[Stretch]]):
    """Batches of an epoch in random order, the same ones for the same seed and epoch.

    Each holds `batch_size` windows (the last may hold less), in groups of up to `windows_per_sample` neighbours whose
    borders move from epoch to epoch. A batch is given in `accumulate` parts; of several processes each gets its share
    of every part, so that together they compute what a single process would. Set `epoch` before each epoch, and `start`
    to the number of batches that were done before.
    """

    def __init__(self, dataset: WindowDataset, config: TrainConfig, rank: int = 0, world_size: int = 1) -> None:
        self.dataset = dataset
        self.config = config
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start = 0

    @property
    def num_batches(self) -> int:
        """Batches per epoch, whole ones: optimizer steps."""
        return math.ceil(len(self.dataset) / self.config.batch_size)

    def __len__(self) -> int:
        return (self.num_batches - self.start) * self.config.accumulate

    def __iter__(self) -> Iterator[list[Stretch]]:
        num_parts = self.world_size * self.config.accumulate
        for batch in self._batches():
            for part in range(self.config.accumulate):
                yield self._stretches(_part_of(batch, part * self.world_size + self.rank, num_parts))

    def _batches(self) -> Iterator[list[range]]:
        """Groups cut so that all batches but the last hold the same number of windows."""
        groups = self._groups()
        order = torch.randperm(len(groups), generator=self._generator()).numpy()
        batch: list[range] = []
        room, number = self.config.batch_size, 0
        for place in order:
            group = range(*groups[place].tolist())
            while len(group) >= room:
                number += 1
                if number > self.start:
                    yield [*batch, group[:room]]
                batch, group, room = [], group[room:], self.config.batch_size
            if group:
                batch.append(group)
                room -= len(group)
        if batch and number >= self.start:
            yield batch

    def _groups(self) -> NDArray[np.int64]:
        """First window and one past the last of each group, (groups, 2)."""
        size = self.config.windows_per_sample
        if size == 1:
            starts = np.arange(len(self.dataset))
            return np.stack([starts, starts + 1], axis=1)
        runs = list(self.dataset.window_runs(range(len(self.dataset))))
        shifts = torch.randint(size, (len(runs),), generator=self._generator()).tolist()
        groups = []
        for run, shift in zip(runs, shifts, strict=True):
            cuts = np.unique(np.arange(run.start - shift, run.stop + size, size).clip(run.start, run.stop))
            groups.append(np.stack([cuts[:-1], cuts[1:]], axis=1))
        return np.concatenate(groups)

    def _stretches(self, part: Sequence[tuple[range, range]]) -> list[Stretch]:
        return [self.dataset.stretch(piece, self._seed(group.start)) for piece, group in part]

    def _seed(self, window: int) -> int:
        state = np.random.SeedSequence((self.config.seed, self.epoch, window)).generate_state(1, np.uint64)
        return int(state[0]) >> 1  # torch takes 63 bits

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.epoch)


def _part_of(batch: Sequence[range], part: int, num_parts: int) -> list[tuple[range, range]]:
    """One of `num_parts` parts of equal size, to one window: what it has of each group, and the group."""
    total = sum(len(group) for group in batch)
    begin, end = part * total // num_parts, (part + 1) * total // num_parts
    pieces, offset = [], 0
    for group in batch:
        piece = group[max(0, begin - offset) : max(0, end - offset)]
        offset += len(group)
        if piece:
            pieces.append((piece, group))
    return pieces


class EvalBatches(Sampler[list[Stretch]]):
    """Every window once, in the order of the dataset, each frame loaded once.

    Where a run of windows is longer than a batch, the next batch goes on with it. Of several processes each has its own
    part of the windows, one after another; none is repeated or dropped.
    """

    def __init__(self, dataset: WindowDataset, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        total = len(dataset)
        self.dataset = dataset
        self.batch_size = batch_size
        self.windows = range(rank * total // world_size, (rank + 1) * total // world_size)

    def __len__(self) -> int:
        return math.ceil(len(self.windows) / self.batch_size)

    def __iter__(self) -> Iterator[list[Stretch]]:
        batch: list[Stretch] = []
        room = self.batch_size
        for run in self.dataset.window_runs(self.windows):
            rest, before = run, None
            while rest:
                part, rest = rest[:room], rest[room:]
                before = self.dataset.stretch(part, before=before)
                batch.append(before)
                room -= len(part)
                if not room:
                    yield batch
                    batch, room = [], self.batch_size
        if batch:
            yield batch


def train_loader(
    dataset: WindowDataset, config: TrainConfig, rank: int = 0, world_size: int = 1
) -> tuple[BatchLoader, TrainBatches]:
    """Batches in the sampler's order; set `sampler.epoch` and `sampler.start` before each epoch."""
    sampler = TrainBatches(dataset, config, rank, world_size)
    return _loader(dataset, config, sampler), sampler


def eval_loader(dataset: WindowDataset, config: TrainConfig, rank: int = 0, world_size: int = 1) -> BatchLoader:
    """Every window once, in the order of the dataset."""
    return _loader(dataset, config, EvalBatches(dataset, config.batch_size, rank, world_size))


def _loader(dataset: WindowDataset, config: TrainConfig, sampler: Sampler[list[Stretch]]) -> BatchLoader:
    return _Loader(
        dataset,
        batch_sampler=sampler,
        num_workers=config.num_workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=config.num_workers > 0,
        worker_init_fn=_prepare_worker,
        generator=torch.Generator(),  # its own, so that the loader takes nothing from the global random state
    )


class _Loader(DataLoader[Any]):
    def __iter__(self) -> Any:
        with signals_waiting():  # the first call starts the workers
            return super().__iter__()


def _as_it_is(batch: Any) -> Any:
    return batch  # the dataset gives whole batches


def _prepare_worker(worker: int) -> None:
    del worker
    cv2.setNumThreads(0)
    leave_signals_to_parent()
    sys.excepthook = _print_unless_parent_left


def _print_unless_parent_left(
    error_type: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The thread that hands tensors over prints what ends a handing over; a parent that was interrupted is no error."""
    if not isinstance(error, (ConnectionError, EOFError)):
        sys.__excepthook__(error_type, error, trace)


def stop_workers(loader: BatchLoader) -> None:
    """End the loader's processes now, not whenever the interpreter gets to it."""
    iterator = getattr(loader, "_iterator", None)  # there while workers live; DataLoader offers no public way
    if iterator is not None:
        iterator._shutdown_workers()
        loader._iterator = None
