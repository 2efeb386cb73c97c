"""What is true of each frame: from masks, from events with or without boxes, or from a sequence's class alone.

Shapes: T frames of a window, GH GW cells.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.clips import mask_share
from convlstm.errors import DataError
from convlstm.evaluation.events_file import TruthEvent
from convlstm.heatmap import Box
from convlstm.sources.base import SeekableSource
from convlstm.sources.folder import FolderSource
from convlstm.sources.images import read_mask
from convlstm.types import Float32Array
from convlstm.utils.data.batch import IGNORED

Grid = tuple[int, int]

_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class FrameTruth:
    """What is true of one frame.

    `shares` float32 (GH, GW): the share of each cell that is dynamic, NaN where nobody knows. `is_dynamic` says that
    something is, although nobody knows where.
    """

    shares: Float32Array
    is_dynamic: bool = False


class Truth(Protocol):
    """Where the scorer asks about frames. `knows_when`: it tells when something begins, not only that it happens."""

    knows_when: bool

    def __call__(self, frame: int) -> FrameTruth:
        """About the frame of that index. Raises DataError where its mask cannot be read."""


@dataclass(frozen=True)
class WindowTruth:
    """What is true of a window.

    `cells` int8 (GH, GW): 1 dynamic, 0 static, -1 unknown. `is_dynamic` is None where too little is known to tell.
    """

    cells: NDArray[np.int8]
    is_dynamic: bool | None

    @property
    def not_static(self) -> NDArray[np.bool_]:
        """Where a hot cell may be right."""
        return np.asarray(self.cells != 0)


def window_truth(frames: Sequence[FrameTruth], min_share: float, region: NDArray[np.bool_]) -> WindowTruth:
    """A cell is dynamic where over `min_share` of it is in any frame, static where nothing is in all, else unknown.

    `region` bool (GH, GW): only there anything is known. The window is dynamic where any cell is or the frames say so,
    static where all cells of the region are.
    """
    shares = np.stack([frame.shares for frame in frames])  # (T, GH, GW)
    cells = np.full(region.shape, IGNORED, dtype=np.int8)
    cells[(shares == 0).all(axis=0)] = 0
    cells[(shares > min_share).any(axis=0)] = 1
    cells[~region] = IGNORED
    if (cells == 1).any() or any(frame.is_dynamic for frame in frames):
        return WindowTruth(cells, True)
    return WindowTruth(cells, False if (cells[region] == 0).all() else None)


class ClassTruth:
    """A static sequence is static everywhere; in a dynamic one something is dynamic, somewhere, all the time."""

    def __init__(self, grid: Grid, *, is_dynamic: bool) -> None:
        self.knows_when = not is_dynamic
        self._frame = FrameTruth(np.full(grid, np.nan if is_dynamic else 0, dtype=np.float32), is_dynamic)

    def __call__(self, frame: int) -> FrameTruth:
        """The same for every frame."""
        return self._frame


class MaskTruth:
    """Mask images: non-zero pixels are dynamic. Frames for which `file_of` has none are unknown."""

    knows_when = True

    def __init__(self, grid: Grid, file_of: Callable[[int], Path | None]) -> None:
        self.grid = grid
        self.file_of = file_of

    def __call__(self, frame: int) -> FrameTruth:
        """Reads the mask of that frame."""
        file = self.file_of(frame)
        if file is None:
            return FrameTruth(np.full(self.grid, np.nan, dtype=np.float32))
        return FrameTruth(mask_share(read_mask(file), self.grid))


class EventTruth:
    """Nothing happens outside the events.

    During an event with a box, the cells that the box touches are dynamic and those next to them unknown: boxes are
    drawn by hand. During one without, something is dynamic, and nobody knows where.
    """

    knows_when = True

    def __init__(self, grid: Grid, events: Sequence[TruthEvent]) -> None:
        self.grid = grid
        self.events = list(events)

    def __call__(self, frame: int) -> FrameTruth:
        """What the events that go on in that frame say together."""
        going_on = [event for event in self.events if event.start_frame <= frame <= event.end_frame]
        boxes = [event.box for event in going_on if event.box is not None]
        if len(boxes) < len(going_on):
            return FrameTruth(np.full(self.grid, np.nan, dtype=np.float32), is_dynamic=True)
        touched = np.zeros(self.grid, dtype=np.uint8)
        for box in boxes:
            touched |= _touched_cells(box, self.grid)
        shares = touched.astype(np.float32)
        around = cv2.dilate(touched, np.ones((3, 3), np.uint8)) > touched
        shares[around] = np.nan
        return FrameTruth(shares)


def _touched_cells(box: Box, grid: Grid) -> NDArray[np.uint8]:
    """1 for each cell (GH, GW) that shares area with the normalised box."""
    x1, y1, x2, y2 = box
    rows, columns = (np.arange(count) / count for count in grid)
    in_rows = (rows + 1 / grid[0] > y1 + 1e-9) & (rows < y2 - 1e-9)
    in_columns = (columns + 1 / grid[1] > x1 + 1e-9) & (columns < x2 - 1e-9)
    return np.asarray(in_rows[:, None] & in_columns[None], dtype=np.uint8)


def mask_files(source: SeekableSource, folder: Path) -> Mapping[int, Path]:
    """Which mask belongs to which frame of the source, by the frame's index.

    Masks are PNG files. Those named like the images of a frame folder belong to these. Else they go by the last number
    in their name: with as many masks as frames in order, with fewer the number is the frame's index, counted from 0.
    Raises DataError where masks cannot be told to belong to frames.
    """
    masks = sorted(entry for entry in folder.iterdir() if entry.suffix.lower() == ".png" and entry.name[0] != ".")
    if not masks:
        raise DataError(f"{folder}: no masks in it: put a PNG file there for each frame, black where nothing moves")
    if isinstance(source, FolderSource):
        by_stem = {mask.stem: mask for mask in masks}
        named = {index: by_stem.get(PurePath(name).stem) for index, name in source.files.items()}
        found = {index: mask for index, mask in named.items() if mask is not None}
        if found:
            return found
    numbered = _by_number(folder, masks)
    frames = [index for run in source.runs for index in run]
    if len(numbered) == len(frames):
        return dict(zip(frames, (numbered[number] for number in sorted(numbered)), strict=True))
    if len(numbered) > len(frames) or not numbered.keys() <= set(frames):
        raise DataError(
            f"{folder}: {len(numbered)} masks numbered {min(numbered)}-{max(numbered)} for {len(frames)} frames: "
            "give as many masks as frames, or number them like frames, counted from 0"
        )
    return numbered


def _by_number(folder: Path, masks: Sequence[Path]) -> dict[int, Path]:
    numbered: dict[int, Path] = {}
    for mask in masks:
        numbers = _NUMBER.findall(mask.stem)
        if not numbers:
            raise DataError(f"{folder}: no frame number in {mask.name}: name masks like frame_000001.png")
        number = int(numbers[-1])
        if number in numbered:
            raise DataError(f"{folder}: {numbered[number].name} and {mask.name} have the same number")
        numbered[number] = mask
    return numbered
