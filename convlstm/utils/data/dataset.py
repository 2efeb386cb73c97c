"""Windows of sequences as training data: which windows there are, and batches of them.

Shapes: P context frames, T window frames, N frames of a batch, H W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from convlstm.clips import window_frames, window_starts
from convlstm.config import TrainConfig
from convlstm.errors import DataError
from convlstm.utils.data.batch import Batch
from convlstm.utils.data.cache import open_store
from convlstm.utils.data.frames import MASK_BLOCK
from convlstm.utils.data.sequences import LabelledSequence


@dataclass(frozen=True)
class WindowPlace:
    """Where one window is: sequence, first frame, and the gapless run that it lies in."""

    sequence: int
    start: int
    run: range


@dataclass(frozen=True)
class Stretch:
    """Neighbouring windows of one run, loaded together.

    `windows` are places in the dataset, `frames` what has to be loaded for them. Augmentation draws from `seed`. Where
    an earlier stretch brought a part of what is needed, `num_carried_frames` of its frames serve as context, and
    `num_carried` of those it encoded are the first ones of these windows.
    """

    windows: range
    frames: range
    seed: int = 0
    num_carried_frames: int = 0
    num_carried: int = 0


class WindowDataset(Dataset[Batch]):
    """All windows of some sequences.

    What is kept per window is 32 bytes, so that it grows to millions and is shared with loader processes.
    """

    def __init__(self, sequences: Sequence[LabelledSequence], config: TrainConfig) -> None:
        self.sequences = list(sequences)
        self.config = config
        self.num_context = config.model_config().num_context
        self.has_masks = any(sequence.masks is not None for sequence in sequences)
        self.store = open_store(sequences, config)
        places = [row for i in range(len(self.sequences)) for row in self._places(i)]
        self._windows = np.array(places, dtype=np.int64).reshape(-1, 4)  # sequence, start, start and stop of the run

    def __len__(self) -> int:
        return len(self._windows)

    def place(self, window: int) -> WindowPlace:
        """Where a window is."""
        sequence, start, run_start, run_stop = self._windows[window].tolist()
        return WindowPlace(sequence, start, range(run_start, run_stop))

    def labels(self) -> list[int]:
        """Class index of every window."""
        of_sequence = np.array([sequence.class_index for sequence in self.sequences], dtype=np.int64)
        labels: list[int] = of_sequence[self._windows[:, 0]].tolist()
        return labels

    def window_runs(self, windows: range) -> Iterator[range]:
        """Cut `windows` where a new run of frames begins; windows that share no frames stand alone."""
        if self.config.stride >= self.config.seq_length:
            yield from (range(window, window + 1) for window in windows)
            return
        rows = self._windows[windows.start : windows.stop]
        is_new = np.any(np.diff(rows[:, [0, 2]], axis=0) != 0, axis=1)
        cuts = [windows.start, *(np.flatnonzero(is_new) + 1 + windows.start).tolist(), windows.stop]
        yield from (range(a, b) for a, b in pairwise(cuts) if a < b)

    def stretch(self, windows: range, seed: int = 0, before: Stretch | None = None) -> Stretch:
        """What to load for neighbouring windows of one run, where `before` has just been loaded."""
        first, last = self.place(windows[0]), self.place(windows[-1])
        stop = min(first.run.stop, last.start + self.config.seq_length)
        if before is None:
            return Stretch(windows, range(max(first.run.start, first.start - self.num_context), stop), seed)
        start = before.frames.stop
        num_before = len(before.frames) + before.num_carried_frames
        return Stretch(windows, range(start, stop), seed, min(self.num_context, num_before), start - first.start)

    def __getitem__(self, window: int) -> Batch:
        return self.__getitems__([self.stretch(range(window, window + 1))])

    def __getitems__(self, stretches: Sequence[Stretch]) -> Batch:
        """One batch; the frames are read straight into it. Of the stretches, only the first may carry anything."""
        height, width = self.config.target_size
        num_frames = sum(len(stretch.frames) for stretch in stretches)
        frames = _empty((num_frames, *self.config.frame_size, 3), torch.uint8)
        shares = _empty((num_frames, height // MASK_BLOCK, width // MASK_BLOCK), torch.float16)
        bounds = np.cumsum([0, *(len(stretch.frames) for stretch in stretches)]).tolist()
        unreadable = torch.zeros(num_frames, dtype=torch.bool)
        damaged: dict[str, None] = {}
        for stretch, begin, end in zip(stretches, bounds, bounds[1:], strict=False):
            reasons = self._read(stretch, frames[begin:end], shares[begin:end])
            for index, reason in reasons.items():
                unreadable[begin + index - stretch.frames.start] = True
                damaged[reason] = None
        encode, lagged, windows = self._index(stretches)
        ids = [window for stretch in stretches for window in stretch.windows]
        labels = [self.sequences[self.place(window).sequence].class_index for window in ids]
        return Batch(
            frames=frames,
            shares=shares,
            unreadable=unreadable,
            encode=encode,
            lagged=lagged,
            windows=windows,
            labels=torch.tensor(labels, dtype=torch.int64),
            ids=torch.tensor(ids, dtype=torch.int64),
            bounds=tuple(bounds),
            seeds=tuple(stretch.seed for stretch in stretches),
            damaged=tuple(damaged),
            num_carried_frames=stretches[0].num_carried_frames if stretches else 0,
            num_carried=stretches[0].num_carried if stretches else 0,
        )

    def read_clip(self, window: int) -> Tensor:
        """Frames of a window with its context, resized: uint8 (P+T, H, W, 3). Raises DataError for damaged frames."""
        batch = self[window]
        if batch.damaged:
            raise DataError(batch.damaged[0])
        place = self.place(window)
        first = max(place.run.start, place.start - self.num_context)
        indices = window_frames(place.start, self.config.seq_length, self.num_context, place.run)
        return batch.frames[torch.tensor(indices) - first]

    def _read(self, stretch: Stretch, frames: Tensor, shares: Tensor) -> dict[int, str]:
        """Known to be static everywhere: static sequences without masks, where the data set has masks elsewhere."""
        sequence = self.place(stretch.windows[0]).sequence
        reasons = self.store.read(sequence, stretch.frames, frames.numpy(), shares.numpy())
        opened = self.sequences[sequence]
        if self.has_masks and opened.masks is None and opened.class_index == 0:
            shares.zero_()
        return reasons

    def _index(self, stretches: Sequence[Stretch]) -> tuple[Tensor, Tensor, Tensor]:
        """`encode`, `lagged` and `windows` of a batch; see `Batch`."""
        lags = np.array(self.config.lags if self.num_context else [], dtype=np.int64)
        steps = np.arange(self.config.seq_length)
        encode, lagged, windows = [np.empty(0, np.int64)], [np.empty((0, len(lags)), np.int64)], []
        num_frames, num_encoded = 0, 0
        for stretch in stretches:
            first, last = self.place(stretch.windows[0]), self.place(stretch.windows[-1])
            origin = stretch.frames.start - stretch.num_carried_frames  # frame index at place num_frames
            last_frame = stretch.frames.stop - 1  # stands for all that a padded window lacks
            indices = np.arange(max(first.start, stretch.frames.start), last.start + self.config.seq_length)
            encode.append(np.minimum(indices, last_frame) - origin + num_frames)
            lagged.append(np.clip(indices[:, None] - lags, first.run.start, last_frame) - origin + num_frames)
            starts = self._windows[stretch.windows.start : stretch.windows.stop, 1]
            windows.append(starts[:, None] + steps - first.start + num_encoded)
            num_frames += stretch.num_carried_frames + len(stretch.frames)
            num_encoded += stretch.num_carried + len(indices)
        windows = windows or [np.empty((0, len(steps)), np.int64)]
        encode_all, lagged_all, windows_all = (torch.from_numpy(np.concatenate(x)) for x in (encode, lagged, windows))
        return encode_all, lagged_all, windows_all

    def _places(self, sequence: int) -> Iterator[tuple[int, int, int, int]]:
        seq_length, stride = self.config.seq_length, self.config.stride
        runs = self.sequences[sequence].source.runs
        for run in runs:
            starts = window_starts(len(run), seq_length, stride)
            if not starts and self.config.short_sequences == "repeat_last" and len(runs) == 1:
                starts = range(1)
            yield from ((sequence, run.start + start, run.start, run.stop) for start in starts)


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """In a loader process, memory that the main process sees too, so that handing the batch over copies nothing."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    num_bytes = int(np.prod(shape)) * dtype.itemsize
    storage = torch.UntypedStorage._new_shared(max(1, num_bytes))  # what torch's own collate uses
    shared = torch.empty(0, dtype=dtype)
    shared.set_(storage, 0, shape)  # type: ignore[call-overload] # missing in the stubs
    return shared
