"""`convlstm eval` from footage on disk to files, lines and exit codes."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from convlstm.cli import main
from convlstm.config import EvalConfig
from convlstm.errors import ConfigError, DataError
from convlstm.eval import EvalResult, evaluate_weights
from convlstm.evaluation.scoring import MODEL
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.sources.open import open_source

Pixels = NDArray[np.uint8]
MakeFrames = Callable[..., list[Pixels]]
WriteFolder = Callable[..., Path]
FAST: dict[str, Any] = {
    "device": "cpu",
    "engine": "torch",
    "resamples": 50,
    "stride": 2,
    "false_cells": 1,
    "baselines": ("none",),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that was never trained; its scores are spread around one half."""
    torch.manual_seed(3)
    model = TemporalClassifier(stem="motion", lags=(1, 2))
    with torch.no_grad():
        model.final_classifier.weight *= 40
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25))
    return path


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, make_frames: MakeFrames, write_folder: WriteFolder) -> Path:
    """Two validation sequences in which a square moves, with masks, and two still ones; two test sequences."""
    root = tmp_path_factory.mktemp("data")
    moving = make_frames(12)
    for number in range(4):
        frames = moving if number % 2 else [moving[number]] * 12
        folder = write_folder(root / f"s{number}", frames)
        (folder / "masks").mkdir()
        for index in range(12):
            mask = np.zeros((64, 96), dtype=np.uint8)
            if number % 2:
                mask[:32, :64] = 255
            Image.fromarray(mask).save(folder / "masks" / f"frame_{index:06d}.png")
    for name in ("t0", "t1"):
        write_folder(root / name, make_frames(6))
    (root / "data.csv").write_text(
        "folder_name,type,split,kind\ns0,static,val,rain\ns1,dynamic,val,fire\ns2,static,val,night\n"
        "s3,dynamic,val,fire\nt0,static,test,rain\nt1,dynamic,test,fire\n"
    )
    return root


def run(weights: Path, output: Path, **settings: Any) -> EvalResult:
    return evaluate_weights(weights, EvalConfig(**{**FAST, "output": output, **settings}))


def val_of(data_root: Path) -> dict[str, Any]:
    return {"data_root": data_root, "split": "val", "recall": 0.9}


def arguments(output: Path, *more: str) -> list[str]:
    common = ["--device", "cpu", "--engine", "torch", "--resamples", "50", "--stride", "2", "--false_cells", "1"]
    return ["eval", "--output", str(output), *common, *more]


def test_a_data_set_is_judged(
    weights: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments(tmp_path / "out", "--data_root", str(data_root), "--split", "val", "--weights", str(weights)))
    out = capsys.readouterr().out.splitlines()
    assert code == 0
    assert out[0].startswith("cells: average precision 0.") and out[1] == f"report: {tmp_path / 'out' / 'report.html'}"
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert content["weights"] == str(weights) and content["digest"] == load_checkpoint(weights).digest
    assert content["split"] == "val" and content["left_out"] == [] and content["tuning"] == {}
    assert (content["num_sequences"], content["num_windows"]) == (4, 20)
    assert list(content["methods"]) == ["model", "frame_difference", "mog2", "knn", "optical_flow"]
    found = content["methods"]["frame_difference"]
    assert found["found_windows"]["value"] == 1 and found["false_windows"]["value"] == 0
    assert list(found["by_kind"]) == ["fire", "night", "rain"]
    rows = list(csv.DictReader((tmp_path / "out" / "windows.csv").read_text().splitlines()))
    assert len(rows) == 20 * 5
    expected = list(Predictor(weights, device="cpu", engine="torch", stride=2)(open_source(data_root / "s1")))
    model = [row for row in rows if row["sequence"] == "s1" and row["method"] == "model"]
    assert [float(row["probability"]) for row in model] == pytest.approx(
        [float(h.probabilities.max()) for h in expected], abs=1e-5
    )
    assert {row["truth"] for row in model} == {"dynamic"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "4 sequences, 20 windows" in page and "By kind" in page


def test_by_default_it_is_test_and_what_is_left_out_is_named(
    weights: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], make_frames: MakeFrames,
    write_folder: WriteFolder,
) -> None:  # fmt: skip
    root = tmp_path / "data"
    for name, count in (("long", 8), ("short", 3), ("gone", 8)):
        write_folder(root / name, make_frames(count))
    for index in range(8):
        (root / "gone" / f"frame_{index:06d}.png").write_bytes(b"")
    (root / "long" / "frame_000007.png").write_bytes(b"x")
    (root / "data.csv").write_text(
        "folder_name,type,split\nlong,static,test\nshort,static,test\ngone,dynamic,test\nother,static,train\n"
    )
    code = main(arguments(tmp_path / "out", "--data_root", str(root), "--weights", str(weights), "--baselines", "none"))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: ")]
    assert code == 3
    assert [line.split(":")[1].strip() for line in lines] == ["short", "long", "gone", "gone"]
    assert "decoded 7 of 8 frames" in lines[1] and "decoded 0 of 8 frames" in lines[2]
    assert "holds no window of 4 consecutive frames" in lines[3]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["left_out"] == [line[10:] for line in lines]


def test_a_source_is_judged_inside_its_region(
    weights: Path, tmp_path: Path, make_frames: MakeFrames, write_folder: WriteFolder
) -> None:
    frames = make_frames(1) * 10 + make_frames(12)
    source = write_folder(tmp_path / "frames", frames)
    (tmp_path / "truth.csv").write_text("start_frame,end_frame,x1,y1,x2,y2\n10,21,0,0,0.7,0.5\n")
    options = ["--source", str(source), "--truth", str(tmp_path / "truth.csv"), "--weights", str(weights)]
    region = ["--roi", "0 0 0.3 0 0.3 0.5 0 0.5"]
    assert main(arguments(tmp_path / "out", *options, *region, "--baselines", "frame_difference")) == 0
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    difference = content["methods"]["frame_difference"]
    assert difference["window_auc"] == {"value": 1.0, "low": None, "high": None}
    assert difference["cell_ap"]["value"] == 1.0
    assert difference["seconds_to_detection"]["value"] == pytest.approx(3 / 25)  # it moves from frame 11 on
    assert "intervals are undefined" in (tmp_path / "out" / "report.html").read_text()
    settings = {"source": str(source), "truth": tmp_path / "truth.csv", "false_cells": 2}
    for place in ({"roi": ("0 0 0.3 0 0.3 0.5 0 0.5",)}, {"ignore": ("0 0 1 0 1 0.5 0.34 0.5 0.34 1 0 1",)}):
        with pytest.raises(
            ConfigError, match=r"false_cells must be at most the number of cells that are scored, [12], got 3"
        ):
            run(weights, tmp_path / "out", **{**settings, **place, "false_cells": 3})


def test_tuned_weights_do_what_was_promised(weights: Path, data_root: Path, tmp_path: Path) -> None:
    before, place = weights.read_bytes(), tmp_path / "tuned.pth"
    tuned = run(
        weights, tmp_path / "a", data_root=data_root, split="val", recall=0.8, calibrate=True, save_weights=place
    )
    assert tuned.saved_weights == place and len(tuned.tuning) == 2
    checkpoint = load_checkpoint(place)
    noted = checkpoint.metrics
    assert noted is not None and noted["threshold_recall"] == 0.8
    again = run(place, tmp_path / "b", data_root=data_root, split="val").comparison
    cells = again.cells(MODEL)
    (_, false), (missed, found) = cells.confusion(checkpoint.threshold).tolist()
    assert found / (found + missed) >= 0.8
    assert found / (found + false) == pytest.approx(noted["threshold_precision"], abs=0.02)
    assert cells.calibration_error() == pytest.approx(noted["ece_after"], abs=0.01)
    assert tuned.comparison.cells(MODEL).calibration_error() == pytest.approx(noted["ece_before"])
    assert noted["ece_after"] < noted["ece_before"]
    assert weights.read_bytes() == before
    content = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert content["tuning"]["temperature"] == pytest.approx(noted["temperature"])
    assert content["methods"]["model"]["threshold"] == 0.5
    assert (
        "figures on this page are those of the weights as they were given" in (tmp_path / "a/report.html").read_text()
    )


def test_the_command_line_says_what_was_tuned(
    weights: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "t.safetensors"
    options = ["--data_root", str(data_root), "--split", "val", "--weights", str(weights), "--baselines", "none"]
    assert main(arguments(tmp_path, *options, "--recall", "0.9", "--save_weights", str(place))) == 0
    out = capsys.readouterr().out.splitlines()
    threshold = load_checkpoint(place).threshold
    assert out[1].startswith(f"threshold {threshold:.4f} finds 90.0% of what is dynamic")
    assert out[2] == f"tuned weights: {place}"


def test_nothing_is_overwritten_unasked(weights: Path, data_root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(weights.read_bytes())
    val = val_of(data_root)
    with pytest.raises(ConfigError, match=r"mine\.pth is there already"):
        run(weights, tmp_path / "out", **val, save_weights=mine)
    assert not (tmp_path / "out").exists()
    run(mine, tmp_path / "out", **val, overwrite=True)
    assert load_checkpoint(mine).threshold != 0.5
    with pytest.raises(ConfigError, match="no such folder for --save_weights"):
        run(weights, tmp_path / "out", **val, save_weights=tmp_path / "no" / "w.pth")


def test_what_must_stay_as_it_is_stays(weights: Path, data_root: Path, tmp_path: Path) -> None:
    last = tmp_path / "last.pth"
    save_checkpoint(last, replace(load_checkpoint(weights), training={"epoch": 1}))
    config = EvalConfig(**{**FAST, **val_of(data_root), "overwrite": True, "output": tmp_path / "out"})
    with pytest.raises(ConfigError, match="holds a training that may go on"):
        evaluate_weights(last, config)
    with pytest.raises(ConfigError, match="the shipped weights stay as they are"):
        evaluate_weights("shipped", config)
    (tmp_path / "export").mkdir()
    with pytest.raises(ConfigError, match="an export cannot be changed"):
        evaluate_weights(tmp_path / "export", config)
    copied = run(last, tmp_path / "out", **val_of(data_root), save_weights=tmp_path / "new.pth")
    assert copied.saved_weights is not None and load_checkpoint(copied.saved_weights).training is None


def test_the_threshold_of_the_checkpoint_holds_unless_another_is_given(
    weights: Path, data_root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.pth"
    save_checkpoint(other, replace(load_checkpoint(weights), threshold=0.7))
    val = {"data_root": data_root, "split": "val"}
    stored = run(other, tmp_path / "a", **val).comparison
    given = run(other, tmp_path / "b", **val, threshold=0.2).comparison
    assert (stored.thresholds[MODEL], given.thresholds[MODEL]) == (0.7, 0.2)
    hot = [sum(sum(s.methods[MODEL].num_hot) for s in c.sequences) for c in (stored, given)]
    assert hot[0] < hot[1]


def test_no_window_at_all_is_an_error(weights: Path, tmp_path: Path, write_folder: WriteFolder) -> None:
    root = tmp_path / "data"
    folder = write_folder(root / "s", [np.zeros((64, 96, 3), dtype=np.uint8)] * 5)
    (folder / "frame_000002.png").write_bytes(b"x")
    (root / "data.csv").write_text("folder_name,type,split\ns,static,test\n")
    with pytest.raises(DataError, match="no window could be scored: s: decoded 4 of 5"):
        run(weights, tmp_path / "out", data_root=root)


def test_an_output_that_cannot_be_written_is_named(weights: Path, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write to"):
        run(weights, tmp_path / "file" / "out", data_root=data_root, split="val")


def test_several_mistakes_of_one_source_are_shown(
    weights: Path, tmp_path: Path, make_frames: MakeFrames, write_folder: WriteFolder
) -> None:
    source = write_folder(tmp_path / "frames", make_frames(40))
    (tmp_path / "truth.csv").write_text("start_frame,end_frame\n")
    result = run(weights, tmp_path / "out", source=str(source), truth=tmp_path / "truth.csv")
    assert result.comparison.estimates[MODEL]["false_windows"].value > 0
    assert result.report.read_text().count('class="badge">false alarm<') > 2
