"""A verification job end to end, with a network that was never trained: what is on disk, and what is said."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convlstm.cli import main
from convlstm.config import ModelConfig, VerifyConfig
from convlstm.errors import DataError
from convlstm.models.checkpoint import Checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.verification import COLUMNS, VerifyResult, verify

Pixels = NDArray[np.uint8]
MakeFrames = Callable[..., list[Pixels]]
WriteFolder = Callable[..., Path]

NUM_FRAMES, SEQ_LENGTH = 10, 4


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = TemporalClassifier(ModelConfig(stem="motion"))
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), model.config, SEQ_LENGTH, (64, 96), threshold=0.5, fps=25))
    return path


@pytest.fixture
def footage(tmp_path: Path, make_frames: MakeFrames, write_folder: WriteFolder) -> Path:
    return write_folder(tmp_path / "cam", make_frames(NUM_FRAMES))


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    lines = [f"{frame},{2 * frame},8,{2 * frame + 16},24,0.7" for frame in range(NUM_FRAMES)]
    lines += [f"{frame},60,30,90,60,0.6" for frame in range(8, NUM_FRAMES)]
    (tmp_path / "boxes.csv").write_text("\n".join(["frame,x1,y1,x2,y2,confidence", *lines]))
    return tmp_path / "boxes.csv"


@pytest.fixture
def job(tmp_path: Path, weights: Path, footage: Path) -> Callable[..., VerifyResult]:
    def run(boxes: Path, **settings: Any) -> VerifyResult:
        config = VerifyConfig(**{"output": tmp_path / "out", "device": "cpu", "crop_size": 64, **settings})
        return verify(footage, boxes, weights, config)

    return run


def rows_of(output: Path) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    with (output / "verdicts.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    return table, [json.loads(line) for line in (output / "verdicts.jsonl").read_text().splitlines()]


def test_a_row_for_each_box(tmp_path: Path, boxes: Path, job: Callable[..., VerifyResult]) -> None:
    result = job(boxes)
    table, lines = rows_of(tmp_path / "out")
    assert (result.exit_code, result.num_detections, result.num_frames, result.left_out) == (0, 12, NUM_FRAMES, ())
    assert [list(line) for line in lines] == [list(COLUMNS)] * 12 == [list(row) for row in table]
    for row, line in zip(table, lines, strict=True):
        assert row == {key: "" if value is None else str(value) for key, value in line.items()}
    first = [line for line in lines if line["track"] == 1]
    assert [line["frame"] for line in first] == list(range(NUM_FRAMES))
    assert [line["verdict"] == "undecided" for line in first] == [True] * 3 + [False] * 7
    assert [line["probability"] is None for line in first] == [True] * 3 + [False] * 7
    last = first[-1]
    assert last["probability"] == min(last["frame_probability"], last["crop_probability"])
    assert (last["time_s"], last["confidence"], last["x1"]) == (0.36, 0.7, 18)
    assert {line["verdict"] for line in lines if line["track"] == 2} == {"undecided"}
    assert result.decisions["undecided"] == 1 and sum(result.decisions.values()) == 2


def test_verdicts_follow_the_threshold(boxes: Path, job: Callable[..., VerifyResult]) -> None:
    assert job(boxes, threshold=0.01).decisions == {"dynamic": 1, "static": 0, "undecided": 1}
    assert job(boxes, threshold=0.99).decisions == {"dynamic": 0, "static": 1, "undecided": 1}


def test_boxes_of_frames_that_are_not_there_are_named(tmp_path: Path, job: Callable[..., VerifyResult]) -> None:
    (tmp_path / "late.csv").write_text("frame,x1,y1,x2,y2\n3,1,2,30,40\n77,1,2,30,40\n88,1,2,30,40\n")
    result = job(tmp_path / "late.csv")
    assert result.exit_code == 3
    assert "2 boxes of frames that" in result.left_out[0] and "the first of frame 77" in result.left_out[0]
    (tmp_path / "late.csv").write_text("frame,x1,y1,x2,y2\n77,1,2,30,40\n")
    assert job(tmp_path / "late.csv").exit_code == 1


def test_damaged_frames_are_named(footage: Path, boxes: Path, tmp_path: Path, job: Callable[..., VerifyResult]) -> None:
    sorted(footage.iterdir())[4].write_bytes(b"")
    result = job(boxes)
    assert result.exit_code == 3 and result.num_frames == NUM_FRAMES - 1
    assert "decoded 9 of 10 frames" in result.left_out[0]
    verdicts = [line["verdict"] for line in rows_of(tmp_path / "out")[1] if line["track"] == 1]
    assert [verdict == "undecided" for verdict in verdicts] == [True, True, True, False, *[False] * 5]


def test_what_cannot_even_start(tmp_path: Path, boxes: Path, job: Callable[..., VerifyResult]) -> None:
    with pytest.raises(DataError, match=r"none.csv: cannot be read"):
        job(tmp_path / "none.csv")
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*taken"):
        job(boxes, output=tmp_path / "taken")


def test_the_command(
    footage: Path, boxes: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--source", str(footage), "--weights", str(weights), "--output", str(tmp_path / "out")]
    arguments += ["--device", "cpu", "--no-follow", "--threshold", "0.01"]
    assert main(["verify", "--detections", str(boxes), *arguments]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == ["1 dynamic, 0 static, 1 undecided; 12 boxes in 10 frames", f"verdicts: {tmp_path / 'out'}"]
    boxes.write_text(boxes.read_text() + "\n99,1,2,3,4,0.5\n")
    assert main(["verify", "--detections", str(boxes), *arguments]) == 3
    assert "left out: 1 boxes of frames that" in capsys.readouterr().err
    assert main(["verify", "--detections", str(boxes), *arguments, "--windows", "0"]) == 2
    assert "windows must be greater than 0, got 0" in capsys.readouterr().err
    assert main(["verify", "--detections", str(tmp_path / "boxes.txt"), *arguments]) == 1
    assert main(["verify", *arguments]) == 2
