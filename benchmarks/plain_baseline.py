"""The same network, trained the way most PyTorch code is written: what the other rows are measured against.

Every window decodes its frames anew and carries them as float32; the encoder sees every frame of every window; default
memory layout, float32, no compilation. Nothing of the package's own data or training code runs here, except that the
manifest is read and split by it, so that all rows see the same windows.

The network itself is `convlstm/benchmark/plain.py`.

Shapes: B batch, P context frames, T frames of a window, H W pixels.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convlstm.benchmark.plain import PlainNetwork
from convlstm.config import TrainConfig
from convlstm.utils.data.manifest import ManifestRow, read_manifest
from convlstm.utils.data.split import split_rows

Sample = tuple[Tensor, float]
Loader = DataLoader[Sample]


class PlainDataset(Dataset[Sample]):
    """One window per item: clip float32 (P+T, 3, H, W) in [0, 1] and label, 0.0 or 1.0, decoded on every access."""

    def __init__(self, rows: Sequence[ManifestRow], config: TrainConfig) -> None:
        self.config = config
        self.num_context = config.model_config().num_context
        self.windows: list[tuple[list[Path], int, float]] = []
        for row in rows:
            files = sorted((config.data_root / row.folder_name).glob("*.png"))
            for start in range(0, len(files) - config.seq_length + 1, config.stride):
                self.windows.append((files, start, float(config.classes.index(row.type))))

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        files, start, label = self.windows[index]
        height, width = self.config.target_size
        frames = []
        for i in range(start - self.num_context, start + self.config.seq_length):
            image = cv2.imread(str(files[max(i, 0)]))
            if image is None:
                raise ValueError(f"cannot read {files[max(i, 0)]}")
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            image = cv2.resize(image, (width, height))
            frames.append(torch.from_numpy(image).permute(2, 0, 1).float() / 255)
        return torch.stack(frames), label


@dataclass
class PlainTraining:
    """Network, optimizer and data of one run, in the loop that everybody writes."""

    config: TrainConfig
    network: PlainNetwork
    device: torch.device

    def __post_init__(self) -> None:
        config = self.config
        rows = read_manifest(config.data_root, config.manifest, config.classes)
        split = split_rows(rows, val_ratio=config.val_ratio, seed=config.seed)
        self.train_data = PlainDataset(split["train"], config)
        self.val_data = PlainDataset(split["val"], config)
        self.network.to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.lr)
        self.train_batches = self._loader(self.train_data, shuffle=True)
        self.val_batches = self._loader(self.val_data, shuffle=False)

    def run_epoch(self) -> dict[str, float]:
        """Training and validation; `seconds` of both, `data_wait` as a share of the training."""
        started = time.perf_counter()
        train_loss, waited = self._train_epoch()
        train_seconds = time.perf_counter() - started
        val_loss = self._validate()
        seconds = time.perf_counter() - started
        return {
            "train_loss": train_loss,
            "val_loss": val_loss,
            "seconds": seconds,
            "data_wait": waited / train_seconds,
        }

    def train_step(self, clips: Tensor, labels: Tensor) -> float:
        """One optimizer step on a batch in host memory; returns its loss."""
        clips, labels = clips.to(self.device), labels.float().to(self.device)
        self.optimizer.zero_grad()
        loss = self._loss(clips, labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def batches_in_memory(self, num_windows: int) -> Iterator[Any]:
        """Batches of `num_windows` without end, each loaded in this process when it is asked for."""
        on_gpu = self.device.type == "cuda"
        while True:
            yield from DataLoader(self.train_data, num_windows, shuffle=True, drop_last=True, pin_memory=on_gpu)

    def _train_epoch(self) -> tuple[float, float]:
        self.network.train()
        total, waited = 0.0, 0.0
        batches = iter(self.train_batches)
        for _ in range(len(self.train_batches)):
            before = time.perf_counter()
            clips, labels = next(batches)
            waited += time.perf_counter() - before
            total += self.train_step(clips, labels) * len(labels)
        return total / len(self.train_data), waited

    @torch.no_grad()
    def _validate(self) -> float:
        self.network.eval()
        total = 0.0
        for clips, labels in self.val_batches:
            total += self._loss(clips.to(self.device), labels.float().to(self.device)).item() * len(labels)
        return total / len(self.val_data)

    def _loss(self, clips: Tensor, labels: Tensor) -> Tensor:
        probabilities = self.network(clips).amax(dim=(1, 2, 3))
        return F.binary_cross_entropy(probabilities, labels)

    def _loader(self, data: PlainDataset, *, shuffle: bool) -> Loader:
        return DataLoader(
            data,
            self.config.batch_size,
            shuffle=shuffle,
            num_workers=self.config.num_workers,
            pin_memory=self.device.type == "cuda",
        )
