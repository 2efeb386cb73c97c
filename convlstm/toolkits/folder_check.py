"""What is wrong with a folder of frames as a whole, and which files hold the same content; no pixels are read here."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePath

from convlstm.clips import consecutive_runs
from convlstm.config.toolkits import ImageProblem
from convlstm.errors import DataError
from convlstm.sources.numbering import NumberedFrame, order_frames
from convlstm.toolkits.frame_folders import FrameFolder
from convlstm.toolkits.image_check import ImageCheck

UNUSABLE = frozenset({"empty", "unreadable", "truncated", "damaged", "too_large"})
"""Problems for which a file gives no frame, or one that is not as it was."""


@dataclass(frozen=True)
class Problem:
    """One row of the report; `file` is empty where it is the folder's."""

    folder: Path
    file: str
    kind: ImageProblem
    detail: str

    @property
    def path(self) -> Path:
        """The file, or the folder where the problem is that of the folder."""
        return self.folder / self.file


def file_problems(folder: FrameFolder, checks: Mapping[str, ImageCheck]) -> Iterator[Problem]:
    """Of files alone; `checks` by file name."""
    for name in folder.images:
        check = checks[name]
        if check.kind is not None:
            yield Problem(folder.path, name, check.kind, check.detail)


def size_problems(folder: FrameFolder, checks: Mapping[str, ImageCheck]) -> Iterator[Problem]:
    """Files whose size differs from the size that most of their folder has; of several as common, the first one's."""
    sizes = {name: (checks[name].width, checks[name].height) for name in folder.images if checks[name].width}
    if not sizes:
        return
    (usual, count), *_ = Counter(sizes.values()).most_common(1)
    for name, size in sizes.items():
        if size != usual:
            detail = f"{_times(size)}, but {count} of {len(sizes)} in its folder are {_times(usual)}"
            yield Problem(folder.path, name, "wrong_size", detail)


def mask_problems(
    masks: FrameFolder, checks: Mapping[str, ImageCheck], frames: Mapping[str, ImageCheck]
) -> Iterator[Problem]:
    """Masks whose size is not their frame's; `frames` by file name, those of the folder above."""
    by_stem = {PurePath(name).stem: check for name, check in frames.items()}
    for name in masks.images:
        mask, frame = checks[name], by_stem.get(PurePath(name).stem)
        if frame is None or not (mask.width and frame.width):
            continue
        size, expected = (mask.width, mask.height), (frame.width, frame.height)
        if size != expected:
            detail = f"{_times(size)}, but its frame is {_times(expected)}"
            yield Problem(masks.path, name, "wrong_size", detail)


def sequence_problems(folder: FrameFolder, checks: Mapping[str, ImageCheck], *, min_frames: int) -> Iterator[Problem]:
    """Of the numbering, and whether enough frames are usable; the order is the one in which training reads them."""
    try:
        frames = order_frames(str(folder.path), folder.images)
    except DataError as error:
        yield Problem(folder.path, "", "order", str(error).removeprefix(f"{folder.path}: "))
        return
    yield from _order_problems(folder.path, [frame.name for frame in frames])
    yield from _gaps(folder.path, frames)
    usable = [frame.index for frame in frames if checks[frame.name].kind not in UNUSABLE]
    longest = max((len(run) for run in consecutive_runs(usable)), default=0)
    if longest < min_frames:
        detail = f"{longest} usable frames in a row, expected at least {min_frames}"
        yield Problem(folder.path, "", "too_short", detail)


def _order_problems(folder: Path, names: Sequence[str]) -> Iterator[Problem]:
    """Names without leading zeros: read by number here, by name elsewhere."""
    position = {name: place for place, name in enumerate(sorted(names))}
    first = next((name for place, name in enumerate(names) if position[name] != place), None)
    if first is not None:
        detail = f"by number it is frame {names.index(first) + 1}, by name {position[first] + 1}: number with zeros"
        yield Problem(folder, first, "out_of_order", detail)


def _gaps(folder: Path, frames: Sequence[NumberedFrame]) -> Iterator[Problem]:
    for before, after in pairwise(frames):
        missing = after.index - before.index - 1
        if missing:
            detail = f"{missing} missing between {before.name} and {after.name}"
            yield Problem(folder, "", "gap", detail)


def duplicate_problems(folders: Sequence[FrameFolder], checks: Mapping[Path, ImageCheck]) -> Iterator[Problem]:
    """Frames that hold the same bytes as one before them, in any folder; those of equal checksum are compared."""
    alike: dict[tuple[int, int], list[tuple[Path, str]]] = defaultdict(list)
    for folder in folders:
        for name in folder.images if not folder.is_masks else ():
            check = checks[folder.path / name]
            if check.kind not in UNUSABLE:
                alike[check.size, check.fingerprint].append((folder.path, name))
    for places in alike.values():
        yield from _same_bytes(places) if len(places) > 1 else ()


def _same_bytes(places: Sequence[tuple[Path, str]]) -> Iterator[Problem]:
    first_of: dict[bytes, Path] = {}
    for folder, name in places:
        path = folder / name
        try:
            digest = hashlib.blake2b(path.read_bytes()).digest()
        except OSError:  # gone since it was checked
            continue
        first = first_of.setdefault(digest, path)
        if first != path:
            shown = first.name if first.parent == folder else first
            yield Problem(folder, name, "duplicate", f"the same content as {shown}")


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
