"""Cameras that fail in every way: the server killed, stopped, cut off; the decoder killed, stopped. All of it real.

CONVLSTM_ROUNDS=34 takes each fault of a server that often, and then holds gaps of other cameras to one second and the
return to ten, which a busy machine does not.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.sources.live import LiveSource
from convlstm.types import Frame
from tests.servers.running import Cable, RtspServer, WebServer, children, need_rtsp_server, num_descriptors

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")]

Pixels = NDArray[np.uint8]
ROUNDS = int(os.environ.get("CONVLSTM_ROUNDS", "1"))
LONGEST_GAP_SECONDS = 1.0 if ROUNDS > 1 else 4.0
OFFLINE_LIMIT_SECONDS = 10.0
RETURN_LIMIT_SECONDS = 10.0 if ROUNDS > 1 else 30.0


@pytest.fixture(scope="module")
def video(
    tmp_path_factory: pytest.TempPathFactory,
    make_frames: Callable[..., list[Pixels]],
    write_video: Callable[..., Path],
) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    return write_video(path, make_frames(100) * 20, options={"g": "10", "bf": "0", "preset": "ultrafast"})


@pytest.fixture(scope="module")
def jpegs(make_jpegs: Callable[[int], list[bytes]]) -> list[bytes]:
    return make_jpegs(50)


class Pair:
    """A camera that is to fail, and another that must not notice."""

    def __init__(self, failing: str, other: str) -> None:
        self.failing = LiveSource(failing, queue_frames=500)
        self.other = LiveSource(other, queue_frames=500)
        self.num_failing = 0
        self.longest_gap = 0.0
        self._last_other: float | None = None

    def __enter__(self) -> "Pair":
        self.failing.start()
        self.other.start()
        assert self.until(lambda: bool(self.num_failing and self._last_other), 60) is not None
        self.longest_gap = 0.0
        return self

    def __exit__(self, *exception: object) -> None:
        self.failing.close()
        self.other.close()

    def until(self, condition: Callable[[], bool], limit_seconds: float) -> float | None:
        """Take frames until it holds; returns after how long, None where it did not in time."""
        start = time.monotonic()
        while time.monotonic() - start < limit_seconds:
            self.num_failing += len(self.failing.take())
            now = time.monotonic()
            if self._last_other is not None:
                self.longest_gap = max(self.longest_gap, now - self._last_other)
            if self.other.take():
                self._last_other = now
            if condition():
                return now - start
            time.sleep(0.02)
        return None

    def expect_outage(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        """Offline is shown in time, and frames come again in time."""
        begin()
        assert self.until(lambda: self.failing.status.state == "offline", OFFLINE_LIMIT_SECONDS) is not None, (
            "not offline"
        )
        assert self.failing.status.reason
        end()
        before = self.num_failing
        assert self.until(lambda: self.num_failing > before, RETURN_LIMIT_SECONDS) is not None, self.failing.status
        assert self.failing.status.state == "online"


@pytest.fixture
def leaves_nothing() -> Iterator[None]:
    """Descriptors, threads and child processes are in the end what they were."""
    before = num_descriptors(), threading.active_count(), children()
    yield
    deadline = time.monotonic() + 5
    while (num_descriptors(), threading.active_count(), children()) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (num_descriptors(), threading.active_count(), children()) == before


@pytest.mark.parametrize("fault", ["killed", "stopped", "cut off"])
def test_a_server_that_goes_and_comes_back(leaves_nothing: None, video: Path, jpegs: list[bytes], fault: str) -> None:
    need_rtsp_server()
    with (
        RtspServer(video) as server,
        Cable(server.port) as cable,
        WebServer({}, jpegs * 10_000) as web,
        Pair(f"rtsp://127.0.0.1:{cable.port}/video", f"{web.url}/video.mjpg") as pair,
    ):
        faults = {
            "killed": (server.kill, server.start),
            "stopped": (server.stop, server.go_on),
            "cut off": (cable.cut, cable.mend),
        }
        steady = num_descriptors(), threading.active_count(), len(children())
        for _ in range(ROUNDS):
            pair.expect_outage(*faults[fault])
        num_ours = num_descriptors(), threading.active_count(), len(children())
        assert all(abs(now - before) <= 2 for now, before in zip(num_ours, steady, strict=True))  # the cable's sockets
        assert pair.longest_gap < LONGEST_GAP_SECONDS
        status = pair.failing.status
        assert status.num_frames == status.num_taken + status.num_dropped + pair.failing.num_waiting
        assert pair.other.status.num_connections == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_a_decoder_that_crashes_or_hangs_takes_nothing_else_down(
    leaves_nothing: None, jpegs: list[bytes], number: signal.Signals
) -> None:
    with WebServer({}, jpegs * 10_000) as web, Pair(f"{web.url}/video.mjpg", f"{web.url}/video.mjpg") as pair:
        first = pair.failing.decoder_process_id
        assert first is not None
        pair.expect_outage(lambda: os.kill(first, number), lambda: None)
        assert pair.failing.decoder_process_id not in (first, None)
        assert pair.other.status.num_connections == 1
        assert pair.longest_gap < LONGEST_GAP_SECONDS


def test_indices_have_a_gap_where_the_connection_was_lost(leaves_nothing: None, jpegs: list[bytes]) -> None:
    with WebServer({}, jpegs[:20]) as web, LiveSource(f"{web.url}/video.mjpg") as camera:
        frames: list[Frame] = []
        deadline = time.monotonic() + 60
        while len(frames) < 40 and time.monotonic() < deadline:
            frames += camera.take()
            time.sleep(0.02)
    indices = [frame.index for frame in frames[:40]]
    assert indices == [*range(20), *range(21, 41)]
    times = [frame.pts_seconds for frame in frames]
    assert times == sorted(times)
    assert times[20] - times[19] > 0.3  # what the reconnection took
