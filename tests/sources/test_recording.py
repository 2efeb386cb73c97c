from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.errors import DataError
from convlstm.sources.open import SourcePath
from convlstm.sources.recording import RecordingPath, RecordingSource, one_recording

Pixels = NDArray[np.uint8]
MakeFrames = Callable[..., list[Pixels]]
WriteVideo = Callable[..., Path]
WriteFolder = Callable[..., Path]


@pytest.fixture
def parts(tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo, write_folder: WriteFolder) -> Path:
    """cam_1 and cam_3 are videos, cam_2 a folder; cam_10 comes last."""
    frames = make_frames(20)
    root = tmp_path / "cam"
    root.mkdir()
    write_video(root / "cam_1.mp4", frames[:6], fps=25)
    write_folder(root / "cam_2", frames[6:10])
    write_video(root / "cam_3.mp4", frames[10:15], fps=10)
    write_video(root / "cam_10.mp4", frames[15:], fps=25)
    return root


def paths(root: Path) -> RecordingPath:
    return one_recording([SourcePath(path) for path in sorted(root.iterdir())])


def test_parts_are_in_order_of_their_numbers(parts: Path) -> None:
    assert [part.path.name for part in paths(parts).parts] == ["cam_1.mp4", "cam_2", "cam_3.mp4", "cam_10.mp4"]
    assert paths(parts).name == str(parts)


def test_frames_and_times_go_on(parts: Path, make_frames: MakeFrames) -> None:
    source = RecordingSource(paths(parts), fps=25)
    assert (source.num_frames, source.fps) == (20, 25)
    for _ in range(2):  # it can be read again
        frames = list(source)
        assert [frame.index for frame in frames] == list(range(20))
        seconds = [0.04 * i for i in range(10)] + [0.4 + 0.1 * i for i in range(5)] + [0.9 + 0.04 * i for i in range(5)]
        assert [frame.pts_seconds for frame in frames] == pytest.approx(seconds)
        differences = [np.abs(f.pixels.astype(int) - w).mean() for f, w in zip(frames, make_frames(20), strict=True)]
        assert max(differences) < 12  # each is the frame that it should be, as H.264 keeps it
        assert not source.damage.is_incomplete


def test_which_part_holds_a_frame(parts: Path) -> None:
    source = RecordingSource(paths(parts), fps=25)
    list(source)
    found = [source.part_of(index) for index in (0, 5, 6, 14, 15, 19)]
    names = ["cam_1.mp4", "cam_1.mp4", "cam_2", "cam_3.mp4", "cam_10.mp4", "cam_10.mp4"]
    assert [Path(part.name).name for part in found] == names
    assert [part.start_seconds for part in found] == pytest.approx([0, 0, 0.24, 0.4, 0.9, 0.9])


def test_a_part_that_cannot_be_read_is_named_and_leaves_a_gap(parts: Path) -> None:
    (parts / "cam_3.mp4").write_bytes(b"no video")
    source = RecordingSource(paths(parts), fps=25)
    assert [frame.index for frame in source] == [*range(10), *range(11, 16)]
    assert source.damage.is_incomplete
    assert "cam_3.mp4: cannot be opened as a video" in source.damage.describe(15)


def test_what_a_damaged_part_lacks_leaves_a_gap(parts: Path) -> None:
    image = sorted((parts / "cam_2").iterdir())[3]
    image.write_bytes(b"")
    source = RecordingSource(paths(parts), fps=25)
    frames = list(source)
    assert [frame.index for frame in frames] == [*range(9), *range(10, 20)]
    assert frames[9].pts_seconds == pytest.approx(0.4)
    assert source.damage.unreadable[0].startswith(f"cam_2 {image.name}")


def test_nothing_readable_at_all(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no video")
    source = RecordingSource(paths(tmp_path), fps=25)
    with pytest.raises(DataError, match=r"no part of the recording can be read: .*a.mp4: cannot be opened"):
        list(source)
