"""How many live streams one process keeps up with, tried in real time.

Each stream decodes the clip over and over in a thread of its own; frames fall due at its frame rate. The engine takes
what waits of all streams together, as in watching cameras. What the network costs, and the processes that decode there,
is left out.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

from convlstm.clips import resize_frame
from convlstm.inference.predictor import Predictor
from convlstm.inference.stream import FRAMES_PER_CALL, process_streams
from convlstm.sources.ahead import read_ahead
from convlstm.sources.video import VideoSource
from convlstm.types import Frame

logger = logging.getLogger(__name__)

LARGEST_LAG_SECONDS = 0.5
"""A stream whose frames wait longer does not keep up."""

FEWER = 0.9
"""Where so many streams do not keep up, this share of them is tried next."""

MAX_RAISES = 3
"""How often a quarter more streams are tried where so many keep up."""


def streams_that_keep_up(predictor: Predictor, clip: Path, fps: float, guess: int, seconds: float) -> int:
    """How many streams were tried with success, each attempt lasting so many seconds; near the most that keep up.

    Goes up from `guess` while they keep up, a few times at most, else down to the first number that does.
    """

    def succeeds(number: int) -> bool:
        logger.info("trying %d streams at %g frames/s", number, fps)
        return keeps_up(predictor, clip, number, fps, seconds)

    number = max(1, guess)
    if succeeds(number):
        for _ in range(MAX_RAISES):
            more = number + max(1, number // 4)
            if not succeeds(more):
                break
            number = more
        return number
    while number > 1:
        number = min(number - 1, int(number * FEWER))
        if succeeds(number):
            return number
    return 0


def keeps_up(predictor: Predictor, clip: Path, num_streams: int, fps: float, seconds: float) -> bool:
    """Whether no frame of any stream waits for longer than LARGEST_LAG_SECONDS."""
    with ExitStack() as stack:
        cameras = [
            stack.enter_context(closing(read_ahead(_endless(clip, predictor.checkpoint.target_size), limit=2)))
            for _ in range(num_streams)
        ]
        streams = [predictor.stream() for _ in cameras]
        process_streams([(stream, [next(camera)]) for stream, camera in zip(streams, cameras, strict=True)])  # warm-up
        num_done = [0] * num_streams
        started = time.perf_counter()
        while (now := time.perf_counter() - started) < seconds:
            # The streams' frames fall due one after another, not all at once.
            due = [max(0, int(now * fps - i / num_streams + 1) - num_done[i]) for i in range(num_streams)]
            oldest = max((now - (num_done[i] + i / num_streams) / fps for i in range(num_streams) if due[i]), default=0)
            if oldest > LARGEST_LAG_SECONDS:
                return False
            if not any(due):
                time.sleep(0.1 / fps / num_streams)
                continue
            taken = [min(waiting, FRAMES_PER_CALL) for waiting in due]
            work = [
                (stream, [next(camera) for _ in range(number)])
                for stream, camera, number in zip(streams, cameras, taken, strict=True)
            ]
            process_streams([(stream, frames) for stream, frames in work if frames])
            num_done = [done + number for done, number in zip(num_done, taken, strict=True)]
        return True


def _endless(clip: Path, size: tuple[int, int]) -> Iterator[Frame]:
    """Resized frames of a clip that begins again and again, numbered without a gap."""
    numbers = count()
    while True:
        for frame in VideoSource(clip):
            yield Frame(resize_frame(frame.pixels, size), next(numbers), frame.pts_seconds)
