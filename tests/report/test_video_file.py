from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.report.video_file import OutputBudget, VideoFile
from convlstm.sources.video import VideoSource

Pixels = NDArray[np.uint8]


def picture(color: tuple[int, int, int], height: int = 64, width: int = 96) -> Pixels:
    return np.full((height, width, 3), color, dtype=np.uint8)


def write(path: Path, frames: list[Pixels], seconds: list[float], budget: OutputBudget | None = None) -> list[bool]:
    with VideoFile(path, 25, budget or OutputBudget(1e9)) as video:
        return [video.add(frame, second) for frame, second in zip(frames, seconds, strict=True)]


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 0, 255), (240, 200, 20)])
@pytest.mark.parametrize("height", [64, 720])
def test_colours_stay_what_they_are(tmp_path: Path, color: tuple[int, int, int], height: int) -> None:
    write(tmp_path / "a.mp4", [picture(color, height)] * 3, [0.0, 0.04, 0.08])
    [*_, last] = VideoSource(tmp_path / "a.mp4")
    assert np.abs(last.pixels.reshape(-1, 3).mean(axis=0) - color).max() < 12
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.colorspace == 1  # BT.709 is what the file says, too


def test_frames_keep_their_true_times(tmp_path: Path) -> None:
    seconds = [10.0, 10.04, 10.2, 10.21, 11.0]
    write(tmp_path / "a.mp4", [picture((50 * i, 90, 90)) for i in range(5)], seconds)
    times = [frame.pts_seconds for frame in VideoSource(tmp_path / "a.mp4")]
    assert times == pytest.approx([second - 10 for second in seconds], abs=1e-4)


def test_times_that_do_not_rise_are_mended(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [picture((9, 9, 9))] * 4, [1.0, 1.0, 0.5, 1.2])
    times = [frame.pts_seconds for frame in VideoSource(tmp_path / "a.mp4")]
    assert len(times) == 4 and times == sorted(set(times))


def test_odd_sides_lose_a_row_and_other_sizes_are_scaled(tmp_path: Path) -> None:
    frames = [picture((200, 10, 10), 65, 97), picture((200, 10, 10), 33, 47)]
    assert write(tmp_path / "a.mp4", frames, [0.0, 0.1]) == [True, True]
    assert [frame.pixels.shape for frame in VideoSource(tmp_path / "a.mp4")] == [(64, 96, 3)] * 2


def test_writing_ends_where_the_budget_does_and_what_is_there_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = [np.random.default_rng(i).integers(0, 255, (128, 128, 3), dtype=np.uint8) for i in range(80)]
    budget = OutputBudget(200_000)
    added = write(tmp_path / "a.mp4", noise, [i / 25 for i in range(80)], budget)
    assert 0 < sum(added) < 80 and added == sorted(added, reverse=True)
    assert len(list(VideoSource(tmp_path / "a.mp4"))) == sum(added)
    assert "videos reached 0.0002 GB: a.mp4 ends at" in caplog.text and len(caplog.records) == 1
    assert write(tmp_path / "b.mp4", noise[:2], [0.0, 1.0], budget) == [False, False]
    assert "b.mp4 is left out" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), VideoFile(tmp_path / "a.mp4", 25, OutputBudget(1e9)) as video:
        video.add(picture((1, 2, 3)), 0.0)
        raise KeyboardInterrupt
    with VideoFile(tmp_path / "b.mp4", 25, OutputBudget(1e9)):
        pass
    assert list(tmp_path.iterdir()) == []
