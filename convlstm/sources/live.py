"""A camera as a source: RTSP, HTTP MJPEG, a camera of this machine. Comes back by itself after whatever happens.

decoder process  ->  shared memory  ->  a thread here  ->  bounded queue  ->  whoever takes the frames
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from convlstm.config import OFFLINE_SECONDS, QUEUE_FRAMES
from convlstm.errors import DataError
from convlstm.sources.address import shown_address
from convlstm.sources.base import Source
from convlstm.sources.decoder import Decoder, DecoderEndedError
from convlstm.sources.decoder_process import OPEN_TIMEOUT_SECONDS
from convlstm.sources.timeline import LiveTimeline, reconnect_delay
from convlstm.types import Frame

logger = logging.getLogger(__name__)

State = Literal["connecting", "online", "offline", "ended"]

NOMINAL_FPS = 25.0
"""For streams that do not tell their frame rate."""

_TURN_SECONDS = 0.2  # how often a thread looks whether it should end
_STARTING_SECONDS = 60.0  # a process takes long to start where others keep the machine busy
_SILENT_OPENING_SECONDS = OPEN_TIMEOUT_SECONDS + 2.0
_HOPELESS = 4  # times `offline_seconds` in which packets come but no frame


@dataclass(frozen=True)
class LiveStatus:
    """How a camera does. num_frames = num_taken + num_dropped + what waits in the queue."""

    state: State = "connecting"
    reason: str = ""
    num_frames: int = 0
    num_taken: int = 0
    num_dropped: int = 0
    num_damaged: int = 0
    num_connections: int = 0
    fps: float = 0.0
    frame_size: tuple[int, int] | None = None
    started: float | None = None
    """When the first frame came, in seconds since 1970; the times of all frames count from there."""
    last_frame: float | None = None
    """When the latest one came, in seconds of `time.monotonic`."""


class LiveSource(Source):
    """Frames of one camera, as they come: `with LiveSource("rtsp://host/path") as camera: ... camera.take()`.

    Iterating works as for every source, and ends never, or with `reconnect` off when the stream ends. Where nobody
    takes the frames in time, all that wait are dropped but the newest: what is left are long runs without a gap.
    With `size` = (height, width), frames are resized in the decoder's process, as detection would do.

    `changed` is notified when frames or a new state are there; cameras may share one. Nothing is opened before `start`.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str | None = None,
        sample_fps: float | None = None,
        size: tuple[int, int] | None = None,
        queue_frames: int = QUEUE_FRAMES,
        offline_seconds: float = OFFLINE_SECONDS,
        reconnect: bool = True,
        changed: threading.Condition | None = None,
    ) -> None:
        super().__init__(name or shown_address(address))
        self.address = address
        self.sample_fps = sample_fps
        self.size = size
        self.queue_frames = queue_frames
        self.offline_seconds = offline_seconds
        self.reconnect = reconnect
        self.changed = changed or threading.Condition()
        self._status = LiveStatus()
        self._queue: deque[Frame] = deque()
        self._timeline = LiveTimeline()
        self._decoder: Decoder | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def num_frames(self) -> int | None:
        """Nobody knows."""
        return None

    @property
    def fps(self) -> float:
        """As the stream says, once it is open, and `NOMINAL_FPS` before; at most `sample_fps`."""
        told = self._status.fps or NOMINAL_FPS
        return min(told, self.sample_fps) if self.sample_fps else told

    @property
    def status(self) -> LiveStatus:
        """How it does now."""
        with self.changed:
            return self._status

    @property
    def decoder_process_id(self) -> int | None:
        """Of the process that decodes now."""
        decoder = self._decoder
        return decoder.process_id if decoder is not None else None

    @property
    def num_waiting(self) -> int:
        """Frames in the queue."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to receive; a source that was closed begins anew."""
        if self._thread is not None:
            return
        self._closing.clear()
        self._thread = threading.Thread(target=self._run, name=f"camera {self.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop receiving and end the decoder; frames that wait count as dropped."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self.changed:
            self._drop_queue()

    def take(self, limit: int | None = None) -> list[Frame]:
        """The frames that wait, oldest first, at most `limit`; does not wait for any."""
        with self.changed:
            count = len(self._queue) if limit is None else min(limit, len(self._queue))
            self._status = replace(self._status, num_taken=self._status.num_taken + count)
            return [self._queue.popleft() for _ in range(count)]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come. Raises DataError where the stream ended without one and `reconnect` is off."""
        self.start()
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self._queue or self._status.state == "ended", _TURN_SECONDS)
                frames, status = self.take(), self.status
                yield from frames
                if status.state == "ended" and not frames and not self._queue:
                    break
            if not status.num_frames:
                raise DataError(f"{self.name}: cannot be opened: {status.reason}")
        finally:
            self.close()

    def _run(self) -> None:
        num_failures = 0
        try:
            while not self._closing.is_set():
                before = self._status.num_frames
                reason = self._receive_stream()
                if self._closing.is_set() or not self.reconnect:
                    break
                num_failures = 0 if self._status.num_frames > before else num_failures + 1
                self._set_state("offline", reason)
                self._closing.wait(reconnect_delay(num_failures, random.random()))
            self._set_state("ended", reason if not self._closing.is_set() else "closed")
        except Exception as error:
            logger.exception("%s: stopped", self.name)
            self._set_state("ended", f"{type(error).__name__}: {error}")
        finally:
            self._kill_decoder()

    def _receive_stream(self) -> str:
        """One connection, from its opening to its end; returns why it ended."""
        try:
            if self._decoder is None:
                self._decoder = Decoder()
            self._decoder.open(self.address, sample_fps=self.sample_fps, size=self.size)
            return self._follow(self._decoder)
        except (DecoderEndedError, DataError, OSError) as error:  # OSError: no more processes or descriptors
            self._kill_decoder()
            return str(error)

    def _follow(self, decoder: Decoder) -> str:
        self._timeline.begin_stream()
        heard = seen = time.monotonic()
        next_number = num_decoded = 0
        patience = _STARTING_SECONDS
        while not self._closing.is_set():
            message = decoder.receive(_TURN_SECONDS)
            now = time.monotonic()
            if message is not None:
                heard = now
                if "ended" in message:
                    self._count_missed(message["num_frames"] - next_number)
                    return str(message["ended"])
                if "opening" in message:
                    patience, seen = _SILENT_OPENING_SECONDS, now
                elif "opened" in message:
                    patience, seen = self.offline_seconds, now
                    self._update(fps=message["fps"])
                elif "frame" in message:
                    self._add(decoder, message, num_missed=message["frame"] - next_number)
                    next_number, seen = message["frame"] + 1, now
                elif message["num_decoded"] > num_decoded:  # of which none was taken, with a low sample_fps
                    num_decoded, seen = message["num_decoded"], now
                    self._set_state("online")
            if now - seen > self.offline_seconds and self._status.state == "online":
                self._set_state("offline", f"no frame for {self.offline_seconds:g} s")
            if now - heard > patience or now - seen > max(_HOPELESS * self.offline_seconds, patience):
                raise DecoderEndedError(f"no frame for {now - seen:.0f} s")
        return "closed"

    def _add(self, decoder: Decoder, message: dict[str, Any], *, num_missed: int) -> None:
        pixels = decoder.take_pixels(message)
        self._count_missed(num_missed)
        height, width = message["source_size"]
        index, seconds = self._timeline.place(message["frame"], message["seconds"], message["arrival"], (height, width))
        first_of_stream = self._status.state != "online"
        with self.changed:
            if len(self._queue) >= self.queue_frames:
                self._drop_queue()
            self._queue.append(Frame(pixels, index, seconds))
            status = self._status
            self._status = replace(
                status,
                num_frames=status.num_frames + 1,
                num_damaged=status.num_damaged + message["is_damaged"],
                frame_size=(height, width),
                started=status.started or time.time() - seconds,
                last_frame=time.monotonic(),
            )
            self.changed.notify_all()
        if first_of_stream:
            self._update(num_connections=self._status.num_connections + 1)
            self._set_state("online")

    def _count_missed(self, count: int) -> None:
        """Frames that the decoder left out, because nobody here took the earlier ones."""
        with self.changed:
            status = self._status
            self._status = replace(status, num_frames=status.num_frames + count, num_dropped=status.num_dropped + count)

    def _drop_queue(self) -> None:
        self._status = replace(self._status, num_dropped=self._status.num_dropped + len(self._queue))
        self._queue.clear()

    def _update(self, **changes: Any) -> None:
        with self.changed:
            self._status = replace(self._status, **changes)
            self.changed.notify_all()

    def _set_state(self, state: State, reason: str = "") -> None:
        before = self._status
        self._update(state=state, reason=reason)
        if state == "online" and before.state != "online":
            height, width = before.frame_size or (0, 0)
            logger.info("%s: online, %dx%d, %.4g frames/s", self.name, width, height, self.fps)
        elif state == "offline" and (before.state != state or before.reason != reason):
            logger.warning("%s: offline: %s; trying again", self.name, reason)

    def _kill_decoder(self) -> None:
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.kill()
