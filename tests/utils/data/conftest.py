"""Data sets without files: what decides is where their frames lie."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.config import TrainConfig
from convlstm.sources.base import SeekableSource
from convlstm.types import Frame
from convlstm.utils.data.dataset import WindowDataset
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import LabelledSequence


class NoiseSource(SeekableSource):
    """Frames of noise, drawn from their index."""

    def __init__(self, name: str, runs: list[range], size: tuple[int, int]) -> None:
        super().__init__(name)
        self._runs = runs
        self.size = size

    @property
    def num_frames(self) -> int:
        return sum(len(run) for run in self._runs)

    @property
    def fps(self) -> float:
        return 25.0

    @property
    def runs(self) -> list[range]:
        return self._runs

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def read(self, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        assert all(any(index in run for run in self._runs) for index in indices)
        noise = (np.random.RandomState(index).randint(0, 256, (*self.size, 3)) for index in indices)
        return [pixels.astype(np.uint8) for pixels in noise]


@pytest.fixture(scope="session")
def noise_dataset() -> Callable[[TrainConfig, Sequence[Sequence[int]]], WindowDataset]:
    """`noise_dataset(config, [[7, 3], [5]])`: two sequences, one of 7 and 3 frames with a gap between, one of 5.

    Sequences are of class 0 and 1 in turn. The first frame of each has the number of the sequence; gaps grow.
    """

    def make(config: TrainConfig, lengths: Sequence[Sequence[int]]) -> WindowDataset:
        sequences = []
        for number, of_sequence in enumerate(lengths):
            runs, start = [], number
            for gap, length in enumerate(of_sequence, start=1):
                runs.append(range(start, start + length))
                start += length + gap
            name = f"sequence_{number}"
            row = ManifestRow(name, config.classes[number % 2], name, None, None, number + 2)
            source = NoiseSource(name, runs, config.target_size)
            sequences.append(LabelledSequence(row, source, number % 2, masks=None))
        return WindowDataset(sequences, config)

    return make
