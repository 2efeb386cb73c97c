import errno
import json
import os
from pathlib import Path

import pytest

from convlstm.errors import DataError
from convlstm.toolkits.quarantine import move_to_quarantine, moves_to_undo, undo_moves

pytestmark = pytest.mark.pure


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "data" / name for name in ("a/1.png", "a/2.png", "b/1.png")]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]))
        os.utime(path, ns=(5, 5))
    return paths


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_files_move_with_their_path_and_come_back_as_they_were(tmp_path: Path, files: list[Path]) -> None:
    before, output = contents(tmp_path / "data"), tmp_path / "out"
    output.mkdir()
    assert move_to_quarantine(output, files) == []
    assert contents(tmp_path / "data") == {}
    kept = output / "quarantine" / files[0].relative_to(files[0].anchor)
    assert kept.read_bytes() == b"\0" and moves_to_undo(output) == 3
    assert undo_moves(output) == (3, [])
    assert contents(tmp_path / "data") == before and files[0].stat().st_mtime_ns == 5
    assert not (output / "quarantine").exists() and moves_to_undo(output) == 0
    assert undo_moves(output) == (0, [])


def test_nothing_is_written_over_in_the_quarantine_or_on_the_way_back(tmp_path: Path, files: list[Path]) -> None:
    output = tmp_path / "out"
    output.mkdir()
    move_to_quarantine(output, files[:1])
    files[0].write_bytes(b"new")
    move_to_quarantine(output, files[:1])
    files[0].write_bytes(b"newest")
    num_restored, problems = undo_moves(output)
    assert num_restored == 0 and len(problems) == 2 and "something stands there again" in problems[0]
    assert files[0].read_bytes() == b"newest"
    files[0].unlink()
    num_restored, problems = undo_moves(output)  # the latest one comes back, the one before stays
    assert num_restored == 1 and len(problems) == 1 and files[0].read_bytes() == b"new"
    files[0].unlink()
    assert undo_moves(output) == (1, []) and files[0].read_bytes() == b"\0"


def test_a_file_that_cannot_be_moved_is_named_and_the_others_move(tmp_path: Path, files: list[Path]) -> None:
    output = tmp_path / "out"
    output.mkdir()
    files[1].unlink()
    [line] = move_to_quarantine(output, files)
    assert line == f"{files[1]}: cannot be moved: No such file or directory"
    num_restored, problems = undo_moves(output)
    assert num_restored == 2 and len(problems) == 1 and "neither there nor at" in problems[0]


def test_a_kill_between_the_list_and_the_move_loses_nothing(tmp_path: Path, files: list[Path]) -> None:
    output = tmp_path / "out"
    output.mkdir()
    move_to_quarantine(output, files[:1])
    with (output / "moved.jsonl").open("a") as undo_list:  # written down, not moved yet; then torn
        undo_list.write(json.dumps([str(files[1]), str(output / "quarantine/x")]) + '\n["/da')
    move_to_quarantine(output, files[2:])
    assert undo_moves(output) == (2, [])
    assert all(file.exists() for file in files)


def test_another_disk_gets_a_whole_copy_first(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def other_disk(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", other_disk)
    output = tmp_path / "out"
    output.mkdir()
    before = contents(tmp_path / "data")
    assert move_to_quarantine(output, files) == [] and contents(tmp_path / "data") == {}
    assert undo_moves(output) == (3, []) and contents(tmp_path / "data") == before
    assert files[0].stat().st_mtime_ns == 5


def test_without_a_list_there_is_nothing_to_undo(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such undo list"):
        undo_moves(tmp_path)
