"""The files that a user means, each with a name of its own among them.

--source videos              videos/fire.mp4 -> fire      videos/yard/fire.mp4 -> yard__fire
--source a/1.mp4 b/1.mp4     a__1, b__1: what has the same name is told apart by its folders
"""

import glob
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from convlstm.errors import ConfigError, DataError
from convlstm.sources.video import VIDEO_SUFFIXES
from convlstm.toolkits.frame_folders import walk_frame_folders


@dataclass(frozen=True)
class InputFile:
    """A file; `parts` are the names, without suffix, that tell it apart from the others."""

    path: Path
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """A plain folder name for what is made from it."""
        return "__".join(self.parts)

    @property
    def group(self) -> str:
        """What was made from it belongs together: its name with folders."""
        return "/".join(self.parts)


def find_inputs(sources: Sequence[str], suffixes: Collection[str], what: str) -> list[InputFile]:
    """All files with one of `suffixes` that `sources` name: files, folders with all below them, globs.

    `what` is what the files are called in messages: "videos". Sorted by name; none stands there twice. Raises DataError
    where a source does not exist or holds none.
    """
    found: dict[Path, InputFile] = {}
    for source in sources:
        files = list(_files_of(source, suffixes))
        if not files:
            raise DataError(f"{source}: no {what} there; known are {', '.join(sorted(suffixes))}")
        for path, parts in files:
            found.setdefault(path.resolve(), InputFile(path, tuple(_clean(part) for part in parts)))
    return sorted(_told_apart(list(found.values())), key=lambda file: file.name)


def find_footage(sources: Sequence[str]) -> list[InputFile]:
    """All folders of frames and videos that `sources` name: themselves, all below them, globs; masks are no frames.

    Sorted by name; none stands there twice. Raises DataError where a source does not exist or holds none.
    """
    found: dict[Path, InputFile] = {}
    for source in sources:
        roots = sorted(glob.glob(source, recursive=True)) if _is_pattern(source) else [source]
        footage = [one for root in roots for one in _footage_of(Path(root))]
        if not footage:
            raise DataError(f"{source}: no folder of frames and no video there")
        for path, parts in footage:
            found.setdefault(path.resolve(), InputFile(path, tuple(_clean(part) for part in parts)))
    return sorted(_told_apart(list(found.values())), key=lambda file: file.name)


def _is_pattern(source: str) -> bool:
    return glob.has_magic(source) and not Path(source).exists()


def _footage_of(path: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    if path.is_dir():
        for folder in walk_frame_folders(path):
            parts = folder.path.relative_to(path).parts
            if folder.images and not folder.is_masks:
                yield folder.path, parts or (path.resolve().name,)
            yield from ((folder.path / name, (*parts, Path(name).stem)) for name in folder.videos)
    elif not path.exists():
        raise DataError(f"{path}: no such file or folder")
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        yield path, (path.stem,)


def check_not_inside(files: Sequence[InputFile], sources: Sequence[str], output: Path) -> None:
    """Raise ConfigError where what is written to `output` would be read again as a source."""
    inner = output.resolve()
    folders = [Path(source).resolve() for source in sources if Path(source).is_dir()]
    if any(inner.is_relative_to(folder) for folder in folders):
        raise ConfigError(f"output {output} lies inside the source: what is written would be read again: name another")
    inside = [file.path for file in files if file.path.resolve().is_relative_to(inner)]
    if inside:
        raise ConfigError(f"{inside[0]} lies inside the output {output}: name another output")


def _files_of(source: str, suffixes: Collection[str]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    path = Path(source)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            relative = file.relative_to(path)
            if file.suffix.lower() in suffixes and not _is_hidden(relative) and file.is_file():
                yield file, relative.with_suffix("").parts
    elif path.exists():
        yield path, (path.stem,)
    elif glob.has_magic(source):
        for file in map(Path, sorted(glob.glob(source, recursive=True))):
            if file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file():
                yield file, (file.stem,)
    else:
        raise DataError(f"{source}: no such file or folder")


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _clean(part: str) -> str:
    """Without characters that manifests refuse or that mean something else elsewhere."""
    text = os.fsencode(part).decode("utf-8", "replace")
    return "".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in text).lstrip(".") or "_"


def _told_apart(files: list[InputFile]) -> list[InputFile]:
    for files_of_name in _same_names(files):
        longer = _longer_names([files[place] for place in files_of_name])
        for place, parts in zip(files_of_name, longer, strict=True):
            files[place] = InputFile(files[place].path, parts)
    for places in _same_names(files):
        first, second = (files[place].path for place in places[:2])
        raise DataError(f"{first} and {second} have the same name: rename one, or process them one after the other")
    return files


def _same_names(files: Sequence[InputFile]) -> list[list[int]]:
    """Places of files that share a name, on disks that know no capitals too."""
    places = defaultdict(list)
    for place, file in enumerate(files):
        places[file.name.casefold()].append(place)
    return [several for several in places.values() if len(several) > 1]


def _longer_names(files: Sequence[InputFile]) -> list[tuple[str, ...]]:
    """With the suffix for those of one folder, else with as many folders as it takes."""
    whole = [file.path.resolve() for file in files]
    deepest = max(len(path.parts) for path in whole)
    has_one_folder = len({path.parent for path in whole}) == 1
    for depth in range(deepest):
        for with_suffix in (False, True):
            if depth == 0 and not (with_suffix and has_one_folder):
                continue
            parts = [
                _name_parts(path, len(file.parts) + depth, with_suffix) for path, file in zip(whole, files, strict=True)
            ]
            if len({"__".join(p).casefold() for p in parts}) == len(parts):
                return parts
    return [file.parts for file in files]


def _name_parts(path: Path, length: int, with_suffix: bool) -> tuple[str, ...]:
    name = f"{path.stem}_{path.suffix[1:]}" if with_suffix else path.stem
    return tuple(_clean(part) for part in (*path.parts[1:-1], name)[-length:])
