"""All heatmaps of a source, on disk from the start: memory does not grow with the source's length."""

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from convlstm.atomic import atomic_write
from convlstm.types import Heatmap

_WINDOWS_AT_ONCE = 256


class HeatmapFile:
    """Heatmaps of one size are added, read again in order, and at the end written as an .npz file.

    They are kept in a nameless temporary file in `folder`, which goes when this object is closed, or killed.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 closed by close()
        self._record: np.dtype[Any] | None = None
        self._num_windows = 0

    def __len__(self) -> int:
        return self._num_windows

    def add(self, heatmap: Heatmap) -> None:
        """Append the next window."""
        if self._record is None:
            self._record = np.dtype(
                [
                    ("heatmaps", "<f4", heatmap.probabilities.shape),
                    ("first_frame", "<i8"),
                    ("last_frame", "<i8"),
                    ("start_s", "<f8"),
                    ("end_s", "<f8"),
                ]
            )
        places = heatmap.first_frame, heatmap.last_frame, heatmap.start_seconds, heatmap.end_seconds
        self._file.write(np.array([(heatmap.probabilities, *places)], dtype=self._record).tobytes())
        self._num_windows += 1

    def __iter__(self) -> Iterator[Heatmap]:
        """All windows, in the order in which they were added."""
        for chunk in self._chunks():
            for row in chunk:
                places = int(row["first_frame"]), int(row["last_frame"]), float(row["start_s"]), float(row["end_s"])
                yield Heatmap(np.ascontiguousarray(row["heatmaps"]), *places)

    def save_npz(self, path: Path, *, place: Callable[[int], int] = int) -> None:
        """`heatmaps` float32 (N, GH, GW), `first_frame`, `last_frame` int64 (N,), `start_s`, `end_s` float64 (N,).

        `place` gives the number of a frame in what the user gave, see `Source.place`.
        """
        assert self._record is not None and self._record.names is not None
        with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in self._record.names:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    self._write_array(member, name, place)

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def _write_array(self, member: IO[bytes], name: str, place: Callable[[int], int]) -> None:
        assert self._record is not None
        dtype, shape = self._record[name].base, self._record[name].shape
        header = {"descr": dtype.str, "fortran_order": False, "shape": (self._num_windows, *shape)}
        np.lib.format.write_array_header_1_0(member, header)
        for chunk in self._chunks():
            values = chunk[name]
            if name in ("first_frame", "last_frame"):
                values = np.array([place(int(frame)) for frame in values], dtype=dtype)
            member.write(np.ascontiguousarray(values).tobytes())

    def _chunks(self) -> Iterator[NDArray[Any]]:
        """Stretches of records; a second reader at the same time is no problem."""
        if self._record is None:
            return
        for begin in range(0, self._num_windows, _WINDOWS_AT_ONCE):
            count = min(_WINDOWS_AT_ONCE, self._num_windows - begin)
            self._file.seek(begin * self._record.itemsize)
            data = self._file.read(count * self._record.itemsize)
            self._file.seek(0, 2)
            yield np.frombuffer(data, dtype=self._record)
