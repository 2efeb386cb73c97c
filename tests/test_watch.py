"""Watching cameras end to end: files, status, shutdown."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convlstm.config import DetectConfig
from convlstm.detection import detect
from convlstm.errors import ConfigError, DataError
from convlstm.models.checkpoint import Checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.watch import camera_name, find_cameras
from tests.servers.running import WebServer

Pixels = NDArray[np.uint8]
NUM_FRAMES = 40


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows of 4 frames of 64x96, everything always hot."""
    torch.manual_seed(0)
    model = TemporalClassifier()
    with torch.no_grad():
        model.final_classifier.weight.mul_(0)
        assert model.final_classifier.bias is not None
        model.final_classifier.bias.fill_(3)
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25))
    return path


@pytest.fixture(scope="module")
def jpegs(make_jpegs: Callable[[int], list[bytes]]) -> list[bytes]:
    return make_jpegs(NUM_FRAMES)


@pytest.fixture(scope="module")
def web(jpegs: list[bytes]) -> Iterator[WebServer]:
    with WebServer({}, jpegs) as server:
        yield server


@pytest.fixture(scope="module")
def endless(jpegs: list[bytes]) -> Iterator[WebServer]:
    with WebServer({}, jpegs * 1000) as server:
        yield server


def settings(output: Path, **others: Any) -> DetectConfig:
    return DetectConfig(**{"output": output, "device": "cpu", "engine": "torch", "queue_frames": 200, **others})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_two_cameras_until_their_streams_end(tmp_path: Path, weights: Path, web: WebServer) -> None:
    cameras = tmp_path / "cameras.yaml"
    address = web.url.replace("//", "//joe:s3cret@")
    cameras.write_text(
        f"front: {address}/video.mjpg\nyard:\n  url: {web.url}/video.mjpg\n  sample_fps: 5\n  roi: 0 0 1 0 1 .5 0 .5\n"
    )
    output = tmp_path / "results"
    started = time.time()
    result = detect(str(cameras), weights, settings(output, reconnect=False))
    assert result.exit_code == 0
    front, yard = result.rows
    num_windows = (NUM_FRAMES - 4) // 3 + 1
    assert (front.source, front.frames, front.windows, front.prediction) == ("front", 40, num_windows, "dynamic")
    assert yard.frames is not None and yard.frames < 20
    windows = lines(output / "front" / "results.jsonl")
    assert [(w["first_frame"], w["last_frame"]) for w in windows] == [(3 * i, 3 * i + 3) for i in range(num_windows)]
    assert {w["cells"] for w in windows} == {6}
    assert {w["cells"] for w in lines(output / "yard" / "results.jsonl")} == {3}  # the upper row of two
    (event,) = lines(output / "front" / "events.jsonl")
    assert (event["source"], event["start_frame"], event["end_frame"]) == ("front", 0, 39)
    assert event["box"] == [0, 0, 1, 1]
    assert lines(output / "yard" / "events.jsonl")[0]["box"] == [0, 0, 1, 0.5]
    assert windows[-1]["time"] == event["end_time"] > event["start_time"]
    status = json.loads((output / "status.json").read_text())["cameras"]
    assert (status["front"]["frames"], status["front"]["processed"], status["front"]["dropped"]) == (40, 40, 0)
    assert (status["front"]["state"], status["front"]["events"], status["front"]["width"]) == ("ended", 1, 96)
    assert status["front"]["last_frame_seconds_ago"] < time.time() - started
    assert not [path for path in output.rglob("*") if path.is_file() and "s3cret" in path.read_text()]


@pytest.mark.slow
def test_a_restart_appends_after_the_last_whole_line(tmp_path: Path, weights: Path, web: WebServer) -> None:
    folder = tmp_path / camera_name(f"{web.url}/video.mjpg")
    folder.mkdir()
    (folder / "results.jsonl").write_text('{"source": "earlier"}\n{"source": "cut o')
    detect(f"{web.url}/video.mjpg", weights, settings(tmp_path, reconnect=False))
    found = lines(folder / "results.jsonl")
    assert found[0] == {"source": "earlier"} and len(found) == 1 + (NUM_FRAMES - 4) // 3 + 1


@pytest.mark.slow
def test_it_stops_after_watch_seconds_with_frames_accounted_for(
    tmp_path: Path, weights: Path, endless: WebServer
) -> None:
    result = detect(f"{endless.url}/video.mjpg", weights, settings(tmp_path, watch_seconds=10))
    (row,) = result.rows
    assert row.frames is not None and row.frames >= 4
    (status,) = json.loads((tmp_path / "status.json").read_text())["cameras"].values()
    assert status["frames"] == status["processed"] + status["dropped"]
    assert status["events"] == 1 == len(lines(tmp_path / row.source / "events.jsonl"))


@pytest.mark.slow
def test_a_camera_without_a_frame_is_left_out_and_none_at_all_is_an_error(
    tmp_path: Path, weights: Path, web: WebServer
) -> None:
    cameras = tmp_path / "cameras.yaml"
    cameras.write_text(f"front: {web.url}/video.mjpg\nyard: {web.url}/none\n")
    result = detect(cameras, weights, settings(tmp_path / "out", reconnect=False))
    assert result.exit_code == 3
    assert result.rows[1].error == "no frame came: Server returned 404 Not Found"
    with pytest.raises(DataError, match=r"no frame came: Server returned 404 Not Found"):
        detect(f"{web.url}/none", weights, settings(tmp_path / "out", reconnect=False))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals as POSIX does")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_it_with_everything_written(
    tmp_path: Path, weights: Path, endless: WebServer, number: signal.Signals, code: int
) -> None:
    arguments = [
        "detect",
        "--source",
        f"{endless.url}/video.mjpg",
        "--weights",
        str(weights),
        "--output",
        str(tmp_path),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "convlstm", *arguments, "--engine", "torch", "--device", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = tmp_path / camera_name(f"{endless.url}/video.mjpg")
    deadline = time.monotonic() + 120
    while not (folder / "results.jsonl").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, log = process.communicate(timeout=60)
    assert process.returncode == code, log
    assert "Traceback" not in log and "what is finished is kept" in log
    assert len(lines(folder / "events.jsonl")) == 1
    (status,) = json.loads((tmp_path / "status.json").read_text())["cameras"].values()
    assert status["state"] == "ended" and status["frames"] == status["processed"] + status["dropped"]


@pytest.mark.pure
def test_files_are_no_cameras(tmp_path: Path) -> None:
    assert find_cameras("clip.mp4", DetectConfig()) == []
    assert find_cameras("http://host/clip.mp4", DetectConfig()) == []
    assert find_cameras(tmp_path / "none.yaml", DetectConfig()) == []


@pytest.mark.pure
@pytest.mark.parametrize(
    ("source", "setting", "message"),
    [
        ("clip.mp4", {"watch_seconds": 5.0}, "watch_seconds has no meaning here, it is for cameras: leave it out"),
        ("clip.mp4", {"reconnect": False}, "reconnect has no meaning here, it is for cameras: leave it out"),
        ("rtsp://host/1", {"save_viz": True}, "save_viz has no meaning here, it needs an end: leave it out"),
        ("rtsp://host/1", {"save_clips": True}, "save_clips has no meaning here, cameras have no past to cut from"),
        ("rtsp://host/1", {"save_video": True}, "save_video has no meaning here, it would grow without end: leave it"),
        ("0", {"overwrite": True}, "overwrite has no meaning here, results of cameras are appended: leave it out"),
        ("rtsp://host/1", {"roi": ("0 0 1",)}, "roi must be polygons"),
    ],
)
def test_settings_that_do_nothing_are_refused(source: str, setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_cameras(source, DetectConfig(**setting))
    assert str(caught.value).startswith(message)


@pytest.mark.pure
@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://joe:s3cret@host:554/stream1?x=1", "host_554_stream1"),
        ("0", "camera_0"),
        ("/dev/video2", "camera_dev_video2"),
        ("http://../..", ".._.."),
    ],
)
def test_cameras_without_a_name_get_one_that_is_safe_as_a_folder(address: str, name: str) -> None:
    assert camera_name(address) == name.strip(".")
    assert (Path("results") / camera_name(address)).resolve().parent == Path("results").resolve()
