"""Videos that detection writes: H.264 in MP4, frames at their true times, all of them together within a limit."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import av
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from convlstm.atomic import atomic_write
from convlstm.clips import resize_frame
from convlstm.errors import DataError
from convlstm.types import UInt8Array

logger = logging.getLogger(__name__)

TICKS_PER_SECOND = 90_000
_OPTIONS = {"crf": "23", "preset": "veryfast"}
_BT_709 = 1  # in the numbers of H.264, for matrix, primaries and transfer alike


@dataclass
class OutputBudget:
    """How many bytes of video may be written in all."""

    max_bytes: float
    used_bytes: int = 0

    @property
    def is_spent(self) -> bool:
        """Whether no more may be written."""
        return self.used_bytes >= self.max_bytes


class VideoFile:
    """`with VideoFile(path, fps, budget) as video: video.add(pixels, seconds)`

    The file appears, whole, when the block ends without an error and at least one frame was added. Sides are cut to
    even numbers; later frames of another size are scaled to that of the first. Where the budget ends, so does the
    video: `add` tells, and a line is logged. Raises DataError where the video cannot be encoded.
    """

    def __init__(self, path: Path, fps: float, budget: OutputBudget) -> None:
        self.path = path
        self.fps = fps
        self.budget = budget
        self.num_frames = 0
        self._stack = ExitStack()
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._start = 0.0
        self._last_pts = -1
        self._is_stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._container is not None and error is None:
            try:
                self._mux(None)
                self._container.close()
            except BaseException as problem:
                self._stack.__exit__(type(problem), problem, problem.__traceback__)
                raise
        self._stack.__exit__(kind, error, traceback)

    def add(self, pixels: UInt8Array, seconds: float) -> bool:
        """Append an RGB frame (H, W, 3) shown at `seconds`; False where the budget is spent and it was left out."""
        if self._is_stopped or self.budget.is_spent:
            if not self._is_stopped:
                end = (
                    f"{self.path.name} ends at {seconds:.2f} s" if self.num_frames else f"{self.path.name} is left out"
                )
                logger.warning(
                    "videos reached %.4g GB: %s; set max_output_gb higher for more", self.budget.max_bytes / 1e9, end
                )
            self._is_stopped = True
            return False
        if self._stream is None:
            self._open(pixels.shape[0] & ~1 or 2, pixels.shape[1] & ~1 or 2, seconds)
        assert self._stream is not None
        size = self._stream.height, self._stream.width
        fits = (pixels.shape[0] & ~1, pixels.shape[1] & ~1) == size
        pixels = pixels[: size[0], : size[1]] if fits else resize_frame(pixels, size)
        frame = VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
        self._last_pts = max(round((seconds - self._start) * TICKS_PER_SECOND), self._last_pts + 1)
        frame.pts, frame.time_base = self._last_pts, Fraction(1, TICKS_PER_SECOND)
        self._mux(frame)
        self.num_frames += 1
        return True

    def _open(self, height: int, width: int, start: float) -> None:
        file: IO[bytes] = self._stack.enter_context(atomic_write(self.path))
        self._container = av.open(file, "w", format="mp4")
        stream = self._container.add_stream(
            "libx264", rate=Fraction(self.fps).limit_denominator(1001), options=_OPTIONS
        )
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, TICKS_PER_SECOND)
        context.thread_count = 0
        context.colorspace = context.color_primaries = context.color_trc = _BT_709
        self._stream, self._start = stream, start

    def _mux(self, frame: VideoFrame | None) -> None:
        assert self._stream is not None and self._container is not None
        try:
            for packet in self._stream.encode(frame):
                self.budget.used_bytes += packet.size
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise DataError(f"{self.path}: the video cannot be written: {error.strerror}") from error
