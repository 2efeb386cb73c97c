"""A camera as its user sees it: states, queue, drops, the end. Faults of servers: tests/faults/test_live.py."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.errors import DataError
from convlstm.sources.decoder import Decoder, DecoderEndedError
from convlstm.sources.decoder_process import BURST_SECONDS, NUM_SLOTS, reason_of
from convlstm.sources.live import LiveSource
from convlstm.sources.open import open_source
from tests.servers.running import WebServer

pytestmark = pytest.mark.slow

Pixels = NDArray[np.uint8]
NUM_FRAMES = 30


@pytest.fixture(scope="module")
def jpegs(make_jpegs: Callable[[int], list[bytes]]) -> list[bytes]:
    return make_jpegs(NUM_FRAMES)


def wait_until(condition: Callable[[], bool], limit_seconds: float = 30) -> None:
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come"
        time.sleep(0.01)


def test_frames_and_status_of_a_stream_that_ends(jpegs: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "convlstm")
    with WebServer({}, jpegs) as web:
        source = LiveSource(f"{web.url}/video.mjpg", name="yard", reconnect=False)
        assert (source.status.state, source.num_frames) == ("connecting", None)
        assert len(list(source)) == NUM_FRAMES
    status = source.status
    assert status.state == "ended" and status.reason
    assert (status.num_frames, status.num_taken, status.num_dropped) == (NUM_FRAMES, NUM_FRAMES, 0)
    assert (status.num_connections, status.frame_size) == (1, (64, 96))
    assert "yard: online, 96x64, 25 frames/s" in caplog.text
    assert status.started is not None and abs(time.time() - status.started) < 60


def test_when_nobody_takes_frames_the_newest_stay_in_one_run(jpegs: list[bytes]) -> None:
    with WebServer({}, jpegs) as web, LiveSource(f"{web.url}/video.mjpg", queue_frames=8, reconnect=False) as source:
        wait_until(lambda: source.status.state == "ended")
        waiting = source.num_waiting
        frames = source.take(2) + source.take()
        assert [frame.index for frame in frames] == list(range(NUM_FRAMES - waiting, NUM_FRAMES))
        assert 1 <= waiting <= 8
        status = source.status
        assert (status.num_frames, status.num_taken, status.num_dropped) == (NUM_FRAMES, waiting, NUM_FRAMES - waiting)


def test_frames_that_wait_when_it_is_closed_count_as_dropped(jpegs: list[bytes]) -> None:
    with WebServer({}, jpegs * 100) as web:
        with LiveSource(f"{web.url}/video.mjpg") as source:
            wait_until(lambda: source.num_waiting > 3)
            taken = len(source.take(2))
        status = source.status
        assert (status.state, taken, source.num_waiting, source.take()) == ("ended", 2, 0, [])
        assert status.num_frames == 2 + status.num_dropped and status.num_dropped > 0
        assert source.decoder_process_id is None
        source.close()  # again does nothing


def test_iterating_may_be_broken_off(jpegs: list[bytes]) -> None:
    num_threads = threading.active_count()
    with WebServer({}, jpegs * 100) as web:
        for frame in open_source(f"{web.url}/video.mjpg"):
            assert frame.index == 0
            break
    wait_until(lambda: threading.active_count() <= num_threads)


def test_a_camera_that_is_not_there_is_tried_again_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with WebServer({}) as web:
        url = web.url
    with LiveSource(f"{url}/video.mjpg", name="yard") as source:
        wait_until(lambda: caplog.text.count("offline") > 0)
        time.sleep(2)
        assert source.status.state == "offline" and source.status.num_connections == 0
    assert [record.message for record in caplog.records] == ["yard: offline: Connection refused; trying again"]


def test_without_reconnecting_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^0: cannot be opened: No such file or directory$"):
        list(LiveSource("0", reconnect=False))


def test_two_cameras_share_one_condition(jpegs: list[bytes]) -> None:
    changed = threading.Condition()
    with WebServer({}, jpegs * 100) as web:
        cameras = [LiveSource(f"{web.url}/video.mjpg", changed=changed) for _ in range(2)]
        with cameras[0], cameras[1], changed:
            assert changed.wait_for(lambda: all(camera.num_waiting for camera in cameras), 30)


@pytest.fixture
def decoder() -> Any:
    decoder = Decoder()
    yield decoder
    decoder.kill()


def messages(decoder: Decoder, until: str, limit_seconds: float = 30) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + limit_seconds
    while not found or until not in found[-1]:
        assert time.monotonic() < deadline
        message = decoder.receive(1)
        found += [message] if message is not None else []
    return found


def test_a_decoder_serves_one_stream_after_the_other(decoder: Decoder, jpegs: list[bytes]) -> None:
    with WebServer({}, jpegs) as web:
        decoder.open(f"{web.url}/none", sample_fps=None, size=None)
        assert messages(decoder, "ended")[-1]["ended"] == "Server returned 404 Not Found"
        decoder.open(f"{web.url}/video.mjpg", sample_fps=None, size=(32, 32))
        first = messages(decoder, "frame")[-1]
        assert (first["frame"], first["size"], first["source_size"]) == (0, [32, 32], [64, 96])
        pixels = decoder.take_pixels(first)
        assert pixels.shape == (32, 32, 3) and pixels[:, :, 0].max() > 100


def test_a_parent_that_takes_nothing_loses_frames_but_not_their_count(decoder: Decoder, jpegs: list[bytes]) -> None:
    with WebServer({}, jpegs * 20) as web:
        decoder.open(f"{web.url}/video.mjpg", sample_fps=None, size=None)
        frames: list[dict[str, Any]] = []
        while len(frames) < NUM_SLOTS:
            frames.append(messages(decoder, "frame")[-1])
        assert [message["frame"] for message in frames] == list(range(NUM_SLOTS))
        assert {message["slot"] for message in frames} == set(range(NUM_SLOTS))
        time.sleep(BURST_SECONDS + 2)  # it waits for us at first only
        for message in frames:
            decoder.take_pixels(message)
        assert messages(decoder, "frame")[-1]["frame"] > NUM_SLOTS + 10


def test_frames_left_out_at_the_very_end_are_counted(decoder: Decoder, jpegs: list[bytes]) -> None:
    with WebServer({}, jpegs * 8) as web:
        decoder.open(f"{web.url}/video.mjpg", sample_fps=None, size=None)
        found = messages(decoder, "ended", limit_seconds=60)
    assert found[-1]["num_frames"] == 8 * NUM_FRAMES > len([m for m in found if "frame" in m]) == NUM_SLOTS


def test_a_decoder_that_was_killed_says_so(decoder: Decoder) -> None:
    os.kill(decoder.process_id, 9)
    with pytest.raises(DecoderEndedError, match="the decoder died of signal 9"):
        messages(decoder, "frame")


def test_reasons_do_not_repeat_the_address() -> None:
    address = "rtsp://joe:s3cret@host/1"
    assert reason_of(FileNotFoundError(2, "No such file or directory", address)) == "No such file or directory"
    assert reason_of(ValueError(address)) == "ValueError"
    assert reason_of(av.ExitError(1, "Immediate exit requested", address)) == "no answer within 10 s"
