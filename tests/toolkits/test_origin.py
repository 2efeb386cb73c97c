"""What a second run leaves alone, what it does again, and what it refuses to touch."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from convlstm.errors import DataError
from convlstm.toolkits.origin import ORIGIN, Origin, finished, read_origin, state_of, write_origin

ORIGINAL = Origin(
    tool="video_frame_extractor",
    source="clips/kitchen.mp4",
    source_state="1 files, 20 bytes, 3",
    settings={"size": (240, 320), "every": 2, "output": Path("out")},
    group="clips/kitchen",
    num_frames=12,
    fps=12.5,
    problem="cut off: 12 of 90 frames",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "kitchen"
    folder.mkdir()
    write_origin(folder, ORIGINAL)
    return folder


def test_an_origin_comes_back(folder: Path) -> None:
    found = read_origin(folder)
    assert found is not None and found.same_work(ORIGINAL)
    assert replace(found, settings=ORIGINAL.settings) == ORIGINAL


def test_a_folder_without_an_origin_has_none(tmp_path: Path) -> None:
    assert read_origin(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"tool": "x"}', '{"tool": "x", "colour": "red"}', "\0"])
def test_a_damaged_origin_is_named(folder: Path, text: str) -> None:
    (folder / ORIGIN).write_text(text)
    with pytest.raises(DataError, match=r"kitchen/origin\.json is damaged: delete it, or make the folder again"):
        read_origin(folder)


def test_what_is_finished_is_left_alone(folder: Path) -> None:
    found = finished(folder, replace(ORIGINAL, num_frames=0, problem=None), overwrite=False)
    assert found is not None and found.num_frames == 12 and found.problem == ORIGINAL.problem
    assert finished(folder, ORIGINAL, overwrite=True) is None
    assert finished(folder.with_name("other"), ORIGINAL, overwrite=False) is None


@pytest.mark.parametrize(
    "other", [{"tool": "another"}, {"source_state": "1 files, 20 bytes, 4"}, {"settings": {"every": 3}}], ids=str
)
def test_other_work_is_not_replaced_unless_told(folder: Path, other: dict[str, object]) -> None:
    planned = replace(ORIGINAL, **other)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="was made from other input or with other settings: --overwrite"):
        finished(folder, planned, overwrite=False)
    assert finished(folder, planned, overwrite=True) is None


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_no_tool_made_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").touch()
    for name in ("mine", "file"):
        with pytest.raises(DataError, match="is in the way and was not made by this tool: name another output"):
            finished(tmp_path / name, ORIGINAL, overwrite=overwrite)


def test_the_state_of_a_file_changes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"12345")
    first = state_of(path)
    assert state_of(path) == first
    os.utime(path, ns=(0, 5))
    later = state_of(path)
    path.write_bytes(b"123456")
    os.utime(path, ns=(0, 5))
    assert len({first, later, state_of(path)}) == 3


def test_the_state_of_a_folder_changes_with_its_frames_and_masks_only(tmp_path: Path) -> None:
    def put(name: str, size: int) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
        os.utime(tmp_path / name, ns=(0, 5))

    put("frame_1.png", 4)
    states = [state_of(tmp_path)]
    put("below/frame_1.png", 4)
    put(ORIGIN, 9)
    assert state_of(tmp_path) == states[0]
    for name, size in (("frame_2.png", 4), ("masks/frame_1.png", 2), ("frame_2.png", 5)):
        put(name, size)
        states.append(state_of(tmp_path))
    assert len(set(states)) == 4
