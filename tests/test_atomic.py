import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.atomic import atomic_folder, atomic_write, atomic_write_text, remove_leftovers

LAST, PREVIOUS = "last.pth", "last.previous.pth"
FULL = errno.ENOSPC
needs_signals = pytest.mark.skipif(os.name == "nt", reason="processes are looked up by signal 0")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_file_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["last.pth"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_leaves_the_old_file_and_no_temporary(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "last.pth"
    path.write_bytes(b"old")
    with pytest.raises(type(failure)), atomic_write(path, keep_previous=tmp_path / "before.pth") as file:
        file.write(b"half of the n")
        raise failure
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["last.pth"]


def test_the_previous_file_is_kept_under_its_name(tmp_path: Path) -> None:
    path, before = tmp_path / "last.pth", tmp_path / "last.previous.pth"
    for content in (b"1", b"2", b"3"):
        with atomic_write(path, keep_previous=before) as file:
            file.write(content)
    assert (path.read_bytes(), before.read_bytes()) == (b"3", b"2")
    assert names(tmp_path) == ["last.previous.pth", "last.pth"]


def test_the_first_file_has_no_previous_one(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a", keep_previous=tmp_path / "b") as file:
        file.write(b"1")
    assert names(tmp_path) == ["a"]


def test_a_missing_folder_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "none" / "a"):
        pass
    assert names(tmp_path) == []


def test_permissions_honour_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["x" * 255, "\N{FIRE}" * 62, "名" * 80])
def test_names_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    atomic_write_text(tmp_path / name, "whole")
    assert names(tmp_path) == [name]


def test_text_is_utf8_without_newline_translation(tmp_path: Path) -> None:
    atomic_write_text(tmp_path / "a", "ä\r\n火\n")
    assert (tmp_path / "a").read_bytes() == "ä\r\n火\n".encode()


class Disk:
    """Stands in for the system: fails at the calls whose numbers are given, counted over all kinds of calls.

    A save calls: write, fsync (file), replace (where a file is kept), replace, fsync (folder); after a failure replace
    (back) and unlink.
    """

    def __init__(self, failing: Collection[int], only: str = "") -> None:
        self.failing, self.only = failing, only
        self.num_calls = 0
        self.failed: list[str] = []

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if self.only in ("", name):
                self.num_calls += 1
                if self.num_calls in self.failing:
                    self.failed.append(name)
                    raise OSError(FULL, "No space left on device")
            return call(*arguments, **options)

        return wrapped

    def opened(self, path: Path, mode: str) -> io.BufferedWriter:
        raw = type("Raw", (io.FileIO,), {"write": self.wrap("write", io.FileIO.write)})
        return io.BufferedWriter(raw(path, mode.replace("b", "")))

    def __enter__(self) -> "Disk":
        self.patch = pytest.MonkeyPatch()
        for name in ("fsync", "replace", "unlink"):
            self.patch.setattr(os, name, self.wrap(name, getattr(os, name)))
        disk = self
        self.patch.setattr(Path, "open", lambda path, mode="r": disk.opened(path, mode))
        return self

    def __exit__(self, *error: object) -> None:
        self.patch.undo()


def save(folder: Path, content: bytes) -> None:
    with atomic_write(folder / LAST, keep_previous=folder / PREVIOUS) as file:
        file.write(content)


def contents(folder: Path) -> dict[str, bytes]:
    """Of the two files that count."""
    return {name: (folder / name).read_bytes() for name in (LAST, PREVIOUS) if (folder / name).exists()}


@pytest.mark.parametrize(
    ("only", "number", "left"),
    [
        ("write", 1, {LAST: b"2", PREVIOUS: b"1"}),
        ("fsync", 1, {LAST: b"2", PREVIOUS: b"1"}),
        ("replace", 1, {LAST: b"2", PREVIOUS: b"1"}),
        ("replace", 2, {LAST: b"2"}),  # it was kept under the other name already, and is put back
    ],
)
def test_the_step_that_fails_leaves_the_old_file(
    tmp_path: Path, only: str, number: int, left: dict[str, bytes]
) -> None:
    save(tmp_path, b"1")
    save(tmp_path, b"2")
    with Disk({number}, only) as disk, pytest.raises(OSError, match="No space left") as caught:
        save(tmp_path, b"3")
    assert caught.value.errno == FULL
    assert disk.failed == [only]
    assert contents(tmp_path) == left
    assert names(tmp_path) == sorted(left)
    save(tmp_path, b"4")
    assert contents(tmp_path) == {LAST: b"4", PREVIOUS: b"2"}


def test_what_cannot_be_put_back_stays_under_the_other_name(tmp_path: Path) -> None:
    save(tmp_path, b"1")
    with Disk({2, 3}, "replace") as disk, pytest.raises(OSError, match="No space left"):
        save(tmp_path, b"2")
    assert disk.failed == ["replace", "replace"]
    assert contents(tmp_path) == {PREVIOUS: b"1"}
    save(tmp_path, b"3")
    assert contents(tmp_path) == {LAST: b"3", PREVIOUS: b"1"}


def test_a_folder_that_cannot_be_synced_does_not_undo_a_write(tmp_path: Path) -> None:
    save(tmp_path, b"1")
    with Disk({2}, "fsync") as disk:
        save(tmp_path, b"2")
    assert disk.failed == ["fsync"]
    assert contents(tmp_path) == {LAST: b"2", PREVIOUS: b"1"}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_neither_closing_nor_deleting_hides_why_it_failed(tmp_path: Path, failure: type[BaseException]) -> None:
    with Disk({1, 2, 3, 4}) as disk, pytest.raises(failure), atomic_write(tmp_path / LAST) as file:
        file.write(b"still in memory")
        raise failure
    assert {"write", "unlink"} <= set(disk.failed)
    assert contents(tmp_path) == {}


@given(st.lists(st.sets(st.integers(1, 9), max_size=4), min_size=1, max_size=6))
def test_a_whole_file_is_there_whatever_fails(tmp_path_factory: pytest.TempPathFactory, saves: list[set[int]]) -> None:
    folder = tmp_path_factory.mktemp("weights")
    before = b"0"
    save(folder, before)
    for number, failing in enumerate(saves, 1):
        new = b"%d" % number * 10_000
        with Disk(failing) as disk:
            try:
                save(folder, new)
                is_done = True
            except OSError as error:
                assert error.errno == FULL
                is_done = False
        left = contents(folder)
        assert is_done == (left.get(LAST) == new)
        assert is_done or left.get(LAST, left.get(PREVIOUS)) == before  # what resuming takes
        assert "unlink" in disk.failed or not list(folder.glob(".*.tmp"))
        before = new if is_done else before
    remove_leftovers(folder)
    assert set(names(folder)) <= {LAST, PREVIOUS}


KILLED = """
import os, sys
from pathlib import Path
from convlstm.atomic import atomic_write

num_calls, last = 0, int(sys.argv[2])

def counted(call):
    def wrapped(*arguments):
        global num_calls
        if (num_calls := num_calls + 1) == last:
            os._exit(9)
        return call(*arguments)
    return wrapped

folder = Path(sys.argv[1])
os.fsync, os.replace = counted(os.fsync), counted(os.replace)
with atomic_write(folder / "last.pth", keep_previous=folder / "last.previous.pth") as file:
    file.write(b"new")
"""


@needs_signals
@pytest.mark.parametrize(
    ("last_call", "left"),
    [
        (1, {LAST: b"2", PREVIOUS: b"1"}),
        (2, {LAST: b"2", PREVIOUS: b"1"}),
        (3, {PREVIOUS: b"2"}),
        (4, {LAST: b"new", PREVIOUS: b"2"}),
    ],
)
def test_a_kill_before_any_step_leaves_a_whole_file(tmp_path: Path, last_call: int, left: dict[str, bytes]) -> None:
    save(tmp_path, b"1")
    save(tmp_path, b"2")
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path, str(last_call)], check=False)
    assert killed.returncode == 9
    assert contents(tmp_path) == left
    assert len(names(tmp_path)) == len(left) + (last_call < 4)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted(left)
    save(tmp_path, b"3")
    assert contents(tmp_path)[LAST] == b"3"


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@needs_signals
def test_leftovers_of_the_dead_and_of_this_process_go(tmp_path: Path) -> None:
    for name in (LAST, "a name\nof two lines", "x" * 255):
        temporary = f".{name[:48]}.{dead_process()}.tmp"
        (tmp_path / temporary).write_bytes(b"half")
    (tmp_path / f".{LAST}.{os.getpid()}.tmp").write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


@needs_signals
def test_what_a_live_process_writes_stays(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        path = tmp_path / f".{LAST}.{process.pid}.tmp"
        path.write_bytes(b"half")
        remove_leftovers(tmp_path)
        assert names(tmp_path) == [path.name]
        process.communicate(b"end\n")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_a_process_of_another_user_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: int, number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)
    (tmp_path / f".{LAST}.999999.tmp").write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [f".{LAST}.999999.tmp"]


@needs_signals
def test_what_only_looks_like_a_leftover_stays(tmp_path: Path) -> None:
    process = dead_process()
    kept = [f"a.{process}.tmp", f".{process}.tmp", ".a.tmp", ".a.0.tmp", ".a.-1.tmp", f".a.{process}.tmp.pth"]
    kept += [
        f".a.{process}x.tmp",
        ".a.99999999999999999999.tmp",
        f".a.{process}.tmp.tmp",
        f".a.{process}.TMP",
        f".a.{process}\u0661.tmp",
    ]
    for name in kept:
        (tmp_path / name).write_bytes(b"the user's")
    below = tmp_path / "below"
    below.mkdir()
    (below / f".a.{process}.tmp").write_bytes(b"another folder's")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([*kept, "below"])
    assert len(names(below)) == 1


@needs_signals
def test_a_leftover_that_cannot_be_deleted_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / f".{LAST}.{dead_process()}.tmp"
    path.write_bytes(b"half")
    with Disk({1}, "unlink") as disk:
        remove_leftovers(tmp_path)
    assert disk.failed == ["unlink"]
    assert names(tmp_path) == [path.name]


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "none")
    assert names(tmp_path) == []


def test_a_folder_is_there_wholly_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "frames"
    with atomic_folder(path) as folder:
        (folder / "a.txt").write_text("a")
        assert not path.exists() and folder.parent == path.parent
    assert names(path) == ["a.txt"] and names(path.parent) == ["frames"]


def test_a_folder_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.mkdir()
    (path / "old.txt").touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as folder:
        (folder / "new.txt").touch()
        raise KeyboardInterrupt
    assert names(path) == ["old.txt"] and names(tmp_path) == ["frames"]
    with atomic_folder(path) as folder:
        (folder / "new.txt").touch()
    assert names(path) == ["new.txt"] and names(tmp_path) == ["frames"]


@needs_signals
def test_what_a_killed_process_left_of_a_folder_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    script = (
        "import os, signal, sys; from pathlib import Path; from convlstm.atomic import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'a.txt').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert len(names(tmp_path)) == 1 and not path.exists()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_what_an_ended_process_left_is_removed_before_its_parent_notices(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    (tmp_path / f".a.{child.pid}.tmp").touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []
    child.wait()
