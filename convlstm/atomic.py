"""Files that are there wholly or not at all, also after a kill or a full disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(path: Path, *, keep_previous: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a binary file that becomes `path` when the block ends without an error.

    Written to a temporary file in the same folder, fsynced, renamed. With `keep_previous`, the file that stood at
    `path` is kept under that name.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:48]}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep_previous is not None and path.exists():
            path.replace(keep_previous)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in one step."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # not every file system opens folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
