"""Videos to folders of numbered frames, with true presentation times.

video              0.00 0.04 0.08 0.12 0.16 0.20        frames of the video, by presentation time
--fps 10            x         x         x               the first one in each tenth of a second
file               _000001   _000002   _000003          numbers leave a gap where a frame does not decode
frames.csv         1,frame_000001.png,0.0,0  2,frame_000002.png,0.12,3  ...
"""

import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from convlstm.atomic import atomic_folder, remove_leftovers
from convlstm.config.toolkits import VideoFrameExtractorConfig
from convlstm.errors import DataError
from convlstm.sources.base import Source
from convlstm.sources.frame_times import FrameTime, frame_times_file
from convlstm.sources.sampling import SampledSource
from convlstm.sources.video import VIDEO_SUFFIXES, VideoSource
from convlstm.toolkits.fitting import fit_frame
from convlstm.toolkits.frame_files import Encoding, FrameWriter
from convlstm.toolkits.inputs import InputFile, find_inputs
from convlstm.toolkits.origin import Origin, finished, state_of, write_origin
from convlstm.toolkits.runner import Outcome, ToolResult, advance, result_of, run_tasks
from convlstm.types import Frame

logger = logging.getLogger(__name__)

TOOL = "video_frame_extractor"

_ENDLESS = 1 << 62  # frames
_TOLERANCE = 0.01  # frames: times are rounded

_DECIDE_PIXELS = ("fps", "every", "start", "end", "size", "fit", "format", "quality")


@dataclass(frozen=True)
class _Settings:
    """Of a run, once the videos are found; `num_threads` encode beside the one that decodes, 0: none do."""

    config: VideoFrameExtractorConfig
    output: Path
    num_threads: int


def run(config: VideoFrameExtractorConfig) -> ToolResult:
    """Extract the frames of all videos; one folder each.

    Raises DataError where a source does not exist or holds no videos.
    """
    assert config.source is not None and config.output is not None
    videos = find_inputs(config.source, VIDEO_SUFFIXES, "videos")
    workers = 1 if config.dry_run else config.workers or os.cpu_count() or 1
    if not config.dry_run:
        remove_leftovers(config.output)
    processes = min(workers, len(videos))
    settings = _Settings(config, config.output, workers // processes if workers > processes else 0)
    num_frames = None if config.dry_run else _count_frames(videos)
    outcomes = run_tasks(
        partial(_extract, settings),
        videos,
        name=lambda video: str(video.path),
        workers=processes,
        description="extracting",
        total=num_frames,
        unit="frames" if num_frames else "videos",
    )
    return result_of(config.output, outcomes)


def _count_frames(videos: Sequence[InputFile]) -> int | None:
    """As far as the files declare them; None where one does not."""
    total = 0
    for video in videos:
        try:
            count = VideoSource(video.path).num_frames
        except DataError:
            continue
        if count is None:
            return None
        total += count
    return total or None


def _extract(settings: _Settings, video: InputFile) -> Outcome:
    config, name = settings.config, str(video.path)
    folder = settings.output / video.name
    plan = _plan(config, video)
    done = finished(folder, plan, overwrite=config.overwrite)
    if done is not None:
        return Outcome(name, {"videos finished before": 1}, done.problem)
    source = VideoSource(video.path, name=name)
    if config.dry_run:
        count = "an unknown number of" if source.num_frames is None else f"{source.num_frames:,}"
        logger.info("%s: %s frames at %.4g frames/s, to %s", name, count, source.fps, folder)
        return Outcome(name, {"videos to extract": 1})
    with atomic_folder(folder) as new:
        origin = _write_frames(new, source, plan, settings)
        write_origin(new, origin)
    return Outcome(name, {"videos": 1, "frames": origin.num_frames}, origin.problem)


def _plan(config: VideoFrameExtractorConfig, video: InputFile) -> Origin:
    settings = {name: value for name, value in asdict(config).items() if name in _DECIDE_PIXELS}
    settings |= {"start": config.start_seconds, "end": config.end_seconds}
    state = state_of(video.path)
    return Origin(TOOL, str(video.path), state, settings, video.group, num_frames=0)


def _write_frames(folder: Path, source: VideoSource, plan: Origin, settings: _Settings) -> Origin:
    """Write frames and their times; returns what came of the plan."""
    config = settings.config
    part = _TimeRange(source, config.start_seconds, config.end_seconds)
    first: FrameTime | None = None
    last: FrameTime | None = None
    encoding = Encoding(config.format, config.quality)
    with FrameWriter(folder, encoding, num_threads=settings.num_threads) as writer, frame_times_file(folder) as add:
        for number, source_index, frame in _choose(part, config):
            pixels = frame.pixels if config.size is None else fit_frame(frame.pixels, config.size, config.fit)
            last = FrameTime(number, writer.write(number, pixels), frame.pts_seconds, source_index)
            first = first or last
            add(last)
    if first is None or last is None:
        begin, end = (0 if seconds is None else seconds for seconds in part.seen)
        raise DataError(
            f"{source.name}: no frame lies between start and end: its frames are at {begin:.3f} to {end:.3f} seconds"
        )
    return replace(
        plan,
        num_frames=writer.num_written,
        fps=_average_rate(first, last, part.fps),
        problem=part.damage.describe(part.num_read) or None,
    )


def _average_rate(first: FrameTime, last: FrameTime, default: float) -> float:
    seconds = last.pts_seconds - first.pts_seconds
    return round((last.frame - first.frame) / seconds, 6) if seconds > 0 else default


def _choose(source: Source, config: VideoFrameExtractorConfig) -> Iterator[tuple[int, int, Frame]]:
    """Number from 1, place in the video, and the frame, of all that are to be written."""
    if config.fps is not None:
        sampled = SampledSource(source, config.fps)
        yield from ((frame.index + 1, sampled.place(frame.index), frame) for frame in sampled)
        return
    step, first = config.every or 1, None
    for frame in source:
        first = frame.index if first is None else first
        steps, rest = divmod(frame.index - first, step)
        if rest == 0:
            yield steps + 1, frame.index, frame


class _TimeRange(Source):
    """The frames of a video from one presentation time on to before another; each that is decoded counts as progress.

    `damage` is that of the part. `seen` are the times of the first and the last frame that were decoded.
    """

    def __init__(self, source: VideoSource, start_seconds: float | None, end_seconds: float | None) -> None:
        super().__init__(source.name)
        self.source = source
        self.start_seconds = -math.inf if start_seconds is None else start_seconds
        self.end_seconds = math.inf if end_seconds is None else end_seconds
        self.seen: tuple[float | None, float | None] = (None, None)
        self.num_read = 0

    @property
    def num_frames(self) -> int | None:
        """Nobody knows before all are decoded."""
        return None

    @property
    def fps(self) -> float:
        """That of the whole."""
        return self.source.fps

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the start of the video."""
        lost = self.source.damage.unreadable
        begin, counted, num_concealed = 0, 0, 0
        last_seconds: float | None = None
        for frame in self.source:
            advance()
            seconds = frame.pts_seconds
            self.seen = (seconds if self.seen[0] is None else self.seen[0], seconds)
            is_concealed = self.source.damage.num_concealed > num_concealed
            num_concealed = self.source.damage.num_concealed
            if seconds >= self.end_seconds:
                break
            if seconds < self.start_seconds:
                begin = counted = len(lost)
                continue
            if self.num_read == 0:  # of what was lost since the frame before, only what lies in the range
                begin = max(begin, len(lost) - self._num_between(self.start_seconds, seconds))
            counted, last_seconds = len(lost), seconds
            self.num_read += 1
            self.damage.num_concealed += is_concealed
            yield frame
        if last_seconds is not None:
            counted = min(len(lost), counted + self._num_between(last_seconds, self.end_seconds, is_inclusive=False))
        self.damage.unreadable[:] = lost[begin:counted]

    def _num_between(self, first: float, last: float, *, is_inclusive: bool = True) -> int:
        """How many frames lie after the one at `first`, up to `last`, with or without one at `last`."""
        if math.isinf(last - first):
            return _ENDLESS
        steps = (last - first) * self.fps
        return math.floor(steps + _TOLERANCE) if is_inclusive else max(0, math.ceil(steps - _TOLERANCE) - 1)
