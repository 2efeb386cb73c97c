import os
from pathlib import Path

import pytest

from convlstm.atomic import atomic_write, atomic_write_text


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
