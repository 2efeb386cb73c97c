from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.report.rendering import annotate, with_windows, write_clips
from convlstm.report.video_file import OutputBudget
from convlstm.sources.video import VideoSource
from convlstm.types import Frame, Heatmap

PIXEL = np.zeros((1, 1, 3), dtype=np.uint8)


def frame(index: int, level: int = 90) -> Frame:
    return Frame(np.full((64, 96, 3), level, dtype=np.uint8), index, index / 25)


def window(first: int, length: int = 5, value: float = 0.0) -> Heatmap:
    cells = np.zeros((2, 3), dtype=np.float32)
    cells[0, 1] = value
    return Heatmap(cells, first, first + length - 1, first / 25, (first + length - 1) / 25)


@given(
    st.lists(st.integers(1, 6), max_size=25),
    st.lists(st.integers(1, 9), max_size=12),
    st.integers(1, 6),
)
def test_each_frame_gets_the_nearest_window_that_covers_it(frames: list[int], steps: list[int], length: int) -> None:
    indices = np.cumsum(frames).tolist()
    windows = [window(first, length) for first in np.cumsum(steps).tolist()]
    for shown, chosen in with_windows([Frame(PIXEL, index, 0.0) for index in indices], windows):
        covering = [w for w in windows if w.first_frame <= shown.index <= w.last_frame]
        if not covering:
            assert chosen is None
            continue
        distances = [abs(shown.index - (w.first_frame + w.last_frame) / 2) for w in covering]
        assert chosen is covering[distances.index(min(distances))]


def test_clips_hold_the_frames_of_their_spans(tmp_path: Path) -> None:
    frames = [frame(index, 10 * index) for index in range(20) if index != 7]
    passed = list(write_clips(frames, [(2, 4), (6, 9), (18, 30)], tmp_path / "clips", 25, OutputBudget(1e9)))
    assert passed == frames
    clips = {path.name: VideoSource(path) for path in sorted((tmp_path / "clips").iterdir())}
    assert list(clips) == ["clip_001.mp4", "clip_002.mp4", "clip_003.mp4"]
    levels = [[round(float(f.pixels.mean()) / 10) for f in clip] for clip in clips.values()]
    assert levels == [[2, 3, 4], [6, 8, 9], [18, 19]]
    assert [f.pts_seconds for f in clips["clip_002.mp4"]] == pytest.approx([0, 0.08, 0.12], abs=1e-4)


def test_without_spans_nothing_is_written(tmp_path: Path) -> None:
    frames = [frame(0), frame(1)]
    assert list(write_clips(frames, [], tmp_path / "clips", 25, OutputBudget(1e9))) == frames
    assert list(tmp_path.iterdir()) == []


def test_a_spent_budget_leaves_later_clips_out(tmp_path: Path) -> None:
    noise = [Frame(np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8), i, i / 25) for i in range(60)]
    assert len(list(write_clips(noise, [(0, 40), (45, 50)], tmp_path / "c", 25, OutputBudget(30_000)))) == 60
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["clip_001.mp4"]


def test_a_hot_cell_is_coloured_and_boxed_in_rgb() -> None:
    calm, hot = annotate(frame(3), window(0), 0.5), annotate(frame(3), window(0, value=1.0), 0.5)
    centre = hot[12:24, 44:56].reshape(-1, 3).mean(axis=0)
    assert centre[0] > centre[2] + 60  # yellow and red, not blue
    assert np.abs(calm[4:28, 36:60].astype(int) - 90).max() == 0
    changed = np.abs(hot.astype(int) - calm).max(axis=2) > 0
    assert changed[:, 32:65].any() and not changed[40:50, 70:].any()


def test_time_is_written_and_the_frame_itself_is_not_touched() -> None:
    given_frame = frame(50)
    picture = annotate(given_frame, None, 0.5)
    assert (given_frame.pixels == 90).all()
    assert (picture[:40] == 90).all()
    assert picture[-14:].max() > 200 and picture[-14:].min() == 0
