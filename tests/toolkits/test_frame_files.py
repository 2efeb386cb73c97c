"""Frames as files: the same bytes for any number of threads, bounded queues, and errors that are not lost."""

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from convlstm.config.toolkits import FrameFormat
from convlstm.errors import DataError
from convlstm.sources.images import read_image, read_mask
from convlstm.toolkits.frame_files import Encoding, FrameWriter, frame_name
from convlstm.types import UInt8Array


def noise(seed: int, height: int = 24, width: int = 32) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_png_loses_nothing_and_jpg_little() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, :16] = (250, 30, 60)
    for encoding, error in ((Encoding(), 0), (Encoding("jpg", 95), 6)):
        decoded = np.asarray(cv2.imdecode(np.frombuffer(encoding.encode(pixels), np.uint8), cv2.IMREAD_COLOR_RGB))
        assert np.abs(decoded[:, [4, 28]].astype(int) - pixels[:, [4, 28]]).max() <= error
    assert len(Encoding("jpg", 20).encode(noise(0))) < len(Encoding("jpg", 95).encode(noise(0)))


def test_a_size_that_no_file_can_have_is_told() -> None:
    with pytest.raises(DataError, match="a frame of 70000x1 pixels cannot be written as jpg"):
        Encoding("jpg").encode(np.zeros((1, 70000, 3), np.uint8))


@pytest.mark.parametrize("format", ["png", "jpg"])
def test_files_are_the_same_for_any_number_of_threads(tmp_path: Path, format: FrameFormat) -> None:
    mask = np.zeros((24, 32), dtype=np.uint8)
    mask[3:9, 5:8] = 255
    written = []
    for num_threads in (0, 1, 3):
        folder = tmp_path / str(num_threads)
        folder.mkdir()
        with FrameWriter(folder, Encoding(format, 90), num_threads=num_threads) as writer:
            names = [writer.write(number, noise(number), mask) for number in (1, 2, 4, 5, 6, 7, 8)]
        assert names[2] == f"frame_000004.{format}" and writer.num_written == 7
        files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        assert len(files) == 14
        written.append({str(path): (folder / path).read_bytes() for path in files})
    assert written[0] == written[1] == written[2]
    assert (read_mask(tmp_path / "3" / "masks" / "frame_000004.png") == mask).all()
    if format == "png":
        assert (read_image(tmp_path / "3" / "frame_000004.png") == noise(4)).all()


@pytest.mark.parametrize("num_threads", [0, 2])
def test_what_fails_is_raised(tmp_path: Path, num_threads: int) -> None:
    with (
        pytest.raises(FileNotFoundError),
        FrameWriter(tmp_path / "gone", Encoding(), num_threads=num_threads) as writer,
    ):
        writer.write(1, noise(1))


def test_only_some_frames_wait_and_none_is_begun_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate = [], threading.Event()

    def encode(self: Encoding, pixels: UInt8Array) -> bytes:
        begun.append(pixels)
        gate.wait(10)
        return b""

    monkeypatch.setattr(Encoding, "encode", encode)
    offered = []

    def offer() -> None:
        with pytest.raises(KeyError), FrameWriter(tmp_path, Encoding(), num_threads=1) as writer:
            for number in range(1, 50):
                offered.append(number)
                if number == 9:
                    raise KeyError
                writer.write(number, noise(number))

    thread = threading.Thread(target=offer)
    thread.start()
    time.sleep(0.2)
    assert len(offered) == 3 and len(begun) == 1  # one is encoded, one waits, one is not taken yet
    gate.set()
    thread.join(10)
    assert not thread.is_alive() and offered[-1] == 9 and len(begun) <= 9


def test_names_sort_as_their_numbers() -> None:
    assert [frame_name(number, "png") for number in (1, 123456)] == ["frame_000001.png", "frame_123456.png"]
