from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.errors import DataError
from convlstm.sources.folder import FolderSource, list_images
from convlstm.sources.frame_times import FrameTime, write_frame_times

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]


def shades(*values: int) -> list[Pixels]:
    return [np.full((8, 8, 3), value, dtype=np.uint8) for value in values]


def test_frames_in_order_of_their_numbers_with_their_times(tmp_path: Path, write_folder: WriteFolder) -> None:
    folder = write_folder(tmp_path, shades(9, 10, 11), ["f9.png", "f10.png", "f11.png"])
    source = FolderSource(folder, fps=5)
    frames = list(source)
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [9, 10, 11]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.pts_seconds for frame in frames] == [0.0, 0.2, 0.4]
    assert (source.num_frames, source.fps, source.runs, source.name) == (3, 5, [range(3)], str(folder))
    assert not source.damage.is_incomplete and source.damage.describe(3) == ""


def test_missing_numbers_are_named_with_both_neighbours(tmp_path: Path, write_folder: WriteFolder) -> None:
    names = [f"f{n:03d}.png" for n in (0, 1, 2, 4, 5, 9)]
    source = FolderSource(write_folder(tmp_path, shades(*range(6)), names), fps=10)
    assert source.runs == [range(3), range(4, 6), range(9, 10)]
    assert source.damage.gaps == [
        "1 frame missing between f002.png and f004.png",
        "3 frames missing between f005.png and f009.png",
    ]
    assert not source.damage.is_incomplete  # what was given was used
    assert source.damage.describe(6).endswith("between f005.png and f009.png: no window spans a gap")
    assert [frame.index for frame in source] == [0, 1, 2, 4, 5, 9]
    assert [frame.pts_seconds for frame in source][-1] == 0.9


def test_an_unreadable_frame_is_named_and_leaves_a_gap(tmp_path: Path, write_folder: WriteFolder) -> None:
    folder = write_folder(tmp_path, shades(0, 1, 2, 3))
    (folder / "frame_000001.png").write_bytes(b"")
    (folder / "frame_000002.png").write_bytes((folder / "frame_000000.png").read_bytes()[:-20])
    source = FolderSource(folder, fps=10, name="cam")
    for _ in range(2):  # a second pass does not count twice
        frames = list(source)
        assert [frame.index for frame in frames] == [0, 3]
        assert source.damage.is_incomplete
        assert source.damage.describe(len(frames)) == (
            "decoded 2 of 4 frames; unreadable: frame_000001.png: empty file, "
            "frame_000002.png: damaged or truncated image"
        )


def test_read_takes_any_increasing_indices_with_repeats(tmp_path: Path, write_folder: WriteFolder) -> None:
    source = FolderSource(write_folder(tmp_path, shades(0, 10, 20, 30)), fps=10)
    assert [int(pixels[0, 0, 0]) for pixels in source.read([0, 0, 0, 2, 3, 3])] == [0, 0, 0, 20, 30, 30]
    assert source.read([]) == []


def test_reading_an_unreadable_frame_names_it(tmp_path: Path, write_folder: WriteFolder) -> None:
    folder = write_folder(tmp_path, shades(0, 1))
    (folder / "frame_000001.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"frame_000001\.png: empty file"):
        FolderSource(folder, fps=10).read([0, 1])


def test_a_frame_that_vanishes_is_named(tmp_path: Path, write_folder: WriteFolder) -> None:
    source = FolderSource(write_folder(tmp_path, shades(0, 1)), fps=10)
    (tmp_path / "frame_000001.png").unlink()
    assert [frame.index for frame in source] == [0]
    assert source.damage.unreadable == ["frame_000001.png: cannot be read: No such file or directory"]


def test_hidden_files_folders_and_other_files_are_left_out(tmp_path: Path, write_folder: WriteFolder) -> None:
    folder = write_folder(tmp_path, shades(0, 1), ["1.png", "2.PNG"])
    (folder / "._1.png").write_bytes(b"resource fork")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "masks.png").mkdir()
    (folder / "Thumbs.db").write_bytes(b"")
    (folder / "notes.txt").write_text("3")
    assert sorted(list_images(folder)) == ["1.png", "2.PNG"]
    assert len(list(FolderSource(folder, fps=10))) == 2


def test_chosen_files_only(tmp_path: Path, write_folder: WriteFolder) -> None:
    folder = write_folder(tmp_path, shades(0, 1, 2))
    source = FolderSource(folder, fps=10, files=["frame_000002.png", "frame_000001.png"])
    assert [int(frame.pixels[0, 0, 0]) for frame in source] == [1, 2]


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^cam: no images in this folder; known are \.bmp, \.jpeg, "):
        FolderSource(tmp_path, fps=10, name="cam")
    with pytest.raises(DataError, match="none: cannot be listed: No such file or directory"):
        FolderSource(tmp_path / "none", fps=10)


def with_times(folder: Path, *rows: tuple[str, float]) -> Path:
    write_frame_times(folder, [FrameTime(n, name, seconds, n) for n, (name, seconds) in enumerate(rows)])
    return folder


def test_frames_csv_tells_true_times_and_the_average_rate(tmp_path: Path, write_folder: WriteFolder) -> None:
    folder = write_folder(tmp_path, shades(1, 2, 3, 4), ["f1.png", "f2.png", "f3.png", "f5.png"])
    with_times(folder, ("f1.png", 10.5), ("f2.png", 10.6), ("f3.png", 10.65), ("f4.png", 11.0), ("f5.png", 12.5))
    source = FolderSource(folder, fps=5)
    assert source.has_true_times
    assert [(frame.index, frame.pts_seconds) for frame in source] == [(0, 10.5), (1, 10.6), (2, 10.65), (4, 12.5)]
    assert source.fps == 2.0 and source.seconds_at(4) == 12.5
    chosen = FolderSource(folder, fps=5, files=["f2.png"])
    assert [frame.pts_seconds for frame in chosen] == [10.6] and chosen.fps == 5  # one frame tells no rate


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("f1.png", 1.0), ("f3.png", 2.0)], "frames.csv is not used, f2.png is not in it; times follow from"),
        ([("f1.png", 1.0), ("f2.png", 1.0)], "frames.csv is not used, its times do not increase; times follow from"),
        ([("f1.png", 1.0), ("f2.png", float("inf"))], "frames.csv: a pts_seconds is not finite; times follow from"),
    ],
)
def test_a_frames_csv_that_does_not_fit_is_named_and_left_out(
    tmp_path: Path,
    write_folder: WriteFolder,
    caplog: pytest.LogCaptureFixture,
    rows: list[tuple[str, float]],
    reason: str,
) -> None:
    folder = with_times(write_folder(tmp_path, shades(1, 2), ["f1.png", "f2.png"]), *rows)
    source = FolderSource(folder, fps=5)
    assert [frame.pts_seconds for frame in source] == [0, 0.2]
    assert source.fps == 5 and not source.has_true_times
    assert len(caplog.messages) == 1 and reason in caplog.messages[0]
