"""A video file as a source, decoded by PyAV, with true presentation times."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource
from convlstm.types import Frame, UInt8Array

WEB_TIMEOUT_SECONDS = 30.0
"""A web server that sends nothing for so long has broken off."""

VIDEO_SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".m2ts",
        ".mts",
        ".wmv",
        ".flv",
        ".3gp",
        ".gif",
    }
)


class VideoSource(SeekableSource):
    """Frames of a video file, on disk or on a web server (`http://host/clip.mp4`).

    Frames that do not decode are named in `damage` and leave a gap in `index`: a frame's index is its place among the
    packets of the file, in order of presentation.
    """

    def __init__(self, path: Path | str, *, name: str | None = None) -> None:
        super().__init__(name or str(path))
        self.path = path
        self._timeout = None if isinstance(path, Path) else WEB_TIMEOUT_SECONDS
        with self._open() as container:
            stream = container.streams.video[0]
            self._fps = float(stream.average_rate or stream.guessed_rate or 25)
            self._declared_frames = stream.frames
            # AVI keeps decoding times only, which tell nothing where frames are shown in another order.
            self.has_true_pts = container.format.name != "avi" or not stream.codec_context.has_b_frames
        self._pts: list[int] | None = None

    @property
    def num_frames(self) -> int | None:
        """As the file declares; None where it does not say."""
        return self._declared_frames or None

    @property
    def fps(self) -> float:
        """Average frame rate."""
        return self._fps

    @property
    def runs(self) -> list[range]:
        """One stretch: what a video file lacks shows only when it is decoded."""
        return [range(len(self._frame_pts()))]

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the start to the end."""
        self.damage.unreadable.clear()
        self.damage.num_concealed = 0
        with self._open() as container:
            yield from _Decoding(self, container)

    def read(self, indices: Sequence[int]) -> list[UInt8Array]:
        """Decode from the key frame before the first of the increasing `indices`."""
        if not self.has_true_pts:
            return self._read_from_start(indices)
        all_pts = self._frame_pts()
        wanted = {all_pts[index] for index in indices}
        pixels = self._decode_wanted(wanted, seek=True)
        if pixels.keys() != wanted:  # some files have no usable index of key frames
            pixels = self._decode_wanted(wanted, seek=False)
        missing = [index for index in indices if all_pts[index] not in pixels]
        if missing:
            raise DataError(f"{self.name}: frame {missing[0]} does not decode")
        return [pixels[all_pts[index]] for index in indices]

    def _read_from_start(self, indices: Sequence[int]) -> list[UInt8Array]:
        pixels: dict[int, UInt8Array] = {}
        for frame in self:
            if frame.index in indices:
                pixels[frame.index] = frame.pixels
            if frame.index >= indices[-1]:
                break
        missing = [index for index in indices if index not in pixels]
        if missing:
            raise DataError(f"{self.name}: frame {missing[0]} does not decode")
        return [pixels[index] for index in indices]

    def _decode_wanted(self, wanted: set[int], *, seek: bool) -> dict[int, UInt8Array]:
        pixels: dict[int, UInt8Array] = {}
        with self._open() as container:
            stream = container.streams.video[0]
            if seek and min(wanted) > 0 and container.format.name != "mpeg":  # after a seek its times are guesses
                container.seek(min(wanted), stream=stream, backward=True)
            for frame in _decode(container, stream):
                if frame.pts in wanted and not frame.is_corrupt:
                    pixels[frame.pts] = to_rgb(frame)
                if len(pixels) == len(wanted) or (frame.pts or 0) > max(wanted):
                    break
        return pixels

    def _frame_pts(self) -> list[int]:
        """Presentation times of all packets, in the stream's time base, in order; read without decoding."""
        if self._pts is None:
            with self._open() as container:
                packets = container.demux(container.streams.video[0])
                self._pts = sorted({p.pts for p in packets if p.pts is not None and not p.is_discard})
            if not self._pts:
                raise DataError(f"{self.name}: no frames with a presentation time")
        return self._pts

    def _open(self) -> InputContainer:
        try:
            container = av.open(str(self.path), metadata_errors="replace", timeout=self._timeout)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error).replace(str(self.path), self.name)
            raise DataError(f"{self.name}: cannot be opened as a video: {reason}") from error
        if not container.streams.video:
            container.close()
            raise DataError(f"{self.name}: holds no video stream")
        container.streams.video[0].thread_type = "AUTO"
        return container


class _Decoding:
    """One pass over a video: pairs packets with frames, so that a lost frame is known by its place."""

    def __init__(self, source: VideoSource, container: InputContainer) -> None:
        self.source = source
        self.container = container
        self.stream = container.streams.video[0]
        self.pending_pts: list[int] = []
        self.lost_pts: set[int] = set()
        self.num_packets = 0
        self.num_discarded = 0
        self.end_seconds = 0.0
        self.last_pts: int | None = None
        self.index = -1

    def __iter__(self) -> Iterator[Frame]:
        for frame in _decode(self.container, self.stream, on_packet=self._note_packet):
            if frame.pts in self.lost_pts:  # after damage, decoders hand out frames when later ones are shown already
                continue
            self._advance(frame)
            self.source.damage.num_concealed += frame.is_corrupt
            seconds = frame.time if frame.time is not None else self.index / self.source.fps
            yield Frame(to_rgb(frame), self.index, seconds)
        self._lose(self.index + 1, len(self.pending_pts) + self._num_cut_off())
        if self.index < 0:
            raise DataError(f"{self.source.name}: no frame could be decoded")

    def _num_cut_off(self) -> int:
        """How many frames the file promises beyond its last packet, by count or, where it has none, by duration."""
        if self.source.num_frames is not None:
            return max(0, self.source.num_frames - self.num_discarded - self.num_packets)
        num_missing = (_declared_seconds(self.stream) - self.end_seconds) * self.source.fps
        return round(num_missing) if num_missing > 1.5 and self.num_packets else 0

    def _note_packet(self, packet: av.Packet[VideoStream]) -> None:
        if packet.is_discard:
            self.num_discarded += 1
        elif packet.size:
            self.num_packets += 1
            if packet.pts is not None:
                end = packet.pts + (packet.duration or 0)
                self.end_seconds = max(self.end_seconds, float(end * (packet.time_base or 0)))
            if packet.pts is not None and self.source.has_true_pts:
                heapq.heappush(self.pending_pts, packet.pts)

    def _advance(self, frame: VideoFrame) -> None:
        skipped = []
        while frame.pts is not None and self.pending_pts and self.pending_pts[0] <= frame.pts:
            pts = heapq.heappop(self.pending_pts)
            if pts < frame.pts:
                skipped.append(pts)
        if self.last_pts is None or self._is_late(frame):
            self._lose(self.index + 1, len(skipped))
            self.lost_pts.update(skipped)
            self.index += len(skipped)
        self.index += 1
        self.last_pts = frame.pts

    def _is_late(self, frame: VideoFrame) -> bool:
        """Whether time is missing before `frame`; packets that show nothing (VP8 alternate references) leave none."""
        if frame.pts is None or self.last_pts is None or frame.time_base is None:
            return False
        return float((frame.pts - self.last_pts) * frame.time_base) * self.source.fps > 1.5

    def _lose(self, first: int, count: int) -> None:
        self.source.damage.unreadable.extend(f"frame {index}" for index in range(first, first + count))


def _decode(
    container: InputContainer, stream: VideoStream, on_packet: Callable[[av.Packet[VideoStream]], None] | None = None
) -> Iterator[VideoFrame]:
    """Decode on, past every packet that fails."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the container breaks off here: what was read stays
            return
        if packet is None:
            return
        if on_packet is not None:
            on_packet(packet)
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def _declared_seconds(stream: VideoStream) -> float:
    """Duration as Matroska notes it per track, "00:00:02.400000000"; 0 where it does not."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0


def to_rgb(frame: VideoFrame) -> UInt8Array:
    """RGB pixels (H, W, 3), turned upright where the file says so."""
    pixels = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    quarter_turns = round((frame.rotation or 0) / 90) % 4
    if quarter_turns:
        pixels = np.ascontiguousarray(np.rot90(pixels, quarter_turns))
    return pixels
