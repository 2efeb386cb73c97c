"""The same video gives the same heatmaps, whatever it comes from."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convlstm.config import DetectConfig, Stem
from convlstm.detection import DetectJob
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.sources.open import find_sources, open_source

Pixels = NDArray[np.uint8]


def make_predictor(stem: Stem, *, seq_length: int, size: tuple[int, int], stride: int) -> Predictor:
    torch.manual_seed(0)
    model = TemporalClassifier(stem=stem)
    with torch.no_grad():
        model.final_classifier.weight.mul_(50)
    checkpoint = Checkpoint(model.state_dict(), model.config, seq_length, size, threshold=0.5, fps=25)
    return Predictor(checkpoint, device="cpu", stride=stride)


@pytest.mark.parametrize("stem", ["rgb", "motion"])
@pytest.mark.parametrize("kind", ["mp4", "mkv", "avi"])
def test_a_video_and_the_folder_of_its_frames(
    tmp_path: Path,
    make_frames: Callable[..., list[Pixels]],
    write_video: Callable[..., Path],
    write_folder: Callable[..., Path],
    stem: Stem,
    kind: str,
) -> None:
    how = {"codec": "mpeg4"} if kind == "avi" else {"options": {"bf": "2"}}
    video = write_video(tmp_path / f"clip.{kind}", make_frames(30), **how)
    folder = write_folder(tmp_path / "frames", [frame.pixels for frame in open_source(video)])
    predictor = make_predictor(stem, seq_length=4, size=(64, 96), stride=3)
    of_video, of_folder, of_glob = (list(predictor(source)) for source in (video, folder, f"{folder}/*.png"))
    assert [(h.first_frame, h.last_frame) for h in of_video] == [(start, start + 3) for start in range(0, 27, 3)]
    for a, b, c in zip(of_video, of_folder, of_glob, strict=True):
        assert (a.first_frame, a.last_frame) == (b.first_frame, b.last_frame) == (c.first_frame, c.last_frame)
        assert a.start_seconds == pytest.approx(b.start_seconds, abs=0.002)
        assert a.end_seconds == pytest.approx(b.end_seconds, abs=0.002)
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-4, rtol=0)
        np.testing.assert_array_equal(b.probabilities, c.probabilities)
    assert np.ptp([h.probabilities.max() for h in of_video]) > 1e-3  # it is not one number everywhere


@pytest.mark.slow
def test_windows_of_a_real_recording_stand_at_the_clock(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "real" / "dev" / "traffic-camera.mp4"
    predictor = make_predictor("motion", seq_length=10, size=(128, 128), stride=3)
    result = DetectJob(predictor, DetectConfig(output=tmp_path, save_heatmaps=True)).run(find_sources(source))
    assert result.exit_code == 0
    assert (result.rows[0].frames, result.rows[0].windows) == (576, 189)
    windows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert len(windows) == 189
    for number, window in enumerate(windows):
        assert (window["first_frame"], window["last_frame"]) == (3 * number, 3 * number + 9)
        assert window["start_s"] == pytest.approx(window["first_frame"] / 25, abs=0.001)
        assert window["end_s"] == pytest.approx(window["last_frame"] / 25, abs=0.001)
    with np.load(tmp_path / "traffic-camera_heatmaps.npz") as arrays:
        assert arrays["heatmaps"].shape == (189, 4, 4)
        np.testing.assert_allclose(arrays["end_s"], arrays["last_frame"] / 25, atol=0.001)
