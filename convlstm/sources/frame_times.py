"""`frames.csv` beside the frames of a folder: when each of them was shown in the video that it comes from.

frame,file,pts_seconds,source_index
1,frame_000001.png,0.0,0
2,frame_000002.png,0.08,2
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from convlstm.errors import DataError

FRAME_TIMES = "frames.csv"


class FrameTime(NamedTuple):
    """One row: number and name of a frame, its presentation time, and its place among the frames of the video."""

    frame: int
    file: str
    pts_seconds: float
    source_index: int


@contextmanager
def frame_times_file(folder: Path) -> Iterator[Callable[[FrameTime], object]]:
    """Write `frames.csv` row by row: `with frame_times_file(folder) as add: add(FrameTime(...))`."""
    with (folder / FRAME_TIMES).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FrameTime._fields)
        yield writer.writerow


def write_frame_times(folder: Path, rows: Iterable[FrameTime]) -> None:
    """Write `frames.csv` with these rows."""
    with frame_times_file(folder) as add:
        for row in rows:
            add(row)


def read_frame_times(folder: Path) -> dict[str, float] | None:
    """Presentation time in seconds of each file that `frames.csv` names; None where there is none.

    Raises DataError where it cannot be used; a link is not followed.
    """
    path = folder / FRAME_TIMES
    if not path.is_file():
        return None
    if path.is_symlink():
        raise DataError(f"{path}: a link: copy the file instead")
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True)
        times = {row["file"]: float(row["pts_seconds"]) for row in reader}
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise DataError(f"{path}: no table of file and pts_seconds: {error}") from error
    if not all(math.isfinite(seconds) for seconds in times.values()):
        raise DataError(f"{path}: a pts_seconds is not finite")
    return times
