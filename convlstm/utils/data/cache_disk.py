"""Resized frames and mask shares on disk, made once and found again by every later run.

One folder per sequence, which is there wholly or not at all:

    .convlstm_cache/
      <24 hex digits>/      of the sequence's path and the frame size
        frames.npy          uint8 (N, H, W, 3) RGB, all gapless runs one after another
        shares.npy          float16 (N, MH, MW), where the sequence has masks
        index.json          which indices, which of them are unreadable and why, a key of the files they came from
      .lock                 held by the process that fills the cache

Shapes: N frames of a sequence, H W pixels of the resized frame, MH = H / 8, MW = W / 8 blocks of the mask.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from convlstm.atomic import atomic_write_text
from convlstm.config import TrainConfig
from convlstm.errors import ConfigError, DataError
from convlstm.progress import Progress
from convlstm.sources.folder import FolderSource
from convlstm.types import Float16Array, UInt8Array
from convlstm.utils.data.array_file import ArrayFile, ArrayWriter, check_array, read_rows
from convlstm.utils.data.cache_fill import (
    FRAME_TYPE,
    SHARE_TYPE,
    count_frames,
    fill,
    frames_shape,
    in_threads,
    needed_bytes,
    row_of,
    shares_shape,
)
from convlstm.utils.data.sequences import LabelledSequence

logger = logging.getLogger(__name__)

FORMAT = 2
"""Raise it whenever the same files would give other arrays."""

DEFAULT_FOLDER = ".convlstm_cache"
FRAMES, SHARES, INDEX, LOCK, TAG = "frames.npy", "shares.npy", "index.json", ".lock", "CACHEDIR.TAG"
TEMPORARY = ".tmp-"
RESERVE_BYTES = 1 << 28
"""Stays free on the disk."""

TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of convlstm: it may be deleted, and is made anew.\n"
"""Backup programs skip a folder with this file: https://bford.info/cachedir/"""


class _Entry(NamedTuple):
    """A sequence in the cache: its folder there, its runs, why some indices are unreadable."""

    name: str
    runs: tuple[range, ...]
    unreadable: dict[int, str]
    frames: ArrayFile
    shares: ArrayFile | None


@dataclass(frozen=True)
class _Plan:
    """What the entry of a sequence has to be."""

    sequence: LabelledSequence
    name: str
    key: str

    @property
    def runs(self) -> list[list[int]]:
        return [[run.start, run.stop] for run in self.sequence.source.runs]


class DiskCache:
    """Keeps everything in files; what loader processes are sent is small, and no file stays open."""

    def __init__(self, sequences: Sequence[LabelledSequence], config: TrainConfig) -> None:
        self.folder = (config.cache_dir or config.data_root / DEFAULT_FOLDER).absolute()
        self.size, self.downsample = config.target_size, config.downsample
        found = self._look(sequences, config)
        if not all(entry for _, entry in found):
            try:
                with _filling(self.folder):
                    found = self._look(sequences, config)  # others may have made entries while this process waited
                    self._build([plan for plan, entry in found if entry is None])
            except OSError as error:
                raise ConfigError(
                    f"--cache_dir {self.folder}: cannot be written: {error.strerror or error}: "
                    "give a folder that can be, on a disk with room, or set cache to none"
                ) from error
        elif _left_overs(self.folder):
            with suppress(OSError), FileLock(self.folder / LOCK, timeout=0):  # they may belong to a process at work
                _remove_left_overs(self.folder)
        self._entries = [entry or self._load_new(plan) for plan, entry in found]

    def read(self, sequence: int, span: range, frames: UInt8Array, shares: Float16Array) -> dict[int, str]:
        """As `FrameStore.read`."""
        entry = self._entries[sequence]
        row = row_of(entry.runs, span.start)
        try:
            read_rows(self.folder / entry.name / FRAMES, entry.frames, row, frames)
            if entry.shares is None:
                shares[:] = np.nan
            else:
                read_rows(self.folder / entry.name / SHARES, entry.shares, row, shares)
        except DataError as error:
            frames[:], shares[:] = 0, np.nan
            return dict.fromkeys(span, str(error))
        return {index: entry.unreadable[index] for index in span if index in entry.unreadable}

    def _look(self, sequences: Sequence[LabelledSequence], config: TrainConfig) -> list[tuple[_Plan, _Entry | None]]:
        """What every entry has to be and, where it is that, the entry."""

        def look(sequence: LabelledSequence, advance: Callable[[], None]) -> tuple[_Plan, _Entry | None]:
            plan = _plan(sequence, config)
            advance()
            return plan, _load(self.folder, plan, self.size, self.downsample)

        with Progress("looking into the cache", len(sequences), "sequences") as progress:
            return in_threads(look, sequences, progress)

    def _load_new(self, plan: _Plan) -> _Entry:
        entry = _load(self.folder, plan, self.size, self.downsample)
        if entry is None:
            raise DataError(f"{self.folder / plan.name}: written, but not found again: set cache_dir to another disk")
        return entry

    def _build(self, plans: Sequence[_Plan]) -> None:
        distinct = list({plan.name: plan for plan in plans}.values())
        sequences = [plan.sequence for plan in distinct]
        _check_space(self.folder, sum(needed_bytes(sequence, self.size, self.downsample) for sequence in sequences))
        with Progress("caching", sum(map(count_frames, sequences)), "frames") as progress:
            in_threads(partial(_build_entry, self.folder, self.size, self.downsample), distinct, progress)


def _plan(sequence: LabelledSequence, config: TrainConfig) -> _Plan:
    path = (config.data_root / sequence.row.folder_name).absolute()
    shape = config.target_size if config.downsample == 1 else (*config.target_size, config.downsample)
    name = _digest([str(path), shape])[:24]
    key = _digest([FORMAT, shape, *_files(sequence, path)])
    return _Plan(sequence, name, key)


def _files(sequence: LabelledSequence, path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of every file that the entry is made of."""
    if not isinstance(sequence.source, FolderSource):
        yield _status(path.name, path)
        return
    frames = _listing(path)
    masks = _listing(path / "masks") if sequence.masks is not None else {}
    for index, name in sequence.source.files.items():
        yield _status(name, frames.get(name))
        mask = sequence.mask_file(index)
        if mask is not None:
            yield _status(f"masks/{mask.name}", masks.get(mask.name))


def _listing(folder: Path) -> "dict[str, os.DirEntry[str]]":
    """Entries by name: listing a folder first makes asking each file cheap, above all over a network."""
    with suppress(OSError), os.scandir(folder) as entries:
        return {entry.name: entry for entry in entries}
    return {}


def _status(name: str, file: "Path | os.DirEntry[str] | None") -> tuple[str, int, int]:
    with suppress(OSError):
        if file is not None:
            status = file.stat()
            return name, status.st_size, status.st_mtime_ns
    return name, -1, -1  # decoding will say what is wrong


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _load(folder: Path, plan: _Plan, size: tuple[int, int], downsample: int) -> _Entry | None:
    """The entry; None where it is missing, outdated, incomplete or damaged."""
    num_frames = count_frames(plan.sequence)
    shares = None
    try:
        index = json.loads((folder / plan.name / INDEX).read_bytes())
        if (index["key"], index["runs"]) != (plan.key, plan.runs):
            return None
        unreadable = {int(frame): str(reason) for frame, reason in index["unreadable"].items()}
        shape = frames_shape(num_frames, size, downsample)
        frames = check_array(folder / plan.name / FRAMES, shape, FRAME_TYPE)
        if plan.sequence.masks is not None:
            shares = check_array(folder / plan.name / SHARES, shares_shape(num_frames, size), SHARE_TYPE)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return _Entry(plan.name, tuple(plan.sequence.source.runs), unreadable, frames, shares)


@contextmanager
def _filling(folder: Path) -> Iterator[None]:
    """Be the only process that fills the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        logger.info("another process is filling the cache %s: waiting", folder)
        held = lock.acquire(poll_interval=0.2)
    with held:
        _remove_left_overs(folder)
        if not (folder / TAG).exists():
            atomic_write_text(folder / TAG, TAG_TEXT)
        yield


def _left_overs(folder: Path) -> list[Path]:
    """Of processes that were killed, where the lock is free or held by this one."""
    return list(folder.glob(f"{TEMPORARY}*"))


def _remove_left_overs(folder: Path) -> None:
    for left_over in _left_overs(folder):
        shutil.rmtree(left_over, ignore_errors=True)


def _check_space(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes + RESERVE_BYTES > free:
        raise ConfigError(
            f"cache: the frames take {num_bytes / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free in {folder}: "
            "set cache_dir to a folder on another disk, target_size to less, or cache to none"
        )


def _build_entry(
    folder: Path, size: tuple[int, int], downsample: int, plan: _Plan, advance: Callable[[], None]
) -> None:
    temporary = folder / f"{TEMPORARY}{plan.name}"
    try:
        temporary.mkdir()
        _write_entry(temporary, size, downsample, plan, advance)
        _put_in_place(temporary, folder / plan.name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_entry(
    temporary: Path, size: tuple[int, int], downsample: int, plan: _Plan, advance: Callable[[], None]
) -> None:
    num_frames = count_frames(plan.sequence)
    shape = frames_shape(num_frames, size, downsample)
    with ExitStack() as stack:
        frames = stack.enter_context(ArrayWriter(temporary / FRAMES, shape, FRAME_TYPE))
        shares = None
        if plan.sequence.masks is not None:
            shares = stack.enter_context(ArrayWriter(temporary / SHARES, shares_shape(num_frames, size), SHARE_TYPE))
        unreadable = fill(plan.sequence, size, frames, shares, advance, downsample)
    index = {
        "format": FORMAT,
        "name": plan.sequence.source.name,
        "key": plan.key,
        "runs": plan.runs,
        "unreadable": unreadable,
    }
    atomic_write_text(temporary / INDEX, json.dumps(index, indent=1))


def _put_in_place(temporary: Path, final: Path) -> None:
    outdated = temporary.with_name(f"{TEMPORARY}old-{final.name}")
    if final.exists():
        final.rename(outdated)
    temporary.rename(final)
    shutil.rmtree(outdated, ignore_errors=True)
