"""What detection holds in memory does not grow with the length of a video."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convlstm.benchmark.processes import run_detect
from convlstm.config import EngineName
from convlstm.inference.engines.installed import is_installed
from convlstm.models.checkpoint import Checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

pytestmark = pytest.mark.slow

Pixels = NDArray[np.uint8]
NUM_FRAMES = 60
LARGEST_GROWTH = 1.05


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = TemporalClassifier(stem="motion")
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25))
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> list[Path]:
    """One of NUM_FRAMES frames of 480x640 and one ten times as long, which decoded would be half a gigabyte."""
    folder = tmp_path_factory.mktemp("videos")
    cycle = [np.full((480, 640, 3), 90, dtype=np.uint8) for _ in range(20)]
    for index, frame in enumerate(cycle):
        frame[200:240, 30 * index : 30 * index + 40] = 255
    return [
        write_video(folder / f"{repeats}.mp4", cycle * repeats, options={"preset": "ultrafast"})
        for repeats in (NUM_FRAMES // 20, NUM_FRAMES // 2)
    ]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_video_ten_times_as_long_needs_no_more_memory(engine: EngineName, weights: Path, videos: list[Path]) -> None:
    if engine != "torch" and not (is_installed(engine) and is_installed("export")):
        pytest.skip(f"needs the packages of engine {engine}: pip install -r requirements-engines.txt")
    options = ["--weights", str(weights), "--engine", engine, "--device", "cpu", "--save_viz", "--save_heatmaps"]
    peaks = [run_detect(video, *options, "--event_padding_seconds", "1").peak_bytes for video in videos]
    if None in peaks:
        pytest.skip("this system does not tell the peak memory of a process")
    short, long = (peak for peak in peaks if peak is not None)
    assert long <= LARGEST_GROWTH * short, f"{long / 1e6:.0f} MB after {short / 1e6:.0f} MB"
