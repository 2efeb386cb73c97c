from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.errors import DataError
from convlstm.sources.frame_times import FrameTime, write_frame_times
from convlstm.toolkits.origin import Origin, write_origin
from convlstm.toolkits.sequence_facts import look_at

pytestmark = pytest.mark.pure

Frames = list[NDArray[np.uint8]]


def test_a_folder_of_frames(
    tmp_path: Path, make_frames: Callable[..., Frames], write_folder: Callable[..., Path]
) -> None:
    folder = write_folder(tmp_path / "a", make_frames(20))
    facts = look_at(folder, compare=True)
    assert (facts.num_frames, facts.height, facts.width, facts.format) == (20, 64, 96, "png")
    assert facts.fps is None and facts.group is None and facts.thumbnails.shape == (8, 1024)
    num_bytes = sum(path.stat().st_size for path in folder.iterdir())
    assert facts.bytes_per_pixel == pytest.approx(num_bytes / (20 * 64 * 96))
    assert look_at(folder, compare=False).thumbnails.shape == (1, 1024)


def test_frame_rate_and_group_come_from_origin_or_the_times_of_the_frames(
    tmp_path: Path, make_frames: Callable[..., Frames], write_folder: Callable[..., Path]
) -> None:
    folder = write_folder(tmp_path / "a", make_frames(5))
    names = sorted(path.name for path in folder.iterdir())
    write_frame_times(folder, [FrameTime(n, name, n / 12.5, n) for n, name in enumerate(names)])
    assert look_at(folder, compare=False).fps == pytest.approx(12.5)
    write_origin(folder, Origin("tool", "kitchen.mp4", "", {}, "kitchen", 5, fps=10.0))
    facts = look_at(folder, compare=False)
    assert (facts.fps, facts.group) == (10.0, "kitchen")


def test_a_video(tmp_path: Path, make_frames: Callable[..., Frames], write_video: Callable[..., Path]) -> None:
    facts = look_at(write_video(tmp_path / "a.mp4", make_frames(20), fps=10), compare=True)
    assert (facts.num_frames, facts.height, facts.width, facts.format, facts.fps) == (20, 64, 96, "mp4", 10)
    assert facts.group is None and facts.thumbnails.shape == (8, 1024)


def test_a_damaged_frame_is_left_out_and_all_damaged_is_an_error(
    tmp_path: Path, make_frames: Callable[..., Frames], write_folder: Callable[..., Path]
) -> None:
    folder = write_folder(tmp_path / "a", make_frames(4))
    (folder / "frame_000000.png").write_bytes(b"")
    assert look_at(folder, compare=True).thumbnails.shape == (3, 1024)
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="empty file"):
        look_at(folder, compare=True)


def test_formats_may_be_mixed(
    tmp_path: Path, make_frames: Callable[..., Frames], write_folder: Callable[..., Path]
) -> None:
    folder = write_folder(tmp_path / "a", make_frames(2), ["1.png", "2.JPEG"])
    assert look_at(folder, compare=False).format == "jpg+png"
