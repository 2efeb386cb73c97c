"""Loaders: order by seed and epoch alone, so that a resumed run sees what an uninterrupted one would have seen."""

import signal
from collections.abc import Iterator

import cv2
import torch
from torch.utils.data import DataLoader, Sampler

from convlstm.config import TrainConfig
from convlstm.utils.data.dataset import Sample, WindowDataset, collate


class EpochSampler(Sampler[int]):
    """A new order for every epoch, the same one for the same seed and epoch."""

    def __init__(self, num_windows: int, seed: int) -> None:
        self.num_windows = num_windows
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.num_windows

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.num_windows, generator=generator).tolist())


def train_loader(dataset: WindowDataset, config: TrainConfig) -> tuple[DataLoader[Sample | str], EpochSampler]:
    """Batches in the sampler's order; set `sampler.epoch` before each epoch."""
    sampler = EpochSampler(len(dataset), config.seed)
    return _loader(dataset, config, sampler), sampler


def eval_loader(dataset: WindowDataset, config: TrainConfig) -> DataLoader[Sample | str]:
    """Batches in the order of the dataset, every window once."""
    return _loader(dataset, config, None)


def _loader(dataset: WindowDataset, config: TrainConfig, sampler: EpochSampler | None) -> DataLoader[Sample | str]:
    return DataLoader(
        dataset,
        batch_size=config.batch_size,
        sampler=sampler,
        num_workers=config.num_workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=config.num_workers > 0,
        worker_init_fn=_prepare_worker,
        generator=torch.Generator(),  # its own, so that the loader takes nothing from the global random state
    )


def _prepare_worker(worker: int) -> None:
    del worker
    cv2.setNumThreads(0)
    # Both often reach the whole process group; the main process ends the workers in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def stop_workers(loader: DataLoader[Sample | str]) -> None:
    """End the loader's processes now, not whenever the interpreter gets to it."""
    iterator = getattr(loader, "_iterator", None)  # there while workers live; DataLoader offers no public way
    if iterator is not None:
        iterator._shutdown_workers()
        loader._iterator = None
