import os
from pathlib import Path

import pytest

from convlstm.errors import DataError
from convlstm.toolkits.frame_folders import FrameFolder, kind_of, walk_frame_folders

pytestmark = pytest.mark.pure


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folders_with_frames_at_any_depth_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.png", "b/1.JPG", "b/notes.txt", "a/deep/down/1.png", "a/deep/clip.mp4", "b/masks/1.png")
    touch(tmp_path, ".hidden/1.png", "b/.1.png", "empty/readme.md")
    assert list(walk_frame_folders(tmp_path)) == [
        FrameFolder(tmp_path / "a/deep", (), ("clip.mp4",)),
        FrameFolder(tmp_path / "a/deep/down", ("1.png",)),
        FrameFolder(tmp_path / "b", ("1.JPG", "2.png")),
        FrameFolder(tmp_path / "b/masks", ("1.png",)),
    ]
    assert [folder.is_masks for folder in walk_frame_folders(tmp_path / "b")] == [False, True]


def test_links_to_folders_are_told_and_not_followed(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(walk_frame_folders(tmp_path)) == [
        FrameFolder(tmp_path, (), (), ("loop",)),
        FrameFolder(tmp_path / "a", ("1.png",)),
    ]


def test_what_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing: cannot be listed: No such file"):
        list(walk_frame_folders(tmp_path / "nothing"))


def test_files_go_by_their_suffix() -> None:
    assert [kind_of(name) for name in ("a.PNG", "a.mkv", "a.txt", "png")] == ["image", "video", "", ""]
    assert os.sep not in kind_of("a.png")
