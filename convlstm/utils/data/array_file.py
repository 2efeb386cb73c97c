"""Arrays in .npy files that are written and read row by row; `np.load(path, mmap_mode="r")` opens them too."""

import io
import math
import os
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from convlstm.errors import DataError
from convlstm.types import Float16Array, UInt8Array


class ArrayFile(NamedTuple):
    """A .npy file as it was found: bytes of its header and in all, and when it was written."""

    num_header: int
    num_bytes: int
    mtime_ns: int


class ArrayWriter:
    """A .npy file that is written row by row, and is on the disk when its block ends."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
        self._file = path.open("xb")
        self._row_shape = shape[1:]
        self._dtype = dtype
        self._start = self._file.write(_npy_header(shape, dtype))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())

    def __setitem__(self, row: int, value: Any, /) -> None:
        data = np.ascontiguousarray(np.broadcast_to(np.asarray(value, self._dtype), self._row_shape))
        self._file.seek(self._start + row * data.nbytes)
        self._file.write(data.data)


def read_rows(path: Path, expected: ArrayFile, row: int, out: UInt8Array | Float16Array) -> None:
    """Fill `out` (contiguous) with the rows from `row` on, without another copy in between.

    Raises DataError where the file is not the one that was found at the start: another process may have replaced it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            is_same = (status.st_size, status.st_mtime_ns) == (expected.num_bytes, expected.mtime_ns)
            file.seek(expected.num_header + row * out[:1].nbytes)
            if is_same and file.readinto(out.data) == out.nbytes:
                return
    except OSError as error:
        raise DataError(
            f"{path}: cached frames cannot be read: {error.strerror}: restart to cache them anew"
        ) from error
    raise DataError(f"{path}: cached frames have changed since training began: restart to cache them anew")


def check_array(path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> ArrayFile:
    """Raises ValueError where the file does not hold such an array, wholly."""
    header = _npy_header(shape, dtype)
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        expected = len(header) + math.prod(shape) * dtype.itemsize
        if file.read(len(header)) != header or status.st_size != expected:
            raise ValueError(f"{path}: not an array of shape {shape}")
    return ArrayFile(len(header), status.st_size, status.st_mtime_ns)


@cache
def _npy_header(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> bytes:
    header = io.BytesIO()
    description = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(header, {"descr": description, "fortran_order": False, "shape": shape})
    return header.getvalue()
