import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.clips import resize_frame
from convlstm.errors import ConfigError, DataError
from convlstm.sources.folder import FolderSource
from convlstm.sources.video import VideoSource
from convlstm.utils.data.cache import FrameCache

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]
MakeFrames = Callable[..., list[Pixels]]


@pytest.fixture
def free_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`free_memory(num_bytes)`: what the system says from then on."""

    def pretend(num_bytes: int) -> None:
        answers = {"SC_AVPHYS_PAGES": num_bytes, "SC_PAGE_SIZE": 1}
        monkeypatch.setattr(os, "sysconf", answers.__getitem__)

    return pretend


def test_frames_come_resized_by_source_and_index(
    tmp_path: Path, write_folder: WriteFolder, make_frames: MakeFrames
) -> None:
    frames = make_frames(5, 48, 80)
    first = FolderSource(write_folder(tmp_path / "a", frames[:1]), fps=25)
    second = FolderSource(
        write_folder(tmp_path / "b", frames[1:], ["f_1.png", "f_2.png", "f_3.png", "f_6.png"]), fps=25
    )
    cache = FrameCache([first, second], (32, 64))
    np.testing.assert_array_equal(cache.read(0, [0, 0]), [resize_frame(frames[0], (32, 64))] * 2)
    np.testing.assert_array_equal(cache.read(1, [5])[0], resize_frame(frames[4], (32, 64)))


def test_a_frame_that_did_not_decode_is_named(
    tmp_path: Path, write_folder: WriteFolder, make_frames: MakeFrames
) -> None:
    folder = write_folder(tmp_path / "a", make_frames(3))
    (folder / "frame_000001.png").write_bytes(b"")
    cache = FrameCache([FolderSource(folder, fps=25)], (32, 32))
    assert len(cache.read(0, [0, 2])) == 2
    with pytest.raises(DataError, match=r"/a: frame 1 does not decode \(frame_0+1\.png: empty file\)$"):
        cache.read(0, [0, 1, 2])


def test_a_video_of_which_nothing_decodes_costs_itself_only(
    tmp_path: Path, write_folder: WriteFolder, make_frames: MakeFrames, write_video: Callable[..., Path]
) -> None:
    path = write_video(tmp_path / "v.mp4", make_frames(6))
    video = VideoSource(path)
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="no frame could be decoded"):
        list(video)
    folder = FolderSource(write_folder(tmp_path / "a", make_frames(2)), fps=25)
    cache = FrameCache([video, folder], (32, 32))
    assert len(cache.read(1, [0, 1])) == 2
    with pytest.raises(DataError, match=r"v\.mp4: frame 0 does not decode \(frame 0, "):
        cache.read(0, [0])


def test_too_little_memory_is_refused_before_anything_is_decoded(
    tmp_path: Path, write_folder: WriteFolder, make_frames: MakeFrames, free_memory: Callable[[int], None]
) -> None:
    folder = write_folder(tmp_path / "a", make_frames(10))
    source = FolderSource(folder, fps=25)
    for path in folder.iterdir():
        path.unlink()
    needed = 10 * 32 * 64 * 3
    free_memory(needed)
    with pytest.raises(ConfigError, match=r"^cache: the frames take 0\.0 GiB, but 0\.0 GiB of memory are free: ") as e:
        FrameCache([source], (32, 64))
    assert e.value.exit_code == 2
    free_memory(needed * 2)
    FrameCache([source], (32, 64))
    assert len(source.damage.unreadable) == 10


def test_a_system_that_does_not_tell_is_trusted(
    tmp_path: Path, write_folder: WriteFolder, make_frames: MakeFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> int:
        raise ValueError(f"unrecognized configuration name {name}")

    monkeypatch.setattr(os, "sysconf", refuse)
    source = FolderSource(write_folder(tmp_path / "a", make_frames(2)), fps=25)
    assert len(FrameCache([source], (32, 32)).read(0, [0, 1])) == 2
