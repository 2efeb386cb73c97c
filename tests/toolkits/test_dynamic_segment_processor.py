"""The whole tool with a real, tiny model: from a video to what training reads."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
pytest.importorskip("supervision", reason="needs the package supervision")
pytest.importorskip("trackers", reason="needs the package trackers")

from convlstm.cli import main
from convlstm.config import TrainConfig
from convlstm.config.yolo_tools import DynamicSegmentProcessorConfig
from convlstm.errors import CheckpointError, ConfigError, DataError
from convlstm.sources.images import read_image, read_mask
from convlstm.sources.open import open_source
from convlstm.toolkits.dynamic_segment_processor import run
from convlstm.toolkits.origin import read_origin
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import open_sequences
from tests.toolkits.yolo_models import write_yolo

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yolo(tmp_path_factory.mktemp("weights") / "fire-seg.onnx", segments=True)


def squares(
    num_frames: int = 12, missed: Sequence[int] = (), colour: tuple[int, int, int] = (255, 0, 0)
) -> list[Pixels]:
    """A square that moves over grey; too dark for the model in the missed frames, but there."""
    frames = []
    for index in range(num_frames):
        pixels = np.full((96, 96, 3), 90, dtype=np.uint8)
        left = 8 + 4 * index
        pixels[30:46, left : left + 16] = np.array(colour) // 2 if index in missed else colour
        frames.append(pixels)
    return frames


def process(weights: Path, source: Path, output: Path, **settings: Any) -> Any:
    given = {"iou": 0.3, "workers": 1, **settings}
    config = DynamicSegmentProcessorConfig(source=(str(source),), output=output, weights=weights, **given)
    return run(config)


def sequence(folder: Path) -> tuple[list[Pixels], list[Pixels]]:
    """Frames and masks in order."""
    names = sorted(path.name for path in folder.glob("frame_*.png"))
    assert names == sorted(path.name for path in (folder / "masks").iterdir())
    return [read_image(folder / name) for name in names], [read_mask(folder / "masks" / name) for name in names]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_third_frame_missed_leaves_all_frames_and_continuous_times(
    tmp_path: Path, weights: Path, write_video: Callable[..., Path]
) -> None:
    missed = range(2, 18, 3)
    frames = squares(19, missed)
    video = write_video(tmp_path / "yard.mkv", frames, pix_fmt="yuv444p", options={"qp": "0"}, fps=10)
    frames = [frame.pixels for frame in open_source(video)]
    result = process(weights, video, tmp_path / "out", smooth=0)
    assert (result.exit_code, result.left_out) == (0, ())
    assert result.summary == "sources: 1, frames: 19, with detections: 13, held over misses: 6"
    kept, masks = sequence(tmp_path / "out" / "yard")
    assert len(kept) == 19
    for index, (pixels, mask) in enumerate(zip(kept, masks, strict=True)):
        left = 8 + 4 * index
        truth = np.zeros((96, 96), dtype=bool)
        truth[30:46, left : left + 16] = True
        assert ((mask > 0) & truth).sum() / ((mask > 0) | truth).sum() > 0.8, index
        assert not pixels[mask == 0].any() and (pixels[mask > 0] == frames[index][mask > 0]).all()
    times = [frame.pts_seconds for frame in open_source(tmp_path / "out" / "yard")]
    assert times == pytest.approx([index / 10 for index in range(19)])
    origin = read_origin(tmp_path / "out" / "yard")
    assert origin is not None and (origin.fps, origin.num_frames, origin.group) == (10, 19, "yard")


def test_training_takes_the_masks(tmp_path: Path, weights: Path, write_folder: WriteFolder) -> None:
    process(weights, write_folder(tmp_path / "in" / "a", squares()), tmp_path / "out" / "dynamic")
    row = ManifestRow("dynamic/a", "dynamic", "a", None, None, 2)
    (opened,), left_out = open_sequences([row], TrainConfig(data_root=tmp_path / "out", seq_length=10))
    assert left_out == [] and opened.masks == tmp_path / "out" / "dynamic" / "a" / "masks"


def test_only_chosen_classes_are_kept(tmp_path: Path, weights: Path, write_folder: WriteFolder) -> None:
    frames = squares()
    for pixels in frames:
        pixels[70:86, 40:56] = (0, 0, 255)
    source = write_folder(tmp_path / "both", frames)
    process(weights, source, tmp_path / "smoke", classes=("smoke",))
    process(weights, source, tmp_path / "all", classes=("fire", "1"))
    for name, classes in (("smoke", {(0, 0, 255)}), ("all", {(0, 0, 255), (255, 0, 0)})):
        (pixels, *_), (mask, *_) = sequence(tmp_path / name / "both")
        colours = {tuple(int(value) for value in colour) for colour in pixels[mask > 0]}
        assert classes <= colours <= classes | {(90, 90, 90)}


@pytest.mark.parametrize("background", ["blur", "keep"])
def test_other_backgrounds(tmp_path: Path, weights: Path, write_folder: WriteFolder, background: Any) -> None:
    frames = squares()
    process(weights, write_folder(tmp_path / "a", frames), tmp_path / "out", background=background)
    kept, masks = sequence(tmp_path / "out" / "a")
    assert all(pixels.min() >= 0 and pixels[mask == 0].any() for pixels, mask in zip(kept, masks, strict=True))
    assert all((pixels == frame).all() for pixels, frame in zip(kept, frames, strict=True)) is (background == "keep")


def test_without_masks_none_are_written(tmp_path: Path, weights: Path, write_folder: WriteFolder) -> None:
    process(weights, write_folder(tmp_path / "a", squares()), tmp_path / "out", masks=False)
    assert not (tmp_path / "out" / "a" / "masks").exists() and (tmp_path / "out" / "a" / "boxes.csv").exists()


def test_a_source_without_things_is_named_and_the_others_are_done(
    tmp_path: Path, weights: Path, write_folder: WriteFolder
) -> None:
    write_folder(tmp_path / "in" / "empty", [np.full((96, 96, 3), 90, dtype=np.uint8)] * 5)
    write_folder(tmp_path / "in" / "fire", squares())
    (tmp_path / "in" / "torn.mp4").write_bytes(b"no video")
    result = process(weights, tmp_path / "in", tmp_path / "out", classes=("fire",))
    assert result.exit_code == 3 and len(result.left_out) == 2
    assert (
        "empty: found no fire in 5 frames" in result.left_out[0] and "torn.mp4: cannot be opened" in result.left_out[1]
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["fire"]


def test_a_kept_background_without_things_is_footage_in_which_nothing_moves(
    tmp_path: Path, weights: Path, write_folder: WriteFolder
) -> None:
    write_folder(tmp_path / "empty", [np.full((96, 96, 3), 90, dtype=np.uint8)] * 5)
    assert process(weights, tmp_path / "empty", tmp_path / "out", background="keep").exit_code == 0
    _, masks = sequence(tmp_path / "out" / "empty")
    assert len(masks) == 5 and not np.any(masks)


def test_lost_frames_leave_a_gap_and_are_told(tmp_path: Path, weights: Path, write_folder: WriteFolder) -> None:
    folder = write_folder(tmp_path / "a", squares(12))
    (folder / "frame_000005.png").write_bytes(b"torn")
    result = process(weights, folder, tmp_path / "out")
    assert result.exit_code == 3 and "decoded 11 of 12 frames" in result.left_out[0]
    names = sorted(path.name for path in (tmp_path / "out" / "a").glob("frame_*.png"))
    assert len(names) == 11 and "frame_000006.png" not in names


def test_group_and_frame_rate_come_from_what_the_frames_were_made_from(
    tmp_path: Path, weights: Path, write_folder: WriteFolder
) -> None:
    folder = write_folder(tmp_path / "part7", squares())
    origin = {"tool": "x", "source": "v.mp4", "source_state": "", "settings": {}, "group": "yard", "num_frames": 12}
    (folder / "origin.json").write_text(json.dumps({**origin, "fps": 5.0}))
    process(weights, folder, tmp_path / "out")
    made = read_origin(tmp_path / "out" / "part7")
    assert made is not None and (made.group, made.fps) == ("yard", 5.0)


def test_a_second_run_does_only_what_is_missing(tmp_path: Path, weights: Path, write_folder: WriteFolder) -> None:
    for name in ("a", "b"):
        write_folder(tmp_path / "in" / name, squares())
    process(weights, tmp_path / "in", tmp_path / "out")
    before = everything(tmp_path / "out")
    marker = tmp_path / "out" / "a" / "mine.txt"
    marker.write_text("")
    for path in sorted((tmp_path / "out" / "b").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "out" / "b").rmdir()
    result = process(weights, tmp_path / "in", tmp_path / "out")
    assert result.summary.startswith("sources finished before: 1, sources: 1, frames: 12") and marker.exists()
    marker.unlink()
    assert everything(tmp_path / "out") == before
    assert "other settings" in process(weights, tmp_path / "in", tmp_path / "out", smooth=0).left_out[0]
    again = process(weights, tmp_path / "in", tmp_path / "out", smooth=0, overwrite=True)
    assert again.exit_code == 0 and everything(tmp_path / "out") != before


def test_another_model_of_the_same_name_is_other_work(tmp_path: Path, write_folder: WriteFolder) -> None:
    source = write_folder(tmp_path / "a", squares())
    model = write_yolo(tmp_path / "m.onnx", segments=True)
    process(model, source, tmp_path / "out")
    write_yolo(tmp_path / "m.onnx", segments=True, names={0: "a", 1: "b"})
    assert "other settings" in process(model, source, tmp_path / "out").left_out[0]


@pytest.mark.slow
def test_the_same_pixels_for_any_number_of_workers_and_batch(
    tmp_path: Path, weights: Path, write_folder: WriteFolder
) -> None:
    for name in ("a", "b", "c"):
        write_folder(tmp_path / "in" / name, squares(14, missed=(4, 5)))
    process(weights, tmp_path / "in", tmp_path / "one", workers=1)
    process(weights, tmp_path / "in", tmp_path / "two", workers=2, batch_size=3)
    assert everything(tmp_path / "one") == everything(tmp_path / "two")


def test_a_dry_run_writes_nothing(
    tmp_path: Path, weights: Path, write_folder: WriteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder(tmp_path / "in" / "a", squares())
    caplog.set_level("INFO", logger="convlstm")
    result = process(weights, tmp_path / "in", tmp_path / "out", dry_run=True)
    assert result.summary == "sources to process: 1" and not (tmp_path / "out").exists()
    assert f"a: 12 frames at 25 frames/s, to {tmp_path / 'out' / 'a'}" in caplog.text


def test_what_is_wrong_with_the_settings_is_told_before_anything_is_done(
    tmp_path: Path, weights: Path, write_folder: WriteFolder
) -> None:
    source = write_folder(tmp_path / "in" / "a", squares())
    with pytest.raises(ConfigError, match="known are 0 fire, 1 smoke"):
        process(weights, source, tmp_path / "out", classes=("flood",))
    with pytest.raises(CheckpointError, match=r"gone\.onnx: no such file: train one"):
        process(tmp_path / "gone.onnx", source, tmp_path / "out")
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        process(weights, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ConfigError, match="lies inside the source"):
        process(weights, tmp_path / "in", tmp_path / "in" / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_line(
    tmp_path: Path, weights: Path, write_folder: WriteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_folder(tmp_path / "a", squares())
    command = ["data", "dynamic_segment_processor", "--source", str(source), "--output", str(tmp_path / "out")]
    assert main([*command, "--weights", str(weights), "--classes", "fire", "smoke", "--max-gap", "3"]) == 0
    assert "sources: 1, frames: 12" in capsys.readouterr().out
    assert main([*command, "--weights", str(tmp_path / "no.onnx")]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main(["data", "dynamic_segment_processor", "--help"]) == 0
    assert "convlstm data dynamic_segment_processor --source videos" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_gives_the_same(
    tmp_path: Path, weights: Path, write_folder: WriteFolder
) -> None:
    for name in ("a", "b", "c", "d"):
        write_folder(tmp_path / "in" / name, squares(20, missed=(4, 9)))
    process(weights, tmp_path / "in", tmp_path / "whole")
    command = [sys.executable, "-m", "convlstm", "data", "dynamic_segment_processor", "--iou", "0.3", "--workers", "1"]
    command += ["--source", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--weights", str(weights)]
    chance = random.Random(5)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    num_killed = 0
    for number in range(3):
        running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None and not list(tmp_path.glob(f"out/{'abc'[number]}*")) + list(
            tmp_path.glob(f"out/.{'abc'[number]}*")
        ):
            time.sleep(0.002)  # until it writes that one
        time.sleep(chance.uniform(0, 0.05))
        running.send_signal(signal.SIGKILL)
        num_killed += running.wait() == -signal.SIGKILL
    assert num_killed == 3
    process(weights, tmp_path / "in", tmp_path / "out")
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")


def test_pictures_are_what_a_viewer_shows(tmp_path: Path, weights: Path, write_folder: WriteFolder) -> None:
    process(weights, write_folder(tmp_path / "a", squares()), tmp_path / "out", smooth=0)
    image = cv2.imread(str(tmp_path / "out" / "a" / "frame_000001.png"))
    assert image is not None and image[38, 16].tolist() == [0, 0, 255]  # red in OpenCV's order
