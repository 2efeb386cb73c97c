import random
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from convlstm.errors import DataError
from convlstm.sources.video import VideoSource
from convlstm.types import Frame

Pixels = NDArray[np.uint8]
MakeFrames = Callable[..., list[Pixels]]
WriteVideo = Callable[..., Path]

B_FRAMES = {"bf": "3", "g": "12"}
KINDS = [
    ("b_frames.mp4", {"options": B_FRAMES}),
    ("open_gop.mp4", {"options": {**B_FRAMES, "x264-params": "open-gop=1"}}),
    ("b_frames.mkv", {"options": B_FRAMES}),
    ("b_frames.ts", {"options": B_FRAMES}),
    ("plain.avi", {"codec": "mpeg4"}),
    ("b_frames.avi", {"codec": "mpeg4", "options": {"bf": "2", "g": "12"}}),
    ("old.mpg", {"codec": "mpeg1video", "options": {"bf": "2"}}),
    ("alternate_references.webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}),
    ("animated.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
]
JPEGS = {"codec": "mjpeg", "pix_fmt": "yuvj420p"}


def packet_places(path: Path) -> list[tuple[int, int]]:
    """Offset and size of every video packet in the file, in decoding order."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
        return [(p.pos, p.size) for p in packets if p.pos is not None]


def wipe_packets(path: Path, *numbers: int) -> None:
    data = bytearray(path.read_bytes())
    places = packet_places(path)
    for number in numbers:
        position, size = places[number]
        data[position : position + size] = bytes(size)
    path.write_bytes(data)


def decode(path: Path) -> tuple[VideoSource, list[Frame]]:
    source = VideoSource(path)
    return source, list(source)


@pytest.mark.parametrize(("name", "how"), KINDS)
def test_count_order_and_times_are_those_of_the_file(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo, name: str, how: dict[str, object]
) -> None:
    source, frames = decode(write_video(tmp_path / name, make_frames(40), **how))
    assert source.fps == pytest.approx(25)
    assert source.num_frames in (40, None)
    assert source.runs == [range(40)]
    assert [frame.index for frame in frames] == list(range(40))
    steps = np.diff([frame.pts_seconds for frame in frames])
    np.testing.assert_allclose(steps, 0.04, atol=0.002)
    assert not source.damage.is_incomplete and source.damage.describe(40) == ""


@pytest.mark.parametrize(("name", "how"), KINDS)
def test_any_window_reads_as_it_decodes_in_sequence(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo, name: str, how: dict[str, object]
) -> None:
    source, frames = decode(write_video(tmp_path / name, make_frames(60), **how))
    generator = random.Random(0)
    windows = [sorted(generator.choices(range(60), k=5)) for _ in range(4)]
    windows += [list(range(start, start + 10)) for start in (0, 23, 24, 25, 50)]
    for window in windows:
        for index, pixels in zip(window, source.read(window), strict=True):
            np.testing.assert_array_equal(pixels, frames[index].pixels, err_msg=f"frame {index} of {window}")


def test_h264_with_b_frames_in_avi(tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo) -> None:
    source, frames = decode(write_video(tmp_path / "b.avi", make_frames(40), options=B_FRAMES))
    assert [frame.index for frame in frames] == list(range(40))
    assert not source.damage.is_incomplete
    for pixels, index in zip(source.read([7, 8, 9]), [7, 8, 9], strict=True):
        np.testing.assert_array_equal(pixels, frames[index].pixels)


def test_frames_show_what_was_written(tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo) -> None:
    written = make_frames(20)
    _, frames = decode(write_video(tmp_path / "a.mp4", written, options={**B_FRAMES, "crf": "1"}, pix_fmt="yuv444p"))
    for frame, pixels in zip(frames, written, strict=True):
        assert np.abs(frame.pixels.astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("name", ["jpegs.avi", "jpegs.mp4"])
@pytest.mark.parametrize("lost", [(0,), (0, 1, 2), (1,), (13, 14), (29,)])
def test_lost_frames_are_named_and_leave_index_gaps(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo, name: str, lost: tuple[int, ...]
) -> None:
    path = write_video(tmp_path / name, make_frames(30), **JPEGS)
    wipe_packets(path, *lost)
    source, frames = decode(path)
    assert [frame.index for frame in frames] == [index for index in range(30) if index not in lost]
    np.testing.assert_allclose([f.pts_seconds for f in frames], [f.index / 25 for f in frames], atol=0.002)
    assert source.damage.unreadable == [f"frame {index}" for index in lost]
    assert source.damage.is_incomplete
    expected = f"decoded {30 - len(lost)} of 30 frames; unreadable: "
    assert source.damage.describe(len(frames)).startswith(expected)


def test_reading_a_lost_frame_names_it_and_its_neighbours_read(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo
) -> None:
    path = write_video(tmp_path / "jpegs.avi", make_frames(30), **JPEGS)
    wipe_packets(path, 0, 13)
    source, frames = decode(path)
    by_index = {frame.index: frame.pixels for frame in frames}
    for window in ([12, 14], [1, 2], [14, 15, 16]):
        for index, pixels in zip(window, source.read(window), strict=True):
            np.testing.assert_array_equal(pixels, by_index[index])
    with pytest.raises(DataError, match=r"jpegs\.avi: frame 13 does not decode"):
        source.read([12, 13, 14])


def test_a_damaged_key_frame_of_an_mp4_is_named_up_to_the_next(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo
) -> None:
    path = write_video(tmp_path / "damaged.mp4", make_frames(60), options=B_FRAMES)
    wipe_packets(path, 0)
    source, frames = decode(path)
    assert [frame.index for frame in frames] == list(range(12, 60))
    assert frames[0].pts_seconds == pytest.approx(0.48)
    assert source.damage.describe(48) == (
        "decoded 48 of 60 frames; unreadable: frame 0, frame 1, frame 2, frame 3, frame 4 and 7 more"
    )


@pytest.mark.parametrize("seed", range(6))
def test_random_damage_never_raises_and_always_shows(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo, seed: int
) -> None:
    path = write_video(tmp_path / "damaged.mp4", make_frames(60), options=B_FRAMES)
    wipe_packets(path, *random.Random(seed).sample(range(60), 6))
    source, frames = decode(path)
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices)) and indices[-1] < 60
    assert source.damage.is_incomplete
    assert len(frames) + len(source.damage.unreadable) == 60
    assert {f"frame {index}" for index in range(60)} - {f"frame {i}" for i in indices} == set(source.damage.unreadable)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("cut.avi", {"codec": "mpeg4"}),
        ("jpegs.avi", JPEGS),
        ("cut.mp4", {"options": B_FRAMES, "format_options": {"movflags": "faststart"}}),
    ],
)
def test_a_cut_file_is_decoded_as_far_as_it_goes(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo, name: str, how: dict[str, object]
) -> None:
    path = write_video(tmp_path / name, make_frames(60), **how)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    source, frames = decode(path)
    assert 5 < len(frames) < 60
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert len(source.damage.unreadable) == 60 - len(frames)
    assert source.damage.describe(len(frames)).startswith(f"decoded {len(frames)} of 60 frames; unreadable: ")


def test_a_cut_mkv_is_named(tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "cut.mkv", make_frames(60), options=B_FRAMES)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    source, frames = decode(path)
    assert 5 < len(frames) < 60
    assert source.damage.is_incomplete


def test_an_mp4_cut_before_its_index_cannot_be_opened(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo
) -> None:
    path = write_video(tmp_path / "cut.mp4", make_frames(60))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"cut\.mp4: cannot be opened as a video: Invalid data found"):
        VideoSource(path)


def test_a_video_without_one_good_frame(tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "bad.avi", make_frames(12), **JPEGS)
    wipe_packets(path, *range(12))
    with pytest.raises(DataError, match=r"bad\.avi: no frame could be decoded"):
        list(VideoSource(path))


def test_a_second_pass_counts_damage_anew(tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "jpegs.avi", make_frames(12), **JPEGS)
    wipe_packets(path, 3)
    source, frames = decode(path)
    assert [frame.index for frame in source] == [frame.index for frame in frames]
    assert source.damage.unreadable == ["frame 3"]


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        samples = AudioFrame.from_ndarray(np.zeros((1, 8000), dtype=np.float32), format="fltp", layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))
        container.mux(stream.encode())
    return path


def test_what_is_no_video_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("text.mp4", "empty.mp4"):
        with pytest.raises(DataError, match=f"{name}: cannot be opened as a video: Invalid data found"):
            VideoSource(tmp_path / name)
    with pytest.raises(DataError, match=r"none\.mp4: cannot be opened as a video: No such file or directory"):
        VideoSource(tmp_path / "none.mp4")
    with pytest.raises(DataError, match=r"sound\.m4a: holds no video stream"):
        VideoSource(write_sound(tmp_path / "sound.m4a"))


def turn(path: Path, degrees: int) -> None:
    """Write a display matrix into the track header of an MP4: shown turned clockwise by `degrees`."""
    one = 1 << 16
    a, b, c, d = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version and flags, times and ids, reserved, layer to volume
    assert struct.unpack_from(">9i", data, matrix) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, matrix, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_recordings_are_shown_upright(tmp_path: Path, write_video: WriteVideo, degrees: int) -> None:
    pixels = np.zeros((64, 96, 3), dtype=np.uint8)
    pixels[:32, :48] = (255, 0, 0)  # top left
    path = write_video(tmp_path / "turned.mp4", [pixels] * 5)
    turn(path, degrees)
    source, frames = decode(path)
    expected = np.rot90(pixels, -degrees // 90)
    assert frames[0].pixels.shape == expected.shape
    assert np.abs(frames[0].pixels.astype(int) - expected).mean() < 8
    np.testing.assert_array_equal(source.read([0])[0], frames[0].pixels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "num_frames", "fps"),
    [
        ("dev/traffic-camera.mp4", 576, 25),
        ("dev/road-overhead.avi", 374, 30),
        ("dev/photo-slideshow.mp4", 720, 29.97),
        ("dev/crowd-overhead.mp4", 341, 25),
        ("train/bottle-detection.mp4", 1189, 29.8),
        ("train/car-detection.mp4", 377, 12.5),
        ("train/dog-eating.mp4", 345, 25),
    ],
)
def test_real_footage_decodes_wholly(shared_data: Path, name: str, num_frames: int, fps: float) -> None:
    source = VideoSource(shared_data / "real" / name)
    times, index = [], -1
    for index, frame in enumerate(source):
        assert frame.index == index
        times.append(frame.pts_seconds)
    assert index + 1 == num_frames
    assert times == sorted(set(times))
    assert source.fps == pytest.approx(fps, rel=0.01)
    assert not source.damage.is_incomplete and source.damage.describe(num_frames) == ""
    assert source.runs == [range(num_frames)]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["*.gif", "gestures/*.mkv"])
def test_real_gifs_and_mkvs_decode_wholly(shared_data: Path, pattern: str) -> None:
    paths = sorted((shared_data / "real" / "train").glob(pattern))
    assert paths
    for path in paths:
        source, frames = decode(path)
        assert [frame.index for frame in frames] == list(range(len(source.runs[0])))
        assert not source.damage.is_incomplete, source.damage.describe(len(frames))
        window = [len(frames) // 2, len(frames) - 1]
        for index, pixels in zip(window, source.read(window), strict=True):
            np.testing.assert_array_equal(pixels, frames[index].pixels)
