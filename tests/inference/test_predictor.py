import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convlstm.config import Mode, ModelConfig
from convlstm.errors import CheckpointError, DataError
from convlstm.inference.engines.exported import load_exported
from convlstm.inference.engines.installed import is_installed
from convlstm.inference.engines.torch import TorchEngine
from convlstm.inference.predictor import Predictor
from convlstm.inference.stream import FRAMES_PER_CALL
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.shipped import shipped_graphs, shipped_weights
from convlstm.sources.open import open_source
from convlstm.types import Frame

Pixels = NDArray[np.uint8]
MakeFrames = Callable[..., list[Pixels]]
WriteFolder = Callable[..., Path]
MODES: tuple[Mode, ...] = ("stateful", "windowed")


def make_checkpoint(seq_length: int = 4, **options: object) -> Checkpoint:
    torch.manual_seed(0)
    model = TemporalClassifier(ModelConfig(**options))  # type: ignore[arg-type]
    return Checkpoint(model.state_dict(), model.config, seq_length, (64, 96), threshold=0.5, fps=25)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(make_checkpoint(stem="motion"), device="cpu", stride=1, engine="torch")


def test_what_detection_needs_comes_from_the_file(
    tmp_path: Path, make_frames: MakeFrames, write_folder: WriteFolder
) -> None:
    save_checkpoint(tmp_path / "best.pth", make_checkpoint(seq_length=3, classes=("static", "dynamic", "negative")))
    predictor = Predictor(tmp_path / "best.pth", device="cpu")
    folder = write_folder(tmp_path / "frames", make_frames(10))
    heatmaps = list(predictor(folder))
    assert predictor.stride == 3
    assert [(h.first_frame, h.last_frame) for h in heatmaps] == [(0, 2), (3, 5), (6, 8)]
    assert all(h.probabilities.shape == (2, 3) and len(h.class_probabilities) == 3 for h in heatmaps)


@pytest.mark.parametrize("num_frames", [4, FRAMES_PER_CALL, FRAMES_PER_CALL + 1, 3 * FRAMES_PER_CALL + 2])
def test_every_window_also_across_calls(predictor: Predictor, make_frames: MakeFrames, num_frames: int) -> None:
    frames = make_frames(num_frames)
    heatmaps = list(predictor.heatmaps(numbered(frames), "clip"))
    assert [h.first_frame for h in heatmaps] == list(range(num_frames - 3))
    clip = torch.from_numpy(np.stack([frames[0]] * max(0, 9 - (num_frames - 4)) + frames[-13:])).permute(0, 3, 1, 2)
    assert isinstance(predictor.engine, TorchEngine) and not predictor.engine.model.training
    with torch.inference_mode():
        last = predictor.engine.model(clip[None], 9)[0, 0].numpy()
    np.testing.assert_allclose(heatmaps[-1].probabilities, last, atol=1e-5, rtol=0)


def test_a_source_path_string_and_open_source_are_the_same(
    predictor: Predictor, tmp_path: Path, make_frames: MakeFrames, write_folder: WriteFolder
) -> None:
    folder = write_folder(tmp_path / "frames", make_frames(6))
    results = [list(predictor(source)) for source in (folder, str(folder), open_source(folder))]
    for heatmaps in results:
        assert len(heatmaps) == 3
        for heatmap, wanted in zip(heatmaps, results[0], strict=True):
            np.testing.assert_array_equal(heatmap.probabilities, wanted.probabilities)


def test_too_short_names_both_numbers(predictor: Predictor, make_frames: MakeFrames) -> None:
    with pytest.raises(DataError, match=re.escape("cam: 3 consecutive frames, but a window needs 4: ")):
        list(predictor.heatmaps(numbered(make_frames(3)), "cam"))
    with pytest.raises(DataError, match="cam: 0 consecutive frames, but a window needs 4"):
        list(predictor.heatmaps([], "cam"))


def test_too_short_counts_the_longest_stretch(
    predictor: Predictor, tmp_path: Path, make_frames: MakeFrames, write_folder: WriteFolder
) -> None:
    names = [f"{number}.png" for number in (0, 1, 3, 4, 5, 8)]
    folder = write_folder(tmp_path / "frames", make_frames(6), names)
    with pytest.raises(DataError, match="frames: 3 consecutive frames, but a window needs 4"):
        list(predictor(folder))


def test_padding_only_when_asked_for(predictor: Predictor, make_frames: MakeFrames) -> None:
    frames = make_frames(4)
    [padded] = predictor.heatmaps(numbered(frames[:2]), "cam", pad_short=True)
    assert (padded.first_frame, padded.last_frame, padded.end_seconds) == (0, 1, 0.04)
    [long_enough] = predictor.heatmaps(numbered(frames), "cam", pad_short=True)
    assert (long_enough.first_frame, long_enough.last_frame) == (0, 3)


def test_nothing_to_pad_is_too_short_as_well(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="cam: 0 consecutive frames, but a window needs 4"):
        list(predictor.heatmaps([], "cam", pad_short=True))


def test_what_cannot_be_opened(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: no such file or folder"):
        predictor(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"none\.pth: no such weights file"):
        Predictor(tmp_path / "none.pth")


def test_the_mode_reaches_the_stream(make_frames: MakeFrames) -> None:
    frames = numbered(make_frames(12))
    carried, blank = (
        list(Predictor(make_checkpoint(stem="motion"), device="cpu", stride=4, mode=mode).heatmaps(frames, "clip"))
        for mode in MODES
    )
    np.testing.assert_allclose(carried[0].probabilities, blank[0].probabilities, atol=1e-5, rtol=0)
    assert np.abs(carried[2].probabilities - blank[2].probabilities).max() > 1e-4


def numbered(frames: list[Pixels]) -> list[Frame]:
    return [Frame(pixels, index, index / 25) for index, pixels in enumerate(frames)]


def test_without_weights_those_that_come_with_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(Path("shipped"), make_checkpoint(seq_length=3))
    shipped = load_checkpoint(shipped_weights()).digest
    assert Predictor(device="cpu", engine="torch").checkpoint.digest == shipped
    assert Predictor("shipped", device="cpu", engine="torch").checkpoint.digest == shipped
    if is_installed("openvino") or is_installed("onnx"):
        assert Predictor(device="cpu").checkpoint.digest == load_exported(shipped_graphs()).digest
    mine = load_checkpoint(Path("shipped")).digest
    for path in ("./shipped", Path("shipped")):
        assert Predictor(path, device="cpu").checkpoint.digest == mine != shipped
