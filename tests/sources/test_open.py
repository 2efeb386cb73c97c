from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.errors import DataError
from convlstm.sources.folder import FolderSource
from convlstm.sources.live import LiveSource
from convlstm.sources.open import SourcePath, find_sources, open_source
from convlstm.sources.video import VideoSource

Pixels = NDArray[np.uint8]


@pytest.fixture
def root(
    tmp_path: Path,
    make_frames: Callable[..., list[Pixels]],
    write_folder: Callable[..., Path],
    write_video: Callable[..., Path],
) -> Path:
    """Two frame folders, a video, an empty folder that is hidden, and a file that is no source."""
    write_folder(tmp_path / "cam1", make_frames(3))
    write_folder(tmp_path / "cam2", make_frames(4))
    write_video(tmp_path / "road.mp4", make_frames(5))
    (tmp_path / ".cache").mkdir()
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


def test_a_folder_and_a_video_open_as_what_they_are(root: Path) -> None:
    folder = open_source(root / "cam1", fps=10)
    assert isinstance(folder, FolderSource)
    assert (folder.num_frames, folder.fps, folder.name) == (3, 10, str(root / "cam1"))
    video = open_source(str(root / "road.mp4"), fps=10)
    assert isinstance(video, VideoSource)
    assert (video.num_frames, video.fps) == (5, 25)  # a video knows its own rate


def test_a_glob_of_images_is_one_source(root: Path) -> None:
    source = open_source(str(root / "cam2" / "frame_00000[12].png"))
    assert isinstance(source, FolderSource)
    assert list(source.files.values()) == ["frame_000001.png", "frame_000002.png"]


def test_sample_fps_gives_fewer_frames_with_their_places(root: Path) -> None:
    source = open_source(str(root / "road.mp4"), sample_fps=10)
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1]
    assert [source.place(frame.index) for frame in frames] == [0, 3]
    assert open_source(root / "cam2", fps=10).place(3) == 3


def test_live_addresses_are_not_opened_yet() -> None:
    source = open_source("rtsp://joe:s3cret@host/stream", sample_fps=5)
    assert isinstance(source, LiveSource)
    assert (source.name, source.num_frames, source.fps, source.status.state) == (
        "rtsp://host/stream",
        None,
        5,
        "connecting",
    )
    assert isinstance(open_source("0"), LiveSource)


def test_a_file_on_the_web_is_found_as_itself() -> None:
    (found,) = find_sources("http://joe:s3cret@host/a/clip.mp4?key=1")
    assert (found.url, found.name) == ("http://joe:s3cret@host/a/clip.mp4?key=1", "http://host/a/clip.mp4")


def test_a_web_server_that_is_not_there_says_why_without_the_password() -> None:
    with pytest.raises(DataError, match=r"^http://127\.0\.0\.1:9/clip\.mp4: cannot be opened as a video: ") as caught:
        open_source("http://joe:s3cret@127.0.0.1:9/clip.mp4")
    assert "s3cret" not in str(caught.value)


def test_a_name_with_brackets_is_taken_as_it_is(root: Path) -> None:
    (root / "cam1").rename(root / "cam[1]")
    assert open_source(str(root / "cam[1]")).num_frames == 3


def test_a_source_path_opens_its_files(root: Path) -> None:
    assert open_source(SourcePath(root / "cam2", ("frame_000003.png",))).num_frames == 1


def test_batch_takes_every_source_of_a_folder_in_order(root: Path) -> None:
    assert [Path(found.name).name for found in find_sources(root, batch=True)] == ["cam1", "cam2", "road.mp4"]


def test_globs_find_folders_videos_and_images(root: Path) -> None:
    assert [found.path.name for found in find_sources(str(root / "cam*"))] == ["cam1", "cam2"]
    assert [found.path.name for found in find_sources(str(root / "*.mp4"))] == ["road.mp4"]
    images = find_sources(str(root / "*" / "*.png"))
    assert [(found.path.name, len(found.files)) for found in images] == [("cam1", 3), ("cam2", 4)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "{root}/none: no such file or folder"),
        ("none*", "{root}/none*: matches no frame folder, video or image"),
        ("cam*", "{root}/cam*: 2 sources match, but one was expected"),
        (
            "cam1/frame_000000.png",
            "{root}/cam1/frame_000000.png: one image shows no motion: give its folder, a video, or a glob of frames",
        ),
        ("notes.txt", "{root}/notes.txt: cannot be opened as a video: Invalid data found when processing input"),
    ],
)
def test_what_cannot_be_opened_says_why(root: Path, name: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        open_source(f"{root}/{name}")
    assert str(caught.value) == message.format(root=root)


def test_a_folder_of_sources_points_to_batch_and_back(root: Path) -> None:
    with pytest.raises(DataError, match="holds no images but other sources: use --batch to take each of them"):
        find_sources(root)
    with pytest.raises(DataError, match="no frame folders or videos in it; leave --batch out"):
        find_sources(root / "cam1", batch=True)
    with pytest.raises(DataError, match="none: no such file or folder"):
        find_sources(root / "none", batch=True)
