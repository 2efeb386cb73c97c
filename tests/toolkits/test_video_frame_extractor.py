"""Frames of videos as files: which ones, when they were shown, and what becomes of damage."""

import csv
import json
import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from convlstm.cli import main
from convlstm.config.toolkits import VideoFrameExtractorConfig
from convlstm.errors import DataError
from convlstm.sources.images import read_image
from convlstm.sources.open import open_source
from convlstm.sources.video import VideoSource
from convlstm.toolkits.origin import read_origin
from convlstm.toolkits.runner import ToolResult
from convlstm.toolkits.video_frame_extractor import run
from tests.sources.test_video import JPEGS, packet_places, wipe_packets

Pixels = NDArray[np.uint8]
MakeFrames = Callable[..., list[Pixels]]
WriteVideo = Callable[..., Path]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_frames: MakeFrames, write_video: WriteVideo) -> Path:
    """50 frames, 25 a second, each of another shade of grey beside the moving square."""
    return write_video(tmp_path_factory.mktemp("videos") / "clip.mp4", make_frames(50), options={"bf": "2", "g": "10"})


def extract(source: Path | list[Path], output: Path, **settings: Any) -> ToolResult:
    sources = source if isinstance(source, list) else [source]
    names = tuple(str(path) for path in sources)
    return run(VideoFrameExtractorConfig(source=names, output=output, **{"workers": 1, **settings}))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "frames.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def indices(folder: Path) -> list[int]:
    return [int(row["source_index"]) for row in rows(folder)]


def numbers(folder: Path) -> list[int]:
    found = [int(row["frame"]) for row in rows(folder)]
    assert [row["file"] for row in rows(folder)] == sorted(path.name for path in folder.glob("frame_*"))
    assert [int(Path(row["file"]).stem.removeprefix("frame_")) for row in rows(folder)] == found
    return found


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_every_frame_with_its_time(tmp_path: Path, clip: Path) -> None:
    result = extract(clip, tmp_path)
    assert (result.summary, result.exit_code, result.output) == ("videos: 1, frames: 50", 0, tmp_path)
    frames = list(VideoSource(clip))
    assert numbers(tmp_path / "clip") == list(range(1, 51)) and indices(tmp_path / "clip") == list(range(50))
    assert [float(row["pts_seconds"]) for row in rows(tmp_path / "clip")] == [frame.pts_seconds for frame in frames]
    for number in (1, 17, 50):
        pixels = read_image(tmp_path / "clip" / f"frame_{number:06d}.png")
        np.testing.assert_array_equal(pixels, frames[number - 1].pixels)
    origin = read_origin(tmp_path / "clip")
    assert origin is not None
    assert (origin.tool, origin.group, origin.fps, origin.num_frames) == ("video_frame_extractor", "clip", 25.0, 50)
    assert origin.problem is None and sorted(path.name for path in tmp_path.iterdir()) == ["clip"]


def test_the_folder_and_the_video_are_the_same_source(tmp_path: Path, clip: Path) -> None:
    extract(clip, tmp_path)
    video, folder = VideoSource(clip), open_source(tmp_path / "clip", fps=3)
    assert folder.fps == pytest.approx(video.fps)
    for a, b in zip(video, folder, strict=True):
        assert (a.index, a.pts_seconds) == (b.index, b.pts_seconds)
        np.testing.assert_array_equal(a.pixels, b.pixels)


def test_at_most_so_many_frames_a_second(tmp_path: Path, clip: Path) -> None:
    extract(clip, tmp_path, fps=10.0)
    assert indices(tmp_path / "clip")[:5] == [0, 3, 5, 8, 10] and numbers(tmp_path / "clip") == list(range(1, 21))
    origin = read_origin(tmp_path / "clip")
    assert origin is not None and origin.fps == pytest.approx(10, abs=0.2)
    assert extract(clip, tmp_path / "all", fps=60.0).summary == "videos: 1, frames: 50"


def test_every_so_many_th_frame(tmp_path: Path, clip: Path) -> None:
    extract(clip, tmp_path, every=7)
    assert indices(tmp_path / "clip") == list(range(0, 50, 7)) and numbers(tmp_path / "clip") == list(range(1, 9))
    origin = read_origin(tmp_path / "clip")
    assert origin is not None and origin.fps == pytest.approx(25 / 7, rel=1e-4)


def test_start_and_end_are_times_of_the_video(tmp_path: Path, clip: Path) -> None:
    extract(clip, tmp_path, start="0:00:00.4", end="1")
    assert indices(tmp_path / "clip") == list(range(10, 25)) and numbers(tmp_path / "clip") == list(range(1, 16))
    extract(clip, tmp_path / "later", start="1.9", every=2)
    assert indices(tmp_path / "later" / "clip") == [48] and numbers(tmp_path / "later" / "clip") == [1]
    extract(clip, tmp_path / "both", start="0.2", end="1", fps=5.0)
    assert indices(tmp_path / "both" / "clip") == [5, 10, 15, 20]
    result = extract(clip, tmp_path / "none", start="2")
    expected = "clip.mp4: no frame lies between start and end: its frames are at 0.000 to 1.960 seconds"
    assert result.left_out[0].endswith(expected) and result.exit_code == 3
    assert list((tmp_path / "none").iterdir()) == []


@settings(max_examples=15)
@given(start=st.floats(0, 2), length=st.floats(0.01, 2), every=st.integers(1, 9))
def test_any_part_is_what_the_times_say(
    clip: Path, tmp_path_factory: pytest.TempPathFactory, start: float, length: float, every: int
) -> None:
    times = [index / 25 for index in range(50)]
    start_text, end_text = f"{start:.3f}", f"{start + length:.3f}"
    wanted = [i for i, t in enumerate(times) if float(start_text) <= t < float(end_text)][::every]
    output = tmp_path_factory.mktemp("part")
    result = extract(clip, output, start=start_text, end=end_text, every=every, format="jpg")
    assert (result.exit_code == 0) == bool(wanted)
    if wanted:
        assert indices(output / "clip") == wanted
        assert numbers(output / "clip") == list(range(1, len(wanted) + 1))


def test_size_and_fit(tmp_path: Path, clip: Path) -> None:
    extract(clip, tmp_path, size=(60, 60), every=25)  # of 64x96: bars of 10 rows
    pixels = read_image(tmp_path / "clip" / "frame_000002.png")
    assert pixels.shape == (60, 60, 3) and not pixels[:10].any() and not pixels[50:].any() and pixels[10:50].any()
    extract(clip, tmp_path / "crop", size=(60, 60), fit="crop", every=25)
    assert read_image(tmp_path / "crop" / "clip" / "frame_000002.png")[:10].any()


def test_jpg_of_a_quality(tmp_path: Path, clip: Path) -> None:
    extract(clip, tmp_path / "good", format="jpg", every=25)
    extract(clip, tmp_path / "bad", format="jpg", quality=20, every=25)
    sizes = [(tmp_path / name / "clip" / "frame_000001.jpg").stat().st_size for name in ("good", "bad")]
    assert sizes[0] > 1.2 * sizes[1] and numbers(tmp_path / "bad" / "clip") == [1, 2]


def variable_rate(path: Path, times: list[float], frames: list[Pixels]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for seconds, pixels in zip(times, frames, strict=True):
            frame = VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_times_of_a_variable_rate_stay_true(tmp_path: Path, make_frames: MakeFrames) -> None:
    times = [0.0, 0.04, 0.05, 0.3, 0.31, 0.32, 0.9, 1.0, 1.013, 1.5]
    video = variable_rate(tmp_path / "phone.mkv", times, make_frames(10))
    extract(video, tmp_path / "all")
    assert [float(row["pts_seconds"]) for row in rows(tmp_path / "all" / "phone")] == pytest.approx(times)
    assert [frame.pts_seconds for frame in open_source(tmp_path / "all" / "phone")] == pytest.approx(times)
    extract(video, tmp_path / "some", fps=5.0)
    assert indices(tmp_path / "some" / "phone") == [0, 3, 6, 7, 9]
    assert numbers(tmp_path / "some" / "phone") == [1, 2, 3, 4, 5]


def test_a_rotated_video_stands_upright(tmp_path: Path, clip: Path) -> None:
    turned = tmp_path / "turned.mp4"
    with av.open(str(clip)) as container, av.open(str(turned), "w") as copy:
        stream = container.streams.video[0]
        target = copy.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.dts is not None:
                packet.stream = target
                copy.mux(packet)
    data = turned.read_bytes()
    upright = b"".join(n.to_bytes(4, "big") for n in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
    quarter = b"".join(n.to_bytes(4, "big", signed=True) for n in (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30))
    track = data.index(b"tkhd")
    place = data.index(upright, track)
    turned.write_bytes(data[:place] + quarter + data[place + len(quarter) :])
    extract(turned, tmp_path / "out", every=25)
    pixels = read_image(tmp_path / "out" / "turned" / "frame_000001.png")
    flat = next(iter(VideoSource(clip))).pixels
    assert pixels.shape == (96, 64, 3)
    np.testing.assert_array_equal(pixels, np.rot90(flat, -1))


def test_lost_frames_are_counted_and_leave_gaps(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo
) -> None:
    video = write_video(tmp_path / "jpegs.avi", make_frames(30), **JPEGS)
    wipe_packets(video, 4, 5, 20)
    result = extract(video, tmp_path / "out")
    expected = f"{video}: decoded 27 of 30 frames; unreadable: frame 4, frame 5, frame 20"
    assert result.left_out == (expected,) and result.exit_code == 3
    assert result.summary == "videos: 1, frames: 27, with problems: 1"
    left = [index for index in range(30) if index not in (4, 5, 20)]
    assert indices(tmp_path / "out" / "jpegs") == left
    assert numbers(tmp_path / "out" / "jpegs") == [index + 1 for index in left]
    assert open_source(tmp_path / "out" / "jpegs").runs == [range(4), range(6, 20), range(21, 30)]
    again = extract(video, tmp_path / "out")  # it is told again, not done again
    assert again.left_out == (expected,) and again.summary == "videos finished before: 1, with problems: 1"
    every = extract(video, tmp_path / "every", every=5)
    assert numbers(tmp_path / "every" / "jpegs") == [1, 3, 4, 6] and every.exit_code == 3
    extract(video, tmp_path / "fps", fps=25.0)
    assert open_source(tmp_path / "fps" / "jpegs").runs[0] == range(4)


def test_only_damage_inside_the_part_counts(tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo) -> None:
    video = write_video(tmp_path / "jpegs.avi", make_frames(30), **JPEGS)
    wipe_packets(video, 4, 5, 20)
    assert extract(video, tmp_path / "a", start="0.3", end="0.7").left_out == ()
    for start, end, num_lost, num_read in (("0.16", "0.28", 2, 1), ("0.2", "0.25", 1, 1), ("0.1", "0.19", 1, 1)):
        part = extract(video, tmp_path / start, start=start, end=end)
        assert part.left_out[0].startswith(f"{video}: decoded {num_read} of {num_read + num_lost} frames")
    later = extract(video, tmp_path / "b", start="0.3")
    assert later.left_out == (f"{video}: decoded 21 of 22 frames; unreadable: frame 20",)
    data = video.read_bytes()
    video.write_bytes(data[: packet_places(video)[25][0]])
    whole = extract(video, tmp_path / "c")
    assert "decoded 22 of 30 frames" in whole.left_out[0]
    cut = extract(video, tmp_path / "d", start="0.84", end="1.08")
    assert cut.left_out == (f"{video}: decoded 4 of 6 frames; unreadable: frame 25, frame 26",)
    assert extract(video, tmp_path / "e", start="0.84", end="1").left_out == ()


@pytest.mark.parametrize("seed", range(3))
def test_two_percent_damage_keeps_all_that_decodes(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo, seed: int
) -> None:
    video = write_video(tmp_path / "clip.mp4", make_frames(150), options={"g": "12", "bf": "2"})
    rng = np.random.default_rng(seed)
    wipe_packets(video, *rng.choice(150, 3, replace=False).tolist())
    source = VideoSource(video)
    decodable = [frame.index for frame in source]
    result = extract(video, tmp_path / "out", format="jpg")
    assert indices(tmp_path / "out" / "clip") == decodable and len(decodable) < 150
    assert result.left_out == (f"{video}: {source.damage.describe(len(decodable))}",)


def test_one_bad_video_stops_no_other(tmp_path: Path, clip: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(clip.read_bytes())
    (videos / "empty.mp4").touch()
    (videos / "text.mkv").write_text("no video")
    (videos / "z.mp4").write_bytes(clip.read_bytes())
    result = extract(videos, tmp_path / "out", every=10)
    assert result.exit_code == 3 and result.summary == "videos: 2, frames: 10, with problems: 2"
    assert [line.split(": ")[0] for line in result.left_out] == [str(videos / "empty.mp4"), str(videos / "text.mkv")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "z"]
    (videos / "empty.mp4").write_bytes(clip.read_bytes())
    (videos / "text.mkv").unlink()
    again = extract(videos, tmp_path / "out", every=10)
    assert again.summary == "videos finished before: 2, videos: 1, frames: 5" and again.exit_code == 0


@pytest.mark.slow
def test_the_same_bytes_for_any_number_of_workers(tmp_path: Path, clip: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in "abc":
        (videos / f"{name}.mp4").write_bytes(clip.read_bytes())
    for workers in (1, 2, 8):  # 8: two threads and more for each video
        extract(videos, tmp_path / f"out{workers}", workers=workers, size=(50, 50))
    extract([videos / "a.mp4"], tmp_path / "single", workers=4, size=(50, 50))
    one = contents(tmp_path / "out1")
    assert len(one) == 3 * 52 and one == contents(tmp_path / "out2") == contents(tmp_path / "out8")
    assert contents(tmp_path / "single") == {name: data for name, data in one.items() if name.startswith("a/")}


def test_a_second_run_leaves_alone_what_is_there(tmp_path: Path, clip: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(clip.read_bytes())
    extract(video, tmp_path / "out", every=10)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "clip").iterdir()}
    again = extract(video, tmp_path / "out", every=10)
    assert (again.summary, again.exit_code) == ("videos finished before: 1", 0)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "clip").iterdir()}
    other = extract(video, tmp_path / "out", every=5)
    assert "was made from other input or with other settings: --overwrite, or another output" in other.left_out[0]
    assert len(indices(tmp_path / "out" / "clip")) == 5
    assert extract(video, tmp_path / "out", every=5, overwrite=True).summary == "videos: 1, frames: 10"
    assert numbers(tmp_path / "out" / "clip") == list(range(1, 11))


def test_folders_of_others_are_never_touched(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "mine.txt").write_text("keep")
    result = extract(clip, tmp_path, overwrite=True)
    assert result.left_out[0].endswith("clip is in the way and was not made by this tool: name another output")
    assert contents(tmp_path) == {"clip/mine.txt": b"keep"}


def test_a_dry_run_writes_nothing(tmp_path: Path, clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="convlstm")
    result = extract(clip, tmp_path / "out", dry_run=True, workers=None)
    assert result.summary == "videos to extract: 1" and not (tmp_path / "out").exists()
    assert caplog.messages == [f"{clip}: 50 frames at 25 frames/s, to {tmp_path / 'out' / 'clip'}"]


def test_what_a_killed_run_left_is_cleared(tmp_path: Path, clip: Path) -> None:
    for name in (".clip.1000000000.tmp", ".clip.999999999.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "frame_000001.png").touch()
    extract(clip, tmp_path, every=25)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".clip.1000000000.tmp",
        "clip",
    ]  # no such process number


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: no such file or folder"):
        extract(tmp_path / "gone", tmp_path / "out")


def test_the_command(tmp_path: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    flags = ["--output", str(out), "--every", "20", "--size", "32", "48", "--format", "jpg", "--workers", "1"]
    assert main(["data", "video_frame_extractor", "--source", str(clip), str(clip.parent), *flags]) == 0
    assert capsys.readouterr().out == f"{out}: videos: 1, frames: 3\n"
    assert json.loads((out / "clip" / "origin.json").read_text())["settings"]["size"] == [32, 48]
    config = tmp_path / "extract.yaml"
    config.write_text(f"source: ['{clip}']\noutput: {out}\nstart: '0:30'\nformat: jpg\n")
    assert main(["data", "video_frame_extractor", "--config", str(config), "--overwrite", "--workers", "1"]) == 3
    assert "left out: " in capsys.readouterr().err
    assert main(["data", "video_frame_extractor", "--source", str(clip)]) == 2
    assert "no output given: for example --source videos" in capsys.readouterr().err
