"""The same video as a file, as a folder of its frames, over RTSP and over HTTP: the same frames, the same heatmaps."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.sources.live import LiveSource
from convlstm.sources.open import open_source
from convlstm.sources.video import VideoSource
from convlstm.types import Frame
from tests.contract.test_heatmaps import make_predictor
from tests.servers.running import RtspServer, WebServer, need_rtsp_server

pytestmark = pytest.mark.slow

Pixels = NDArray[np.uint8]
NUM_FRAMES = 40


@pytest.fixture(scope="module")
def video(
    tmp_path_factory: pytest.TempPathFactory,
    make_frames: Callable[..., list[Pixels]],
    write_video: Callable[..., Path],
) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    return write_video(path, make_frames(NUM_FRAMES), options={"g": "10", "bf": "0"})


@pytest.fixture(scope="module")
def jpegs(
    tmp_path_factory: pytest.TempPathFactory,
    make_frames: Callable[..., list[Pixels]],
    write_video: Callable[..., Path],
) -> Path:
    path = tmp_path_factory.mktemp("jpegs") / "clip.avi"
    return write_video(path, make_frames(NUM_FRAMES), codec="mjpeg", pix_fmt="yuvj420p")


@pytest.fixture(scope="module")
def web(video: Path, jpegs: Path) -> Iterator[WebServer]:
    with av.open(str(jpegs)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert len(packets) == NUM_FRAMES
    with WebServer({"clip.mp4": video}, packets) as server:
        yield server


@pytest.fixture(scope="module")
def rtsp(video: Path) -> Iterator[RtspServer]:
    need_rtsp_server()
    with RtspServer(video) as server:
        yield server


def whole(url: str) -> LiveSource:
    return LiveSource(url, reconnect=False, queue_frames=10 * NUM_FRAMES)


def assert_same(frames: list[Frame], expected: list[Frame], seconds: float) -> None:
    assert [frame.index for frame in frames] == [frame.index for frame in expected]
    start = expected[0].pts_seconds
    for frame, other in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.pixels, other.pixels)
        assert frame.pts_seconds == pytest.approx(other.pts_seconds - start, abs=seconds)


def test_rtsp_gives_the_frames_of_the_file_at_their_times(video: Path, rtsp: RtspServer) -> None:
    assert_same(list(whole(rtsp.url)), list(open_source(video)), seconds=0.002)


def test_a_file_on_a_web_server_is_a_video_like_any_other(video: Path, web: WebServer) -> None:
    source = open_source(f"{web.url}/clip.mp4")
    assert isinstance(source, VideoSource)
    assert source.num_frames == NUM_FRAMES
    assert_same(list(source), list(open_source(video)), seconds=1e-9)
    np.testing.assert_array_equal(source.read([23])[0], open_source(video).read([23])[0])


def test_http_mjpeg_gives_every_jpeg_at_the_time_it_comes(jpegs: Path, web: WebServer) -> None:
    frames = list(whole(f"{web.url}/video.mjpg"))
    assert_same(frames, list(open_source(jpegs)), seconds=5)
    assert all(before.pts_seconds < after.pts_seconds for before, after in pairwise(frames))


def test_the_heatmaps_are_the_same_from_everywhere(
    tmp_path: Path, video: Path, rtsp: RtspServer, web: WebServer, write_folder: Callable[..., Path]
) -> None:
    predictor = make_predictor("motion", seq_length=4, size=(64, 96), stride=3)
    folder = write_folder(tmp_path / "frames", [frame.pixels for frame in open_source(video)])
    expected = list(predictor(video))
    assert len(expected) == (NUM_FRAMES - 4) // 3 + 1
    assert np.ptp([h.probabilities.max() for h in expected]) > 1e-3
    for source in (folder, f"{web.url}/clip.mp4", whole(rtsp.url)):
        found = list(predictor(source))
        assert [(h.first_frame, h.last_frame) for h in found] == [(h.first_frame, h.last_frame) for h in expected]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4, rtol=0)


def test_sampled_frames_are_those_of_the_file(video: Path, rtsp: RtspServer) -> None:
    source = LiveSource(rtsp.url, sample_fps=10, reconnect=False, queue_frames=10 * NUM_FRAMES)
    assert_same(list(source), list(open_source(str(video), sample_fps=10)), seconds=0.002)


def test_frames_can_come_resized_as_detection_would_do(video: Path, rtsp: RtspServer) -> None:
    source = LiveSource(rtsp.url, size=(32, 64), reconnect=False, queue_frames=10 * NUM_FRAMES)
    frames = list(source)
    assert {frame.pixels.shape for frame in frames} == {(32, 64, 3)}
    assert source.status.frame_size == (64, 96)


def test_a_file_that_is_not_there_says_why_without_the_password(web: WebServer) -> None:
    address = web.url.replace("//", "//joe:secret@")
    source = LiveSource(f"{address}/none", reconnect=False)
    with pytest.raises(Exception, match=r"cannot be opened: .*404") as caught:
        list(source)
    assert "secret" not in str(caught.value)
