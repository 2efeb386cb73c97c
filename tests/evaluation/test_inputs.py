from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from convlstm.config import EvalConfig
from convlstm.errors import DataError
from convlstm.evaluation.inputs import open_inputs
from convlstm.evaluation.truth import ClassTruth, EventTruth, MaskTruth
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

Pixels = NDArray[np.uint8]
NO_WEIGHTS = Path("weights.pth")


@pytest.fixture(scope="module")
def weights() -> Checkpoint:
    torch.manual_seed(0)
    model = TemporalClassifier(classes=("static", "dynamic", "negative"))
    return Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25)


@pytest.fixture
def data_root(tmp_path: Path, make_frames: Callable[..., list[Pixels]], write_folder: Callable[..., Path]) -> Path:
    root = tmp_path / "data"
    for name, count in (("still", 8), ("fire", 8), ("rain", 8), ("short", 3)):
        write_folder(root / name, make_frames(count))
    (root / "fire" / "masks").mkdir()
    for index in range(8):
        Image.fromarray(np.full((64, 96), 255, dtype=np.uint8)).save(root / "fire" / "masks" / f"frame_{index:06d}.png")
    (root / "fire" / "frame_000003.png").unlink()
    (root / "data.csv").write_text(
        "folder_name,type,group,split,kind\n"
        "still,static,a,test,calm\nfire,dynamic,b,test,fire\nrain,negative,b,test,\nshort,static,,test,calm\n"
    )
    return root


def test_rows_become_sequences_with_their_truth(data_root: Path, weights: Checkpoint) -> None:
    inputs = open_inputs(EvalConfig(data_root=data_root), NO_WEIGHTS, weights)
    still, fire, rain = inputs.sequences
    assert [(s.name, s.kind, s.group, s.is_dynamic) for s in inputs.sequences] == [
        ("still", "calm", "a", False),
        ("fire", "fire", "b", True),
        ("rain", "", "b", False),
    ]
    assert isinstance(still.truth, ClassTruth) and not still.truth(0).shares.any()
    assert isinstance(fire.truth, MaskTruth) and (fire.truth(7).shares == 1).all()
    assert fire.truth(0).shares.shape == (2, 3)
    assert isinstance(rain.truth, ClassTruth) and not rain.truth(0).is_dynamic
    assert (inputs.split, inputs.description) == ("test", f"{data_root}, split test")
    assert inputs.left_out == ["short: 3 consecutive frames, but a window needs 4: set short_sequences to skip or "
                               "repeat_last, or lower seq_length"]  # fmt: skip
    assert inputs.notes == [
        "fire: 1 frame missing between frame_000002.png and frame_000004.png: no window spans a gap"
    ]


def test_short_sequences_are_an_error_where_asked_for(data_root: Path, weights: Checkpoint) -> None:
    with pytest.raises(DataError, match="short: 3 consecutive frames"):
        open_inputs(EvalConfig(data_root=data_root, short_sequences="error"), NO_WEIGHTS, weights)
    kept = open_inputs(EvalConfig(data_root=data_root, short_sequences="repeat_last"), NO_WEIGHTS, weights)
    assert [sequence.name for sequence in kept.sequences] == ["still", "fire", "rain", "short"]


def test_warnings_about_the_split_are_passed_on(data_root: Path, weights: Checkpoint) -> None:
    inputs = open_inputs(EvalConfig(data_root=data_root, split="all"), NO_WEIGHTS, weights)
    assert inputs.split == "all" and "figures are too good" not in inputs.notes[0]
    (data_root / "data.csv").write_text("folder_name,type\nstill,static\nrain,dynamic\n")
    inputs = open_inputs(EvalConfig(data_root=data_root, split="all"), NO_WEIGHTS, weights)
    assert "where it used some of these, figures are too good" in inputs.notes[0]


def test_data_that_is_not_there_is_named(data_root: Path, weights: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder: data_root must be the folder"):
        open_inputs(EvalConfig(data_root=tmp_path / "gone"), NO_WEIGHTS, weights)
    (data_root / "data.csv").write_text("folder_name,type,split\nshort,static,test\n")
    with pytest.raises(DataError, match="no usable sequence is left for evaluation: short: 3"):
        open_inputs(EvalConfig(data_root=data_root), NO_WEIGHTS, weights)


def test_a_source_with_masks(data_root: Path, weights: Checkpoint) -> None:
    source = str(data_root / "fire")
    config = EvalConfig(source=source, truth=data_root / "fire" / "masks")
    inputs = open_inputs(config, NO_WEIGHTS, weights)
    (sequence,) = inputs.sequences
    assert (sequence.name, sequence.kind, sequence.group, sequence.is_dynamic) == (source, "", source, None)
    assert isinstance(sequence.truth, MaskTruth) and (sequence.truth(2).shares == 1).all()
    assert (inputs.split, inputs.left_out, len(inputs.notes)) == ("", [], 1)


def test_a_video_with_events(
    tmp_path: Path, weights: Checkpoint, make_frames: Callable[..., list[Pixels]], write_video: Callable[..., Path]
) -> None:
    video = write_video(tmp_path / "clip.mp4", make_frames(12))
    (tmp_path / "truth.csv").write_text("start_frame,end_frame\n11,30\n")
    inputs = open_inputs(EvalConfig(source=str(video), truth=tmp_path / "truth.csv"), NO_WEIGHTS, weights)
    (sequence,) = inputs.sequences
    assert isinstance(sequence.truth, EventTruth)
    assert sequence.truth(11).is_dynamic and not sequence.truth(10).is_dynamic
    (tmp_path / "truth.csv").write_text("start_frame,end_frame\n12,30\n")
    with pytest.raises(DataError, match="starts at frame 12, but the source has 12"):
        open_inputs(EvalConfig(source=str(video), truth=tmp_path / "truth.csv"), NO_WEIGHTS, weights)


def test_sources_without_a_truth_are_refused(data_root: Path, weights: Checkpoint, tmp_path: Path) -> None:
    for source, message in (
        (str(data_root / "still"), "no such file or folder: truth is"),
        ("rtsp://x/y", "record it first"),
    ):
        with pytest.raises(DataError, match=message):
            open_inputs(EvalConfig(source=source, truth=tmp_path / "gone.csv"), NO_WEIGHTS, weights)
