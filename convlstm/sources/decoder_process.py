"""The process in which one camera is decoded: `python -m convlstm.sources.decoder_process CONNECTION MEMORY`.

Both arguments are file descriptors that were inherited. Over the connection go messages in JSON; pixels lie in the
memory, in `NUM_SLOTS` places of `SLOT_BYTES`. A place belongs to the parent from `frame` to `free`.

    parent: open (address, sample_fps, size)    free (slot)
    child:  opening    opened (fps)    frame (slot, number, ...)    alive (num_decoded)    ended (reason, num_frames)
"""

import json
import mmap
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from convlstm.clips import resize_frame
from convlstm.interrupts import leave_signals_to_parent
from convlstm.sources.address import camera_device
from convlstm.sources.sampling import FrameSampler
from convlstm.sources.video import to_rgb
from convlstm.types import UInt8Array

NUM_SLOTS = 8
SLOT_BYTES = 7680 * 4320 * 3
"""Up to 8K; the memory is sparse, so what is never written costs nothing."""

SECONDS_BETWEEN_SIGNS = 0.5
BURST_SECONDS = 5.0
"""So long after a stream's opening, the parent is waited for: it begins with all frames that were looked at to learn
what it is. Later, waiting would only make frames old."""

SOCKET_TIMEOUT_SECONDS = 4.0
OPEN_TIMEOUT_SECONDS = 10.0
"""Some cameras send a whole picture every ten seconds only, but what the stream is, they tell at once."""


class _EndedError(Exception):
    """The stream cannot go on; the text says why."""


class _Decoder:
    """Serves one parent: opens what it asks for, one stream after the other."""

    def __init__(self, connection: "Connection[Any, Any]", memory: mmap.mmap) -> None:
        self.connection = connection
        self.memory = memory
        self.free = set(range(NUM_SLOTS))
        self.last_sign = 0.0
        self.num_decoded = 0
        self.num_given = 0
        self.burst_end = 0.0

    def serve(self) -> None:
        """Until the parent hangs up."""
        while True:
            request = self._receive()
            if "open" not in request:
                continue
            self.num_given = 0
            self._send(opening=True)
            try:
                self._stream(request["open"], request["sample_fps"], request["size"])
                reason = "the stream ended"
            except _EndedError as error:
                reason = str(error)
            except (av.FFmpegError, OSError, ValueError) as error:
                reason = reason_of(error)
            self._send(ended=reason, num_frames=self.num_given)

    def _stream(self, address: str, sample_fps: float | None, size: list[int] | None) -> None:
        self.num_decoded = self.num_given = 0
        sampler = FrameSampler(sample_fps) if sample_fps else None
        with open_live(address) as container:
            if not container.streams.video:
                raise _EndedError("holds no video")
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"  # threads by frame would hold frames back
            has_times = container.format.name != "mpjpeg"  # there, times are counted up at 25 frames/s, whatever comes
            fps = float(stream.average_rate or stream.guessed_rate or 0)
            self._send(opened=True, fps=fps)
            self.burst_end = time.monotonic() + BURST_SECONDS
            for frame, camera_seconds in with_times(self._frames(container, stream), fps or 25):
                arrival = time.monotonic()
                seconds = camera_seconds if has_times else None
                if sampler is None or sampler.takes(arrival if seconds is None else seconds):
                    self._give(frame, self.num_given, seconds, arrival, size)
                    self.num_given += 1

    def _frames(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        for packet in container.demux(stream):
            if time.monotonic() - self.last_sign > SECONDS_BETWEEN_SIGNS:
                self._send(alive=True, num_decoded=self.num_decoded)
            try:
                for frame in packet.decode():
                    self.num_decoded += 1
                    yield frame
            except av.FFmpegError:  # a damaged packet, or one before the first whole picture
                continue

    def _give(
        self, frame: VideoFrame, number: int, seconds: float | None, arrival: float, size: list[int] | None
    ) -> None:
        if not self._wait_for_slot():
            return  # the gap in the numbers tells the parent
        pixels = to_rgb(frame)
        source_size = list(pixels.shape[:2])
        if size is not None:
            pixels = resize_frame(pixels, (size[0], size[1]))
        slot = self.free.pop()
        self._write(slot, pixels)
        self._send(
            frame=number,
            slot=slot,
            size=list(pixels.shape[:2]),
            source_size=source_size,
            seconds=seconds,
            arrival=arrival,
            is_damaged=bool(frame.is_corrupt),
        )

    def _wait_for_slot(self) -> bool:
        """Whether a slot is free, at the beginning of a stream if need be in a while."""
        while self.connection.poll():
            self._receive()
        while not self.free and self.connection.poll(max(0.0, self.burst_end - time.monotonic())):
            self._receive()
        return bool(self.free)

    def _write(self, slot: int, pixels: UInt8Array) -> None:
        if pixels.nbytes > SLOT_BYTES:
            raise _EndedError(f"frames of {pixels.shape[1]}x{pixels.shape[0]} pixels are larger than 8K")
        place = np.frombuffer(self.memory, dtype=np.uint8, count=pixels.nbytes, offset=slot * SLOT_BYTES)
        place[:] = pixels.reshape(-1)

    def _receive(self) -> dict[str, Any]:
        request: dict[str, Any] = json.loads(self.connection.recv_bytes())
        if "free" in request:
            self.free.add(request["free"])
        return request

    def _send(self, **message: object) -> None:
        self.last_sign = time.monotonic()
        self.connection.send_bytes(json.dumps(message).encode())


def with_times(frames: Iterable[VideoFrame], fps: float) -> Iterator[tuple[VideoFrame, float | None]]:
    """Frames with their times in seconds; None from a stream without any.

    RTSP tells no time for the first frame: it waits for the second one, and is 1 / fps earlier.
    """
    first: VideoFrame | None = None
    is_begun = False
    for frame in frames:
        seconds: float | None = frame.time
        if not is_begun and seconds is None and first is None:
            first = frame
            continue
        if first is not None:
            yield first, None if seconds is None else seconds - 1 / fps
        first, is_begun = None, True
        yield frame, seconds
    if first is not None:
        yield first, None


def open_live(address: str) -> InputContainer:
    """Open a URL or a camera of this machine. Raises av.FFmpegError and OSError."""
    device = camera_device(address)
    if device is not None:
        return av.open(device, format="v4l2", metadata_errors="replace")
    microseconds = str(int(SOCKET_TIMEOUT_SECONDS * 1e6))
    options = {"rw_timeout": microseconds}
    if address.lower().startswith("rtsp"):
        options = {"rtsp_transport": "tcp", "timeout": microseconds}  # over UDP, frames break on busy networks
    return av.open(address, options=options, metadata_errors="replace", timeout=(OPEN_TIMEOUT_SECONDS, None))


def reason_of(error: Exception) -> str:
    """Why a stream broke off, in words that do not repeat the address, which may hold a password."""
    if isinstance(error, av.ExitError):
        return f"no answer within {OPEN_TIMEOUT_SECONDS:g} s"
    return getattr(error, "strerror", None) or type(error).__name__


def main(connection_number: int, memory_number: int) -> None:
    """Serve the parent over the two descriptors."""
    leave_signals_to_parent()
    connection: Connection[Any, Any] = Connection(connection_number)
    with mmap.mmap(memory_number, NUM_SLOTS * SLOT_BYTES) as memory:
        try:
            _Decoder(connection, memory).serve()
        except (EOFError, ConnectionError):  # the parent hung up
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
