"""A folder of numbered images as a source."""

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePath

from convlstm.clips import consecutive_runs
from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource, name_some
from convlstm.sources.frame_times import read_frame_times
from convlstm.sources.images import IMAGE_SUFFIXES, read_image
from convlstm.sources.numbering import order_frames
from convlstm.types import Frame, UInt8Array

logger = logging.getLogger(__name__)


def list_images(folder: Path) -> list[str]:
    """Names of the image files in `folder`, hidden ones left out. Raises DataError where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if _is_image_name(e.name) and not e.is_dir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}") from error


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and PurePath(name).suffix.lower() in IMAGE_SUFFIXES


class FolderSource(SeekableSource):
    """Frames of one folder in the order of their numbers.

    `pts_seconds` and the frame rate are those of `frames.csv` beside the frames, where it names all of them in order;
    else index / `fps`, and `fps`.
    """

    def __init__(
        self, folder: Path, *, fps: float, name: str | None = None, files: Sequence[str] | None = None
    ) -> None:
        super().__init__(name or str(folder))
        self.folder = folder
        names = list(files) if files is not None else list_images(folder)
        if not names:
            raise DataError(f"{self.name}: no images in this folder; known are {', '.join(sorted(IMAGE_SUFFIXES))}")
        self.files = {frame.index: frame.name for frame in order_frames(self.name, names)}
        self._runs = consecutive_runs(list(self.files))
        self._times = self._true_times()
        self._fps = fps if self._times is None else _average_rate(self._times, fps)
        self._note_gaps()

    @property
    def num_frames(self) -> int:
        """Number of image files."""
        return len(self.files)

    @property
    def fps(self) -> float:
        """The average by `frames.csv`; as given where there is none: images carry no times."""
        return self._fps

    @property
    def runs(self) -> list[range]:
        """Stretches without a missing number."""
        return self._runs

    @property
    def has_true_times(self) -> bool:
        """Whether `frames.csv` tells the times."""
        return self._times is not None

    def seconds_at(self, index: int) -> float:
        """Presentation time of a frame."""
        return index / self._fps if self._times is None else self._times[index]

    def __iter__(self) -> Iterator[Frame]:
        """Every image that decodes; the others are named in `damage`."""
        self.damage.unreadable.clear()
        for index, name in self.files.items():
            try:
                pixels = read_image(self.folder / name)
            except DataError as error:
                self.damage.unreadable.append(str(error).removeprefix(f"{self.folder}{os.sep}"))
                continue
            yield Frame(pixels, index, self.seconds_at(index))

    def read(self, indices: Sequence[int]) -> list[UInt8Array]:
        """Decode the images of `indices`."""
        decoded = {index: read_image(self.folder / self.files[index]) for index in dict.fromkeys(indices)}
        return [decoded[index] for index in indices]

    def _true_times(self) -> dict[int, float] | None:
        """Seconds by index, as `frames.csv` tells them; None where it does not, or not for all frames."""
        try:
            known = read_frame_times(self.folder)
        except DataError as error:
            logger.warning("%s; times follow from the frame rate", error)
            return None
        if known is None:
            return None
        missing = [name for name in self.files.values() if name not in known]
        times = {index: known[name] for index, name in self.files.items() if name in known}
        if not missing and all(before < after for before, after in pairwise(times.values())):
            return times
        reason = f"{name_some(missing, 1)} is not in it" if missing else "its times do not increase"
        logger.warning("%s: frames.csv is not used, %s; times follow from the frame rate", self.name, reason)
        return None

    def _note_gaps(self) -> None:
        for before, after in pairwise(self._runs):
            count = after.start - before.stop
            self.damage.gaps.append(
                f"{count} frame{'s' if count > 1 else ''} missing between "
                f"{self.files[before[-1]]} and {self.files[after[0]]}"
            )


def _average_rate(times: dict[int, float], default: float) -> float:
    """Frames a second over all of them; `default` where there is but one."""
    first, last = min(times), max(times)
    return (last - first) / (times[last] - times[first]) if last > first else default
