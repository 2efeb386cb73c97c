"""Which files are meant, and that each gets a name of its own."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.errors import ConfigError, DataError
from convlstm.toolkits.inputs import InputFile, check_not_inside, find_inputs

SUFFIXES = {".mp4", ".avi"}


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def find(*sources: Path | str) -> list[InputFile]:
    return find_inputs([str(source) for source in sources], SUFFIXES, "videos")


def names(*sources: Path | str) -> list[str]:
    return [file.name for file in find(*sources)]


def test_a_folder_gives_all_below_it_named_by_their_place(tmp_path: Path) -> None:
    touch(
        tmp_path, "fire.mp4", "yard/fire.MP4", "yard/deep/x.y.avi", "notes.txt", ".hidden.mp4", ".git/a.mp4", "z.mp4/n"
    )
    found = find(tmp_path)
    assert [(file.name, file.group) for file in found] == [
        ("fire", "fire"),
        ("yard__deep__x.y", "yard/deep/x.y"),
        ("yard__fire", "yard/fire"),
    ]
    assert found[2].path == tmp_path / "yard" / "fire.MP4"


def test_files_and_globs_are_named_by_themselves(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.avi", "c.txt", "sub/d.mp4", ".e.mp4", "odd.dat")
    assert names(tmp_path / "*") == ["a", "b"]
    assert names(tmp_path / "**" / "*.mp4") == ["a", "d"]
    assert names(tmp_path / "odd.dat") == ["odd"]  # who names a file means it
    assert names(tmp_path / "b.avi", tmp_path / "a.mp4", tmp_path / "*", tmp_path / "a.mp4") == ["a", "b"]


def test_the_same_name_in_two_folders_is_told_apart_by_them(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/1.mp4", "b/2.mp4", "c/a/3.mp4", "d/a/3.mp4")
    found = find(tmp_path / "*" / "*.mp4", tmp_path / "c" / "a" / "3.mp4", tmp_path / "d" / "a" / "3.mp4")
    assert [file.name for file in found] == ["2", "a__1", "b__1", "c__a__3", "d__a__3"]
    assert [file.group for file in found][1] == "a/1"


def test_the_same_name_in_one_folder_is_told_apart_by_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/1.avi")
    assert names(tmp_path / "a") == ["1_avi", "1_mp4"]
    touch(tmp_path, "b/1.mp4")
    assert names(tmp_path / "*" / "*") == ["a__1_avi", "a__1_mp4", "b__1_mp4"]


def test_capitals_do_not_tell_names_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a/Clip.mp4", "b/clip.mp4")
    assert names(tmp_path / "a" / "Clip.mp4", tmp_path / "b" / "clip.mp4") == ["a__Clip", "b__clip"]


def test_what_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a__b.mp4", "a/b.mp4", "A/b.mp4")
    if not (tmp_path / "a").samefile(tmp_path / "A"):
        with pytest.raises(DataError, match=r"have the same name: rename one, or process them one after the other"):
            find(tmp_path / "a" / "b.mp4", tmp_path / "A" / "b.mp4", tmp_path)


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    assert names(tmp_path) == ["a"]


def test_names_are_plain_whatever_files_are_called(tmp_path: Path) -> None:
    for name in ("new\nline.mp4", "a:b?.mp4", "é.mp4", ".mp4.mp4"):
        touch(tmp_path, name)
    (Path(os.fsencode(tmp_path).decode()) / os.fsdecode(b"bad\xff.mp4")).touch()
    assert names(tmp_path) == ["a_b_", "bad\N{REPLACEMENT CHARACTER}", "new_line", "é"]
    assert names(tmp_path / ".mp4.mp4") == ["mp4"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt")
    with pytest.raises(DataError, match=r"gone\.mp4: no such file or folder$"):
        find(tmp_path / "gone.mp4")
    for source in (tmp_path, tmp_path / "*"):
        with pytest.raises(DataError, match=r"no videos there; known are \.avi, \.mp4$"):
            find(source)


@given(folders=st.lists(st.sampled_from("abc"), min_size=1, max_size=12), data=st.data())
def test_every_file_is_found_once_under_its_own_name(
    folders: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("videos")
    wanted = {
        f"{folder}/{data.draw(st.sampled_from('12'))}.{data.draw(st.sampled_from(['mp4', 'avi']))}"
        for folder in folders
    }
    touch(root, *wanted)
    for sources in ([root], [root / "*" / "*"], [root / name for name in wanted]):
        found = find(*sources)
        assert {file.path.relative_to(root).as_posix() for file in found} == wanted
        assert len({file.name.casefold() for file in found}) == len({file.group for file in found}) == len(wanted)


def test_what_is_written_is_not_read_again(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.mp4", "out/b.mp4")
    source = str(tmp_path / "photos")
    check_not_inside(find(source), [source], tmp_path / "out")
    for output in (tmp_path / "photos", tmp_path / "photos" / "new", tmp_path / "out" / ".." / "photos"):
        with pytest.raises(ConfigError, match="lies inside the source: what is written would be read again"):
            check_not_inside(find(source), [source], output)
    pattern = str(tmp_path / "*" / "*")
    with pytest.raises(ConfigError, match=r"b\.mp4 lies inside the output .*out: name another output"):
        check_not_inside(find(pattern), [pattern], tmp_path / "out")
