import os
from pathlib import Path

import pytest

from convlstm.errors import DataError
from convlstm.toolkits.class_folders import Found, FoundSequence, find_sequences

pytestmark = pytest.mark.pure

CLASSES = ("static", "dynamic")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def find(root: Path) -> Found:
    return find_sequences(root, CLASSES)


def test_frames_and_videos_at_any_depth_masks_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "static/a/1.png", "static/a/masks/1.png", "static/clip.2.mp4", "dynamic/x/y/1.png", "rest/1.png")
    found = find(tmp_path)
    assert found.sequences == [
        FoundSequence("static/clip.2.mp4", "static", is_video=True),
        FoundSequence("static/a", "static", is_video=False),
        FoundSequence("dynamic/x/y", "dynamic", is_video=False),
    ]
    assert [sequence.parts for sequence in found.sequences] == [("clip.2",), ("a",), ("x", "y")]
    assert found.left_out == [] and found.others == ["rest"]


def test_what_cannot_be_a_row_is_left_out_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "static/1.png", "static/a/1.png", "dynamic/b/1.png", "dynamic/bad\tname/1.png", "out/1.png")
    (tmp_path / "dynamic/link").symlink_to(tmp_path / "out")
    touch(tmp_path, os.fsdecode(b"dynamic/\xff\xfe/1.png"))
    found = find(tmp_path)
    assert [sequence.folder_name for sequence in found.sequences] == ["static/a", "dynamic/b"]
    words = ("directly", "control", "UTF-8", "a link")
    directly, control, no_text, link = (next(line for line in found.left_out if word in line) for word in words)
    assert len(found.left_out) == 4
    assert "1 images directly in the class folder, such as 1.png" in directly and "static/NAME/1.png" in directly
    assert "holds control characters" in control
    assert "the name is no UTF-8: rename it" in no_text and no_text.encode()
    assert link == "dynamic/link: a link to a folder: copy the folder instead"


@pytest.mark.parametrize(
    ("names", "root", "message"),
    [
        (["static/a/1.png"], "", "no folder dynamic in it; there is static: expected .*/dynamic/NAME/frame_000001.png"),
        ([".x/1.png"], "", "no folder static and no folder dynamic in it; there are no folders"),
        (["static/a/1.png", "dynamic/a/1.png"], "static", "but it is the one of a class itself: --root .*[^c]$"),
        (["Static/a/1.png", "dynamic/a/1.png"], "", "but Static: rename it, or name the classes: --classes Static"),
        (["d/static/a/1.png", "d/dynamic/a/1.png"], "", "but in d: --root .*/d"),
        (
            ["train/static/a/1.png", "train/dynamic/a/1.png", "val/static/a/1.png", "val/dynamic/a/1.png"],
            "",
            "but in each of train, val: bring them together, .* --split",
        ),
        (["static/a/1.png", "dynamic/readme.txt"], "", "dynamic: no frames and no videos in it: expected"),
        (["static/a/1.png", "dynamic/1.png"], "", "dynamic: no usable sequence: dynamic: 1 images directly in"),
        (["a.txt"], "nowhere", "nowhere: no such folder: --root is the folder that holds static and dynamic"),
    ],
)
def test_another_layout_is_explained(tmp_path: Path, names: list[str], root: str, message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        find(tmp_path / root)
