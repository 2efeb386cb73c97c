"""Files and folders that are there wholly or not at all, also after a kill or a full disk."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

# As atomic_write names them; the number is that of the process.
_TEMPORARY = re.compile(r"\..+\.([1-9][0-9]{0,8})\.tmp", re.DOTALL)


@contextmanager
def atomic_write(path: Path, *, keep_previous: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a binary file that becomes `path` when the block ends without an error.

    Written to a temporary file in the same folder, fsynced, renamed. With `keep_previous`, the file that stood at
    `path` is kept under that name: a kill at any moment leaves a whole file under one of the two.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:48]}.{os.getpid()}.tmp")
    file = temporary.open("wb")
    try:
        yield file
        file.flush()
        os.fsync(file.fileno())
        file.close()
        _put_in_place(temporary, path, keep_previous)
    except BaseException:
        with suppress(OSError):  # closing and deleting may fail too, and must not hide why the block failed
            file.close()
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in one step."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new empty folder that becomes `path` when the block ends without an error, in place of what stood there.

    A kill at any moment leaves the old folder, the new one, or, for the moment between two renames, none.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:48]}.{os.getpid()}.tmp")
    previous = path.with_name(f".{path.name[:44]}.old.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.replace(previous)
        temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(previous, ignore_errors=True)
    _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete what processes that were killed, and this one, left unfinished in `folder` (not below it).

    For a folder in which neither this process nor another host is writing: processes are looked up on this host.
    A file that cannot be deleted stays.
    """
    for path in folder.glob(".*.tmp"):
        name = _TEMPORARY.fullmatch(path.name)
        if name is not None and not _is_alive(int(name[1])):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
                continue
            with suppress(OSError):
                path.unlink()


def _is_alive(process: int) -> bool:
    """Whether another process of that number runs, as far as this system tells."""
    if process == os.getpid():
        return False
    if os.name == "nt":  # there, signal 0 is not a question but Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """Whether it has ended, and only waits for its parent to notice, which in a container may take for ever."""
    try:
        state = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:  # not Linux
        return False
    return state.rpartition(b")")[2].split()[:1] == [b"Z"]


def _put_in_place(temporary: Path, path: Path, keep_previous: Path | None) -> None:
    previous = keep_previous if path.exists() else None
    try:
        if previous is not None:
            path.replace(previous)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            if previous is not None and not path.exists():
                previous.replace(path)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the file system can; the file is in place either way."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
