"""What several tests need: real footage where it is at hand, small videos and frame folders where it is not."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

settings.register_profile(
    "default",
    deadline=None,
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "60")),
    derandomize="CI" in os.environ,  # CI judges a change, not the luck of the draw; developers search on
)
settings.load_profile("default")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real footage and golden outputs, which stand beside the project and are no part of it."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("needs the reference footage and outputs in ../shared/data")
    return path


@pytest.fixture(scope="session")
def make_frames() -> Callable[..., list[Pixels]]:
    """`make_frames(n, height=64, width=96)`: a red square that moves over a grey pattern whose light changes."""

    def make(num_frames: int, height: int = 64, width: int = 96) -> list[Pixels]:
        coarse = np.random.RandomState(0).randint(60, 200, (height // 8, width // 8, 1))
        pattern = np.kron(coarse, np.ones((8, 8, 3), dtype=int))
        frames = []
        for index in range(num_frames):
            frame = (pattern * (60 + index * 7 % 40) // 100).astype(np.uint8)
            left = index * 2 % (width - 16)
            frame[8:24, left : left + 16] = (255, 0, 0)
            frames.append(frame)
        return frames

    return make


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """`write_video(path, frames, codec="libx264", fps=25, pix_fmt="yuv420p", options={}, format_options={})`."""

    def write(
        path: Path,
        frames: Sequence[Pixels],
        *,
        codec: str = "libx264",
        fps: int = 25,
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        format_options: dict[str, str] | None = None,
    ) -> Path:
        with av.open(str(path), "w", options=format_options or {}) as container:
            stream = container.add_stream(codec, rate=fps, options=options or {})
            assert isinstance(stream, VideoStream)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pix_fmt
            for frame in frames:
                container.mux(stream.encode(VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def make_jpegs(
    tmp_path_factory: pytest.TempPathFactory,
    make_frames: Callable[..., list[Pixels]],
    write_video: Callable[..., Path],
) -> Callable[[int], list[bytes]]:
    """`make_jpegs(n)`: the frames of `make_frames` as JPEG files, as a camera sends them over HTTP."""

    def make(num_frames: int) -> list[bytes]:
        path = tmp_path_factory.mktemp("jpegs") / "clip.avi"
        write_video(path, make_frames(num_frames), codec="mjpeg", pix_fmt="yuvj420p")
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    return make


@pytest.fixture(scope="session")
def write_folder() -> Callable[..., Path]:
    """`write_folder(path, frames, names=None)`: PNG files, `frame_000000.png` and on where no names are given."""

    def write(path: Path, frames: Sequence[Pixels], names: Sequence[str] | None = None) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        for index, frame in enumerate(frames):
            name = names[index] if names is not None else f"frame_{index:06d}.png"
            Image.fromarray(frame).save(path / name)
        return path

    return write


@pytest.fixture(scope="session")
def write_squares() -> Callable[..., Path]:
    """`write_squares(root, num_sequences=6, num_frames=6)`: a data set; in every other sequence a square moves."""

    def write(root: Path, num_sequences: int = 6, num_frames: int = 6) -> Path:
        rows = ["folder_name,type"]
        for number in range(num_sequences):
            folder = root / f"s{number:02d}"
            folder.mkdir(parents=True)
            for index in range(num_frames):
                frame = np.full((64, 64, 3), 60 + 20 * (number % 6), dtype=np.uint8)
                left = 8 * (index % 6) if number % 2 else 16
                frame[20:36, left : left + 16] = 255
                Image.fromarray(frame).save(folder / f"{index:03d}.png")
            rows.append(f"s{number:02d},{'dynamic' if number % 2 else 'static'}")
        (root / "data.csv").write_text("\n".join(rows) + "\n")
        return root

    return write
