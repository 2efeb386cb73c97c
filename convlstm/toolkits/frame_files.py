"""Frames and masks as numbered files, encoded in threads beside the one that makes them."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from convlstm.config.toolkits import FrameFormat
from convlstm.errors import DataError
from convlstm.sources.images import PNG_SETTINGS
from convlstm.types import UInt8Array

MASKS = "masks"
"""Folder of the masks inside a folder of frames."""

_WAITING_PER_THREAD = 2  # frames: enough that no thread runs dry


@dataclass(frozen=True)
class Encoding:
    """How frames are stored: PNG, which loses nothing, or JPEG of `quality` 1-100."""

    format: FrameFormat = "png"
    quality: int = 95

    @property
    def settings(self) -> list[int]:
        """As OpenCV takes them."""
        return PNG_SETTINGS if self.format == "png" else [cv2.IMWRITE_JPEG_QUALITY, self.quality]

    def encode(self, pixels: UInt8Array) -> bytes:
        """An RGB image (H, W, 3), or a grey one (H, W), as a file. Raises DataError for sizes that it cannot have."""
        image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
        try:
            is_encoded, encoded = cv2.imencode(f".{self.format}", image, self.settings)
        except cv2.error:  # raised, or told, by the kind of what is wrong
            is_encoded = False
        if not is_encoded:
            height, width = pixels.shape[:2]
            raise DataError(f"a frame of {width}x{height} pixels cannot be written as {self.format}")
        return np.asarray(encoded).tobytes()


def frame_name(number: int, suffix: str) -> str:
    """`frame_000001.png` for number 1."""
    return f"frame_{number:06d}.{suffix}"


class FrameWriter:
    """Writes frames to `folder`, in this thread (`num_threads` 0) or in others; files are there when the block ends.

    What waits to be encoded is bounded: `write` waits for room. What fails is raised by a later `write`, or at the end.
    """

    def __init__(self, folder: Path, encoding: Encoding, *, num_threads: int = 0) -> None:
        self.folder = folder
        self.encoding = encoding
        self.num_written = 0
        self._threads = ThreadPoolExecutor(num_threads) if num_threads else None
        self._limit = num_threads * _WAITING_PER_THREAD
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            while self._waiting:
                self._waiting.popleft().result()

    def write(self, number: int, pixels: UInt8Array, mask: UInt8Array | None = None) -> str:
        """Write a frame, RGB (H, W, 3), and its mask (H, W), 0 or 255; neither may change afterwards. Its file name."""
        name = frame_name(number, self.encoding.format)
        self._do(lambda: _write(self.folder / name, self.encoding, pixels))
        if mask is not None:
            (self.folder / MASKS).mkdir(exist_ok=True)
            self._do(lambda: _write(self.folder / MASKS / frame_name(number, "png"), Encoding("png"), mask))
        self.num_written += 1
        return name

    def _do(self, work: Callable[[], None]) -> None:
        if self._threads is None:
            work()
            return
        while len(self._waiting) >= self._limit:
            self._waiting.popleft().result()
        self._waiting.append(self._threads.submit(work))


def _write(path: Path, encoding: Encoding, pixels: UInt8Array) -> None:
    path.write_bytes(encoding.encode(pixels))  # cv2.imwrite reports neither a full disk nor what went wrong
