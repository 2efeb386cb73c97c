"""Files moved out of the way, with a list that takes them back; nothing is ever deleted or written over."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from convlstm.atomic import atomic_write_text
from convlstm.errors import DataError

_LIST = "moved.jsonl"
_FOLDER = "quarantine"


def move_to_quarantine(output: Path, files: Sequence[Path]) -> list[str]:
    """Move files to `output`/quarantine, under their whole path; returns a line for each that could not be moved.

    Each move is written to the undo list, and to the disk, before it is made: a kill loses none.
    """
    failed = []
    with (output / _LIST).open("a", encoding="ascii") as undo_list:
        undo_list.write("\n")  # ends a line that a kill has torn
        for file in files:
            source = file.absolute()
            target = _free_name(output / _FOLDER / source.relative_to(source.anchor))
            undo_list.write(json.dumps([str(source), str(target.absolute())]) + "\n")
            undo_list.flush()
            os.fsync(undo_list.fileno())
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                _move(source, target)
            except OSError as error:
                failed.append(f"{file}: cannot be moved: {error.strerror}")
    return failed


def undo_moves(output: Path) -> tuple[int, list[str]]:
    """Move back all that the undo list names; how many came back, and a line for each that could not.

    The list keeps those that could not. Raises DataError where there is no list.
    """
    path = output / _LIST
    if not path.is_file():
        raise DataError(f"{path}: no such undo list: name the output of the run that moved files")
    kept, problems, num_restored = [], [], 0
    for source, target in reversed(list(_moves(path))):
        try:
            if not os.path.lexists(target):  # a link that leads nowhere is there too
                if not os.path.lexists(source):
                    problems.append(f"{source}: neither there nor at {target}")
                continue
            if os.path.lexists(source):
                raise DataError(f"{source}: something stands there again: it stays at {target}")
            source.parent.mkdir(parents=True, exist_ok=True)
            _move(target, source)
            num_restored += 1
        except (OSError, DataError) as error:
            kept.append(json.dumps([str(source), str(target)]) + "\n")
            problems.append(str(error))
    atomic_write_text(path, "".join(reversed(kept)))
    _remove_empty_folders(output / _FOLDER)
    return num_restored, problems


def moves_to_undo(output: Path) -> int:
    """How many files the undo list would bring back."""
    path = output / _LIST
    return sum(target.exists() for _, target in _moves(path)) if path.is_file() else 0


def _moves(path: Path) -> Iterator[tuple[Path, Path]]:
    for line in path.read_text(encoding="ascii").splitlines():
        try:
            source, target = json.loads(line)
        except ValueError:  # torn by a kill, before its move was made
            continue
        yield Path(source), Path(target)


def _move(source: Path, target: Path) -> None:
    """Rename, or, on another disk, copy whole and only then take the original away."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        temporary = target.with_name(f".{target.name[:48]}.{os.getpid()}.tmp")
        shutil.copy2(source, temporary)
        with temporary.open("rb") as copy:
            os.fsync(copy.fileno())
        temporary.rename(target)
        source.unlink()


def _free_name(target: Path) -> Path:
    number, name = 2, target
    while os.path.lexists(name):
        name, number = target.with_name(f"{target.stem}.{number}{target.suffix}"), number + 1
    return name


def _remove_empty_folders(folder: Path) -> None:
    for path, _, _ in sorted(os.walk(folder), reverse=True):
        try:
            Path(path).rmdir()
        except OSError:  # holds something
            continue
