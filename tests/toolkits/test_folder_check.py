from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.toolkits.folder_check import (
    Problem,
    duplicate_problems,
    file_problems,
    mask_problems,
    sequence_problems,
    size_problems,
)
from convlstm.toolkits.frame_folders import FrameFolder
from convlstm.toolkits.image_check import ImageCheck

pytestmark = pytest.mark.pure

HERE = Path("data/a")


def check(name: str, shape: tuple[int, int] = (64, 48), **values: Any) -> ImageCheck:
    """A whole file of `shape` (width, height), unless `values` say otherwise."""
    return replace(ImageCheck(name, 9, 0, *shape), **values)


def folder_of(names: Sequence[str], path: Path = HERE) -> tuple[FrameFolder, dict[str, ImageCheck]]:
    return FrameFolder(path, tuple(sorted(names))), {name: check(name) for name in names}


def found(names: Sequence[str], *, min_frames: int = 0, damaged: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    folder, checks = folder_of(names)
    checks |= {name: check(name, kind="truncated") for name in damaged}
    problems = sequence_problems(folder, checks, min_frames=min_frames)
    return [(problem.file, problem.kind, problem.detail) for problem in problems]


def test_a_whole_sequence_has_no_problem() -> None:
    assert found([f"frame_{number:06d}.png" for number in range(12)], min_frames=12) == []


def test_every_gap_is_named() -> None:
    assert found([f"f_{number:03d}.png" for number in (1, 2, 3, 6, 7, 9)]) == [
        ("", "gap", "2 missing between f_003.png and f_006.png"),
        ("", "gap", "1 missing between f_007.png and f_009.png"),
    ]


@given(st.sets(st.integers(1, 58), max_size=4))
def test_gaps_add_up_to_the_frames_that_are_missing(missing: set[int]) -> None:
    names = [f"{number:03d}.png" for number in range(60) if number not in missing]
    gaps = [detail for _, kind, detail in found(names) if kind == "gap"]
    assert sum(int(gap.split()[0]) for gap in gaps) == len(missing)


def test_an_order_that_cannot_be_told_is_the_only_thing_said() -> None:
    [(file, kind, detail)] = found(["frame_1.png", "img_1.png"], min_frames=99)
    assert (file, kind) == ("", "order") and detail.startswith("two numberings in one folder")


def test_names_that_sort_in_another_order_than_their_numbers() -> None:
    [(file, kind, detail)] = found([f"f{number}.png" for number in range(1, 12)])
    assert (file, kind) == ("f2.png", "out_of_order")
    assert detail == "by number it is frame 2, by name 4: number with zeros"
    assert found([f"f{number}.png" for number in range(1, 10)]) == []


def test_too_short_counts_usable_frames_in_a_row() -> None:
    names = [f"{number:02d}.png" for number in range(9)]
    assert found(names, min_frames=9) == []
    expected = ("", "too_short", "5 usable frames in a row, expected at least 9")
    assert found(names, min_frames=9, damaged=["03.png"]) == [expected]
    assert found(names, min_frames=5, damaged=["03.png"]) == []
    assert found(["a.png"], damaged=["a.png"], min_frames=1)[0][2].startswith("0 usable")


def test_sizes_are_held_against_most_of_the_folder() -> None:
    folder, checks = folder_of(["1.png", "2.png", "3.png", "4.png"])
    assert list(size_problems(folder, checks)) == []
    checks["3.png"] = check("3.png", (48, 64))
    checks["4.png"] = check("4.png", (0, 0), kind="damaged")
    detail = "48x64, but 2 of 3 in its folder are 64x48"
    assert list(size_problems(folder, checks)) == [Problem(HERE, "3.png", "wrong_size", detail)]
    assert list(size_problems(FrameFolder(HERE, ("4.png",)), checks)) == []


def test_masks_are_held_against_their_frames() -> None:
    masks, checks = folder_of(["1.png", "2.png", "9.png"], HERE / "masks")
    frames = {"1.jpg": check("1.jpg"), "2.jpg": check("2.jpg", (32, 32)), "3.jpg": check("3.jpg")}
    assert list(mask_problems(masks, checks, frames)) == [
        Problem(HERE / "masks", "2.png", "wrong_size", "64x48, but its frame is 32x32")
    ]


def test_problems_of_files_go_with_their_names() -> None:
    folder, checks = folder_of(["1.png", "2.png"])
    checks["2.png"] = check("2.png", kind="empty", detail="0 bytes")
    [problem] = file_problems(folder, checks)
    assert problem == Problem(HERE, "2.png", "empty", "0 bytes") and problem.path == HERE / "2.png"


def write(root: Path, contents: dict[str, bytes], **values: Any) -> tuple[list[FrameFolder], dict[Path, ImageCheck]]:
    folders: dict[Path, list[str]] = {}
    checks = {}
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        folders.setdefault(path.parent, []).append(path.name)
        checks[path] = check(name, size=len(content), fingerprint=1, **values)  # a checksum that meets by chance
    return [FrameFolder(path, tuple(names)) for path, names in folders.items()], checks


def test_duplicates_are_compared_byte_by_byte_in_all_folders(tmp_path: Path) -> None:
    contents = {"a/1.png": b"one", "a/2.png": b"two", "a/3.png": b"one", "b/1.png": b"two", "b/masks/1.png": b"one"}
    folders, checks = write(tmp_path, contents)
    problems = [(problem.path, problem.detail) for problem in duplicate_problems(folders, checks)]
    assert sorted(problems) == [
        (tmp_path / "a/3.png", "the same content as 1.png"),
        (tmp_path / "b/1.png", f"the same content as {tmp_path / 'a/2.png'}"),
    ]


def test_damaged_and_vanished_files_are_no_duplicates(tmp_path: Path) -> None:
    folders, checks = write(tmp_path, {"a/1.png": b"", "a/2.png": b""}, kind="empty")
    assert list(duplicate_problems(folders, checks)) == []
    folders, checks = write(tmp_path, {"b/1.png": b"x", "b/2.png": b"x"})
    (tmp_path / "b/2.png").unlink()
    assert list(duplicate_problems(folders, checks)) == []
