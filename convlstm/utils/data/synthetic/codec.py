"""What recording leaves of frames: real encoders, run in memory."""

import io
from dataclasses import dataclass

import av
import cv2
import numpy as np

from convlstm.types import UInt8Array


@dataclass(frozen=True)
class Codec:
    """`name` of an encoder, jpeg, h264 or mpeg4, or "" for none.

    `quality`: JPEG quality, constant rate factor, or quantiser; `key_interval`: frames from one key frame to the next;
    `preset`: how much effort h264 takes.
    """

    name: str = ""
    quality: int = 0
    key_interval: int = 12
    preset: str = "ultrafast"

    @classmethod
    def sample(cls, rng: np.random.Generator, *, is_strong: bool) -> "Codec":
        """A random one; `is_strong`: as cheap cameras compress."""
        name = str(rng.choice(["h264", "mpeg4", "jpeg"], p=[0.6, 0.2, 0.2]))
        ranges = {"h264": ((18, 27), (27, 40)), "mpeg4": ((2, 5), (5, 16)), "jpeg": ((80, 96), (25, 80))}
        low, high = ranges[name][int(is_strong)]
        key_interval, preset = int(rng.choice([6, 12, 25, 50, 250])), str(rng.choice(["ultrafast", "veryfast"]))
        return cls(name, int(rng.integers(low, high)), key_interval, preset)

    def record(self, frames: list[UInt8Array]) -> list[UInt8Array]:
        """The frames (H, W, 3) as they come back. H and W must be even for h264 and mpeg4."""
        if not self.name:
            return frames
        if self.name == "jpeg":
            return [_jpeg(frame, self.quality) for frame in frames]
        return _video(frames, self)


def _jpeg(frame: UInt8Array, quality: int) -> UInt8Array:
    _, coded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)


def _video(frames: list[UInt8Array], codec: Codec) -> list[UInt8Array]:
    height, width = frames[0].shape[:2]
    file = io.BytesIO()
    if codec.name == "mpeg4":
        options = {"qmin": str(codec.quality), "qmax": str(codec.quality)}
    else:
        options = {"crf": str(codec.quality), "preset": codec.preset, "tune": "zerolatency"}
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream({"h264": "libx264"}.get(codec.name, codec.name), rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = codec.key_interval
        stream.codec_context.thread_count = 1
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        output.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as recorded:
        recorded.streams.video[0].codec_context.thread_count = 1
        return [np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8) for frame in recorded.decode(video=0)]
