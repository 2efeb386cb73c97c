from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convlstm.benchmark.processes import BenchError, run_detect

pytestmark = pytest.mark.slow


def test_a_process_is_timed_and_its_memory_is_its_own(
    tmp_path: Path, make_frames: Callable[..., list[np.ndarray]], write_video: Callable[..., Path]
) -> None:
    video = write_video(tmp_path / "clip.mp4", make_frames(12, 96, 96))
    ballast = np.ones((1 << 30,), dtype=np.uint8)  # a gigabyte that is this process's alone
    figures = run_detect(video, "--engine", "torch", "--device", "cpu")
    assert ballast[-1] == 1
    assert 0.2 < figures.seconds < 120
    assert figures.peak_bytes is None or 100e6 < figures.peak_bytes < 1.5e9


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"convlstm detect --engine torch failed: convlstm: .*none.mp4: no such file"):
        run_detect(tmp_path / "none.mp4", "--engine", "torch")
