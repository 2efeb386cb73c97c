"""What holds for every source, whatever is behind it."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.sources.base import SeekableSource
from convlstm.sources.open import open_source

Pixels = NDArray[np.uint8]
NUM_FRAMES = 24
COLOURS = ((230, 20, 20), (20, 200, 20), (20, 20, 230))


def colour_frames() -> list[Pixels]:
    """Thirds in red, green and blue, with a white square that moves one pixel a frame."""
    frames = []
    for index in range(NUM_FRAMES):
        frame = np.zeros((64, 96, 3), dtype=np.uint8)
        for third, colour in enumerate(COLOURS):
            frame[:, 32 * third : 32 * third + 32] = colour
        frame[40:56, index : index + 16] = 255
        frames.append(frame)
    return frames


@pytest.fixture(params=["folder", "folder_with_gap", "mp4", "mkv", "avi", "webm"])
def source(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    write_folder: Callable[..., Path],
    write_video: Callable[..., Path],
) -> SeekableSource:
    frames = colour_frames()
    match request.param:
        case "folder":
            return open_source(write_folder(tmp_path / "frames", frames), fps=25)
        case "folder_with_gap":
            numbers = [*range(10), *range(13, 13 + NUM_FRAMES - 10)]
            names = [f"shot_{number}.png" for number in numbers]
            return open_source(write_folder(tmp_path / "frames", frames, names), fps=25)
        case "avi":
            return open_source(write_video(tmp_path / "clip.avi", frames, codec="mpeg4"))
        case "webm":
            return open_source(write_video(tmp_path / "clip.webm", frames, codec="libvpx", options={"b": "1M"}))
        case kind:
            return open_source(write_video(tmp_path / f"clip.{kind}", frames, options={"bf": "2", "g": "8"}))


def test_index_and_time_increase(source: SeekableSource) -> None:
    frames = list(source)
    assert len(frames) == NUM_FRAMES
    assert all(before.index < after.index for before, after in pairwise(frames))
    assert all(before.pts_seconds < after.pts_seconds for before, after in pairwise(frames))
    for before, after in pairwise(frames):
        seconds = (after.index - before.index) / source.fps
        assert after.pts_seconds - before.pts_seconds == pytest.approx(seconds, abs=0.002)


def test_frames_are_uint8_rgb_of_one_size_in_true_colours(source: SeekableSource) -> None:
    for frame in source:
        assert frame.pixels.shape == (64, 96, 3) and frame.pixels.dtype == np.uint8
        assert frame.pixels.flags.c_contiguous
        np.testing.assert_allclose(frame.pixels[16, [16, 48, 80]].astype(int), COLOURS, atol=20)


def test_each_pass_gives_the_same(source: SeekableSource) -> None:
    first, second = list(source), list(source)
    assert [(f.index, f.pts_seconds) for f in first] == [(f.index, f.pts_seconds) for f in second]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))


def test_a_pass_may_be_broken_off(source: SeekableSource) -> None:
    first = next(iter(source))
    assert first.index == 0
    assert len(list(source)) == NUM_FRAMES


def test_read_equals_iterating(source: SeekableSource) -> None:
    frames = {frame.index: frame.pixels for frame in source}
    indices = sorted(frames)
    for window in (indices, indices[:1], indices[7:12], indices[-3:], [indices[4]] * 3 + indices[4:6], indices[::5]):
        read = source.read(window)
        assert len(read) == len(window)
        for index, pixels in zip(window, read, strict=True):
            np.testing.assert_array_equal(pixels, frames[index])


def test_runs_cover_the_indices_and_gaps_are_named(source: SeekableSource) -> None:
    assert [index for run in source.runs for index in run] == [frame.index for frame in source]
    assert len(source.damage.gaps) == len(source.runs) - 1
    assert not source.damage.is_incomplete


def test_the_count_is_true_where_it_is_known(source: SeekableSource) -> None:
    assert source.num_frames in (NUM_FRAMES, None)
    assert source.fps == pytest.approx(25)
