from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.benchmark.clip import cut_video, read_resized, write_synthetic
from convlstm.errors import ConfigError, DataError
from convlstm.sources.video import VideoSource

Pixels = NDArray[np.uint8]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")])
def test_a_cut_holds_the_first_frames_as_they_were(
    tmp_path: Path, make_frames: Callable[..., list[Pixels]], write_video: Callable[..., Path], name: str, codec: str
) -> None:
    video = write_video(tmp_path / name, make_frames(30), codec=codec, options={"bf": "0"})
    (tmp_path / "cut").mkdir()
    cut = cut_video(str(video), 12, tmp_path / "cut")
    found, wanted = list(VideoSource(cut)), list(VideoSource(video))[:12]
    assert len(found) == 12 and VideoSource(cut).fps == pytest.approx(25)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_what_cannot_be_cut(tmp_path: Path) -> None:
    (tmp_path / "note.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"note\.mp4: cannot be opened as a video"):
        cut_video(str(tmp_path / "note.mp4"), 9, tmp_path)
    with pytest.raises(ConfigError, match="bench measures on one video file: name one"):
        cut_video("rtsp://host/1", 9, tmp_path)
    with pytest.raises(DataError):
        cut_video(str(tmp_path / "none.mp4"), 9, tmp_path)


def test_the_synthetic_clip_moves(tmp_path: Path) -> None:
    write_synthetic(6, 10.0, tmp_path / "clip.mp4")
    assert VideoSource(tmp_path / "clip.mp4").fps == pytest.approx(10)
    frames = read_resized(tmp_path / "clip.mp4", (64, 96))
    assert len(frames) == 6 and frames[0].pixels.shape == (64, 96, 3)
    for before, after in pairwise(frames):
        assert np.abs(before.pixels.astype(int) - after.pixels).max() > 20
