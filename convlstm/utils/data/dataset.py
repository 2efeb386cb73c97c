"""Windows of sequences as training samples.

Shapes: B batch, P context frames, T window frames, H W pixels, GH GW cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from convlstm.clips import mask_share, resize_frame, too_short, window_frames, window_starts
from convlstm.config import TrainConfig
from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource, name_some
from convlstm.sources.folder import FolderSource
from convlstm.sources.images import read_mask
from convlstm.sources.open import open_source
from convlstm.types import CELL_SIZE, Float32Array
from convlstm.utils.data.cache import FrameCache
from convlstm.utils.data.manifest import ManifestRow

IGNORED = -1
"""Cell target for "nobody knows": no mask, or too few dynamic pixels to tell."""

SHORT_REMEDIES = "set short_sequences to skip or repeat_last, or lower seq_length"


@dataclass(frozen=True)
class LabelledSequence:
    """One manifest row, opened: its frames, its class, and where its masks are, if it has any."""

    row: ManifestRow
    source: SeekableSource
    class_index: int
    masks: Path | None

    @property
    def fps(self) -> float:
        """Frames per second, as the manifest says or the video itself."""
        return self.row.fps or self.source.fps


@dataclass(frozen=True)
class WindowPlace:
    """Where one window is: sequence, first frame, and the gapless run that it lies in."""

    sequence: int
    start: int
    run: range


@dataclass  # not frozen: Fabric sets the fields when it moves a batch to the device
class Batch:
    """What the loader gives.

    `clips` uint8 (B, P+T, H, W, 3) RGB; `labels` int64 (B,) class indices; `cells` int64 (B, GH, GW) class indices,
    -1 where ignored; `windows` int64 (B,) places in the dataset; `damaged` names what could not be read.
    """

    clips: Tensor
    labels: Tensor
    cells: Tensor
    windows: Tensor
    damaged: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Sample:
    """One window: clip uint8 (P+T, H, W, 3), class index, cell targets int64 (GH, GW), place in the dataset."""

    clip: Tensor
    label: int
    cells: Tensor
    window: int


def open_sequences(rows: Sequence[ManifestRow], config: TrainConfig) -> tuple[list[LabelledSequence], list[str]]:
    """Open all rows; also returns a line for each that is left out because it cannot be used.

    Raises DataError for a sequence shorter than a window where `short_sequences` is "error".
    """
    sequences, left_out = [], []
    for row in rows:
        try:
            sequence = _open_sequence(row, config)
            runs = sequence.source.runs
        except (DataError, OSError) as error:
            left_out.append(str(error))
            continue
        longest = max(len(run) for run in runs)
        is_padded = config.short_sequences == "repeat_last" and len(runs) == 1
        if longest < config.seq_length and not is_padded:
            problem = too_short(row.folder_name, longest, config.seq_length, remedies=SHORT_REMEDIES)
            if config.short_sequences == "error":
                raise problem
            left_out.append(str(problem))
            continue
        sequences.append(sequence)
    return sequences, left_out


def _open_sequence(row: ManifestRow, config: TrainConfig) -> LabelledSequence:
    path = config.data_root / row.folder_name
    source = open_source(path, fps=row.fps or config.fps)
    masks = None
    if isinstance(source, FolderSource):
        _check_links(config.data_root, [path / name for name in source.files.values()])
        masks = _find_masks(source, path / "masks", config.data_root)
    return LabelledSequence(row, source, config.classes.index(row.type), masks)


def _find_masks(source: FolderSource, folder: Path, data_root: Path) -> Path | None:
    _check_links(data_root, [folder])
    if not folder.is_dir():
        return None
    files = {name: folder / _mask_name(name) for name in source.files.values()}
    missing = [name for name, file in files.items() if not file.exists()]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(files)} masks missing ({name_some(missing)}): "
            "add them, black where nothing moves, or remove the folder"
        )
    _check_links(data_root, list(files.values()))
    return folder


def _mask_name(frame_name: str) -> str:
    return f"{PurePath(frame_name).stem}.png"


def _check_links(data_root: Path, files: Sequence[Path]) -> None:
    """Raise DataError where a frame or mask is a link that leads out of data_root."""
    for file in files:
        if file.is_symlink() and not file.resolve().is_relative_to(data_root.resolve()):
            raise DataError(f"{file}: a link that leaves data_root: copy the file instead")


class WindowDataset(Dataset[Sample | str]):
    """All windows of some sequences. In place of a window that cannot be decoded stands a line that says why."""

    def __init__(self, sequences: Sequence[LabelledSequence], config: TrainConfig) -> None:
        self.sequences = list(sequences)
        self.config = config
        self.num_context = config.model_config().num_context
        self.has_masks = any(sequence.masks is not None for sequence in sequences)
        self._shares: dict[Path, Float32Array] = {}
        self._cache = None
        if config.cache == "ram":
            self._cache = FrameCache([sequence.source for sequence in sequences], config.target_size)
        self.windows = [place for i in range(len(self.sequences)) for place in self._places(i)]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, window: int) -> Sample | str:
        place = self.windows[window]
        try:
            return Sample(
                clip=self.read_clip(window),
                label=self.sequences[place.sequence].class_index,
                cells=self._cell_targets(place),
                window=window,
            )
        except DataError as error:
            return str(error)

    def labels(self) -> list[int]:
        """Class index of every window."""
        return [self.sequences[place.sequence].class_index for place in self.windows]

    def read_clip(self, window: int) -> Tensor:
        """Frames of a window with its context, resized: uint8 (P+T, H, W, 3)."""
        place = self.windows[window]
        indices = window_frames(place.start, self.config.seq_length, self.num_context, place.run)
        if self._cache is not None:
            return torch.from_numpy(np.stack(self._cache.read(place.sequence, indices)))
        distinct = list(dict.fromkeys(indices))
        frames = self.sequences[place.sequence].source.read(distinct)
        resized = [resize_frame(pixels, self.config.target_size) for pixels in frames]
        return torch.from_numpy(np.stack([resized[distinct.index(index)] for index in indices]))

    def _mask_shares(self, file: Path, grid: tuple[int, int]) -> Float32Array:
        """Share of dynamic pixels per cell (GH, GW); kept, since it is small and several windows need it."""
        if file not in self._shares:
            self._shares[file] = mask_share(read_mask(file), grid)
        return self._shares[file]

    def _places(self, sequence: int) -> list[WindowPlace]:
        seq_length, stride = self.config.seq_length, self.config.stride
        runs = self.sequences[sequence].source.runs
        places = []
        for run in runs:
            starts = window_starts(len(run), seq_length, stride)
            if not starts and self.config.short_sequences == "repeat_last" and len(runs) == 1:
                starts = range(1)
            places += [WindowPlace(sequence, run.start + start, run) for start in starts]
        return places

    def _cell_targets(self, place: WindowPlace) -> Tensor:
        """Class index per cell (GH, GW), -1 where ignored.

        A static sequence without masks is static everywhere where the data set has masks elsewhere; a data set without
        any is trained on its clip labels alone.
        """
        sequence = self.sequences[place.sequence]
        height, width = self.config.target_size
        grid = (height // CELL_SIZE, width // CELL_SIZE)
        if sequence.masks is None or not isinstance(sequence.source, FolderSource):
            known_static = self.has_masks and sequence.class_index == 0
            return torch.full(grid, 0 if known_static else IGNORED, dtype=torch.int64)
        indices = dict.fromkeys(window_frames(place.start, self.config.seq_length, 0, place.run))
        files = [sequence.masks / _mask_name(sequence.source.files[index]) for index in indices]
        share = np.max([self._mask_shares(file, grid) for file in files], axis=0)
        return torch.from_numpy(cell_targets(share, sequence.class_index or 1, self.config.mask_min_share))


def cell_targets(share: Float32Array, class_index: int, min_share: float) -> NDArray[np.int64]:
    """Highest share of dynamic pixels per cell over a window, in [0, 1], to class indices.

    0 where no pixel is dynamic, `class_index` over `min_share`, -1 (ignored) between.
    """
    targets = np.full(share.shape, IGNORED, dtype=np.int64)
    targets[share == 0] = 0
    targets[share > min_share] = class_index
    return targets


def collate(samples: Sequence[Sample | str]) -> Batch:
    """Samples to a batch, empty where none could be read."""
    good = [sample for sample in samples if isinstance(sample, Sample)]
    return Batch(
        clips=torch.stack([sample.clip for sample in good]) if good else torch.empty(0, dtype=torch.uint8),
        labels=torch.tensor([sample.label for sample in good], dtype=torch.int64),
        cells=torch.stack([sample.cells for sample in good]) if good else torch.empty(0, dtype=torch.int64),
        windows=torch.tensor([sample.window for sample in good], dtype=torch.int64),
        damaged=tuple(sample for sample in samples if isinstance(sample, str)),
    )
