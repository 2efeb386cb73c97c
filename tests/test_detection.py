"""A detection job end to end: what is on disk afterwards, whatever the sources were."""

import csv
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convlstm.config import DetectConfig, ModelConfig
from convlstm.detection import DetectResult, detect
from convlstm.errors import CheckpointError, DataError
from convlstm.inference.predictor import Predictor
from convlstm.inference.stream import HeatmapStream
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.sources.open import open_source
from convlstm.types import Frame, Heatmap

Pixels = NDArray[np.uint8]
MakeFrames = Callable[..., list[Pixels]]
WriteFolder = Callable[..., Path]
WriteVideo = Callable[..., Path]

COLUMNS = ["source", "prediction", "probability", "windows", "frames", "first_dynamic_s", "error"]
TABLES = ("results.csv", "results.jsonl", "events.json")


def make_checkpoint(threshold: float = 0.5, **options: Any) -> Checkpoint:
    """Windows of 4 frames of 64x96; a head so steep that windows differ."""
    torch.manual_seed(0)
    model = TemporalClassifier(ModelConfig(**options))
    with torch.no_grad():
        model.final_classifier.weight.mul_(100)
    return Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=threshold, fps=25)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    save_checkpoint(path, make_checkpoint())
    return path


@pytest.fixture(scope="module")
def frames(make_frames: MakeFrames) -> list[Pixels]:
    return make_frames(12)


@pytest.fixture
def recordings(tmp_path: Path, frames: list[Pixels], write_folder: WriteFolder, write_video: WriteVideo) -> Path:
    """Three good sources."""
    root = tmp_path / "recordings"
    write_folder(root / "cam1", frames)
    write_folder(root / "cam2", frames[::-1])
    write_video(root / "road.mp4", frames)
    return root


@pytest.fixture
def job(tmp_path: Path, weights: Path) -> Callable[..., DetectResult]:
    def run(source: str | Path, **settings: Any) -> DetectResult:
        config = DetectConfig(**{"output": tmp_path / "results", "device": "cpu", "stride": 1, **settings})
        return detect(source, weights, config)

    return run


def read_rows(output: Path) -> list[dict[str, str]]:
    with (output / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_windows(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]


def read_tables(output: Path) -> dict[str, bytes]:
    return {name: (output / name).read_bytes() for name in TABLES}


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_all_files_of_one_source(
    tmp_path: Path, weights: Path, frames: list[Pixels], write_folder: WriteFolder, job: Callable[..., DetectResult]
) -> None:
    folder = write_folder(tmp_path / "cam1", frames)
    heatmaps = list(Predictor(weights, device="cpu", stride=2)(folder))
    peaks = [float(heatmap.probabilities.max()) for heatmap in heatmaps]
    threshold = sorted(peaks)[2]
    first = next(i for i, peak in enumerate(peaks) if peak >= threshold)
    result = job(folder, stride=2, save_viz=True, save_heatmaps=True, threshold=threshold)
    output = tmp_path / "results"
    assert {path.name for path in output.iterdir() if not path.name.startswith(".")} == {
        *TABLES,
        "cam1_result.png",
        "cam1_heatmaps.npz",
    }
    assert (result.exit_code, result.num_skipped, result.output) == (0, 0, output)

    assert (output / "results.csv").read_text().splitlines()[0].split(",") == COLUMNS
    [row] = read_rows(output)
    assert (row["source"], row["windows"], row["frames"], row["error"]) == (str(folder), "5", "12", "")
    assert row["prediction"] == "dynamic" and float(row["probability"]) == pytest.approx(max(peaks), abs=1e-6)
    assert float(row["first_dynamic_s"]) == pytest.approx(2 * first / 25)

    windows = read_windows(output)
    for window, heatmap, peak in zip(windows, heatmaps, peaks, strict=True):
        assert window == {
            "source": str(folder),
            "first_frame": heatmap.first_frame,
            "last_frame": heatmap.first_frame + 3,
            "start_s": pytest.approx(heatmap.first_frame / 25),
            "end_s": pytest.approx((heatmap.first_frame + 3) / 25),
            "probability": pytest.approx(peak, abs=1e-6),
            "cells": int((heatmap.probabilities >= np.float32(threshold)).sum()),
        }

    with np.load(output / "cam1_heatmaps.npz", allow_pickle=False) as arrays:
        assert {name: (arrays[name].dtype.name, arrays[name].shape) for name in arrays.files} == {
            "heatmaps": ("float32", (5, 2, 3)),
            "first_frame": ("int64", (5,)),
            "last_frame": ("int64", (5,)),
            "start_s": ("float64", (5,)),
            "end_s": ("float64", (5,)),
        }
        np.testing.assert_array_equal(arrays["heatmaps"], [heatmap.probabilities for heatmap in heatmaps])
        assert arrays["last_frame"].tolist() == [3, 5, 7, 9, 11]
        np.testing.assert_allclose(arrays["end_s"], arrays["last_frame"] / 25)
    assert (output / "cam1_result.png").read_bytes().startswith(b"\x89PNG")


def test_events_are_on_disk_as_the_design_says(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]
) -> None:
    job(recordings / "cam1", threshold=0.001, event_hysteresis=0.0)
    [event] = json.loads((tmp_path / "results" / "events.json").read_text())
    peak = max(window["probability"] for window in read_windows(tmp_path / "results"))
    assert event == {
        "source": str(recordings / "cam1"),
        "start_s": 0.0,
        "end_s": pytest.approx(11 / 25),
        "start_frame": 0,
        "end_frame": 11,
        "peak_probability": pytest.approx(peak, abs=1e-6),
        "box": [0.0, 0.0, 1.0, 1.0],
    }


def test_nothing_dynamic_is_a_result_too(recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]) -> None:
    result = job(recordings / "cam1", threshold=0.999999)
    assert result.exit_code == 0
    [row] = read_rows(tmp_path / "results")
    assert (row["prediction"], row["first_dynamic_s"], row["windows"]) == ("static", "", "9")
    assert json.loads((tmp_path / "results" / "events.json").read_text()) == []


def test_the_threshold_is_the_checkpoints_unless_given(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]
) -> None:
    job(recordings / "cam1", output=tmp_path / "measure")
    probability = float(read_rows(tmp_path / "measure")[0]["probability"])
    below, above = probability - 1e-4, probability + 1e-4
    for saved, given, prediction in (
        (below, None, "dynamic"),
        (above, None, "static"),
        (below, above, "static"),
        (above, below, "dynamic"),
    ):
        path = tmp_path / "thresholds.pth"
        save_checkpoint(path, make_checkpoint(threshold=saved))
        config = DetectConfig(output=tmp_path / "results", device="cpu", stride=1, threshold=given)
        assert detect(recordings / "cam1", path, config).rows[0].prediction == prediction


def test_three_classes_name_the_likeliest(recordings: Path, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(classes=("static", "dynamic", "negative"))
    for winner in ("static", "dynamic", "negative"):
        bias = torch.full((3,), -200.0)
        bias[checkpoint.model.classes.index(winner)] = 200.0
        path = tmp_path / f"{winner}.pth"
        save_checkpoint(path, replace(checkpoint, weights={**checkpoint.weights, "final_classifier.bias": bias}))
        result = detect(recordings / "cam1", path, DetectConfig(output=tmp_path / winner, device="cpu"))
        assert result.rows[0].prediction == winner
        assert result.rows[0].probability == pytest.approx(float(winner == "dynamic"))


def test_one_bad_source_among_many(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "convlstm")
    (recordings / "empty").mkdir()
    (recordings / "broken.mp4").write_bytes(b"no video")
    shutil.copytree(recordings / "cam1", recordings / "damaged")
    damage(recordings / "damaged" / "frame_000005.png")
    result = job(recordings, batch=True, save_heatmaps=True)
    output = tmp_path / "results"
    assert result.exit_code == 3
    errors = {Path(row["source"]).name: row["error"] for row in read_rows(output)}
    assert list(errors) == ["broken.mp4", "cam1", "cam2", "damaged", "empty", "road.mp4"]
    assert {name for name, error in errors.items() if not error} == {"cam1", "cam2", "road.mp4"}
    assert errors["broken.mp4"].endswith(
        "broken.mp4: cannot be opened as a video: Invalid data found when processing input"
    )
    assert "empty: no images in this folder" in errors["empty"]
    assert errors["damaged"].startswith("decoded 11 of 12 frames; unreadable: frame_000005.png: ")
    assert {Path(window["source"]).name for window in read_windows(output)} == {"cam1", "cam2", "damaged", "road.mp4"}
    finished = [output / f"{name}_heatmaps.npz" for name in ("cam1", "cam2", "road")]
    stamps = [path.stat().st_mtime_ns for path in finished]

    # A second run does only what was not complete, and goes well once the sources are mended.
    shutil.copy(recordings / "cam1" / "frame_000005.png", recordings / "damaged" / "frame_000005.png")
    (recordings / "empty").rmdir()
    (recordings / "broken.mp4").write_bytes((recordings / "road.mp4").read_bytes())
    caplog.clear()
    result = job(recordings, batch=True, save_heatmaps=True)
    assert (result.exit_code, result.num_skipped, len(result.rows)) == (0, 3, 5)
    assert "3 of 5 sources are complete already" in caplog.messages
    assert [path.stat().st_mtime_ns for path in finished] == stamps
    by_name = {Path(row.source).name: row for row in result.rows}
    assert by_name["damaged"].probability == by_name["cam1"].probability
    assert by_name["broken.mp4"].probability == by_name["road.mp4"].probability


def test_all_bad_is_a_failure(tmp_path: Path, job: Callable[..., DetectResult]) -> None:
    for name in ("a", "b"):
        (tmp_path / "bad" / name).mkdir(parents=True)
    result = job(tmp_path / "bad", batch=True)
    assert result.exit_code == 1
    assert [row["windows"] for row in read_rows(tmp_path / "results")] == ["", ""]


def test_a_damaged_image_leaves_a_gap(recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]) -> None:
    damage(recordings / "cam1" / "frame_000005.png")
    result = job(recordings / "cam1")
    assert result.exit_code == 3
    assert [window["first_frame"] for window in read_windows(tmp_path / "results")] == [0, 1, 6, 7, 8]
    [row] = read_rows(tmp_path / "results")
    assert (row["windows"], row["frames"]) == ("5", "11")
    assert row["error"] == "decoded 11 of 12 frames; unreadable: frame_000005.png: damaged or truncated image"


def test_a_missing_frame_is_named_and_no_window_spans_it(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]
) -> None:
    (recordings / "cam1" / "frame_000005.png").unlink()
    result = job(recordings / "cam1")
    assert result.exit_code == 0  # all that was given was used
    assert [window["first_frame"] for window in read_windows(tmp_path / "results")] == [0, 1, 6, 7, 8]
    assert read_rows(tmp_path / "results")[0]["error"] == (
        "1 frame missing between frame_000004.png and frame_000006.png: no window spans a gap"
    )


def test_two_numberings_in_a_folder(
    tmp_path: Path, frames: list[Pixels], write_folder: WriteFolder, job: Callable[..., DetectResult]
) -> None:
    names = [f"{kind}_{number}.png" for kind in ("frame", "img") for number in range(6)]
    result = job(write_folder(tmp_path / "mixed", frames, names))
    assert result.exit_code == 1
    assert re.search(
        r"two numberings in one folder, (frame|img)_\d\.png and (frame|img)_\d\.png: give each its own folder",
        read_rows(tmp_path / "results")[0]["error"],
    )


def test_too_short_names_both_numbers_and_is_padded_only_by_name(
    tmp_path: Path, frames: list[Pixels], write_folder: WriteFolder, job: Callable[..., DetectResult]
) -> None:
    folder = write_folder(tmp_path / "short", frames[:3])
    result = job(folder)
    assert result.exit_code == 1
    assert result.rows[0].error.startswith(f"{folder}: 3 consecutive frames, but a window needs 4: ")
    padded = job(folder, short_sequences="repeat_last")
    assert (padded.exit_code, padded.rows[0].windows, padded.rows[0].frames) == (0, 1, 3)
    [window] = read_windows(tmp_path / "results")
    assert (window["first_frame"], window["last_frame"]) == (0, 2)


@pytest.mark.parametrize("short_sequences", ["error", "repeat_last"])
def test_too_few_frames_because_of_damage_names_the_damage(
    tmp_path: Path,
    frames: list[Pixels],
    write_folder: WriteFolder,
    job: Callable[..., DetectResult],
    short_sequences: str,
) -> None:
    folder = write_folder(tmp_path / "dark", frames[:5])
    for path in folder.iterdir():
        path.write_bytes(b"")
    result = job(folder, short_sequences=short_sequences)
    assert result.exit_code == 1
    assert "0 consecutive frames, but a window needs 4" in result.rows[0].error
    assert "decoded 0 of 5 frames; unreadable: frame_000000.png: empty file, " in result.rows[0].error


def test_globs_of_videos_and_of_images(recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]) -> None:
    shutil.copy(recordings / "road.mp4", recordings / "street.mp4")
    videos = job(f"{recordings}/*.mp4")
    assert [Path(row.source).name for row in videos.rows] == ["road.mp4", "street.mp4"]
    images = job(f"{recordings}/cam1/frame_00000[0-5].png", output=tmp_path / "images")
    assert [(Path(row.source).name, row.frames, row.windows) for row in images.rows] == [("cam1", 6, 3)]
    assert videos.exit_code == images.exit_code == 0


def test_sources_of_the_same_name_do_not_share_files(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]
) -> None:
    for place in ("north", "south"):
        shutil.copytree(recordings / "cam1", tmp_path / "places" / place / "cam")
    result = job(f"{tmp_path}/places/*/cam", save_heatmaps=True)
    assert [row.windows for row in result.rows] == [9, 9]
    assert len(list((tmp_path / "results").glob("*_heatmaps.npz"))) == 2


def test_running_again_does_nothing(recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]) -> None:
    first = job(recordings, batch=True)
    tables = read_tables(tmp_path / "results")
    second = job(recordings, batch=True)
    assert (second.num_skipped, second.rows, second.exit_code) == (3, first.rows, 0)
    assert read_tables(tmp_path / "results") == tables


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.25},
        {"stride": 2},
        {"fps": 10.0},
        {"short_sequences": "repeat_last"},
        {"event_hysteresis": 0.0},
        {"event_min_seconds": 1.0},
        {"event_max_gap_seconds": 2.0},
        {"event_max_distance": 0.0},
        {"event_padding_seconds": 0.1},
        {"save_clips": True},
        {"save_video": True},
        {"save_viz": True},
        {"save_heatmaps": True},
        {"overwrite": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_settings_are_done_anew(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult], change: dict[str, Any]
) -> None:
    job(recordings / "cam1")
    assert job(recordings / "cam1", **change).num_skipped == 0
    clean = job(recordings / "cam1", **change, output=tmp_path / "clean")
    assert clean.exit_code == 0
    assert read_tables(tmp_path / "results") == read_tables(tmp_path / "clean")


def test_another_source_or_other_weights_are_done_anew(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]
) -> None:
    folder = recordings / "cam1"
    job(folder)
    os.utime(folder / "frame_000003.png", ns=(1, 1))
    assert job(folder).num_skipped == 0
    (folder / "frame_000011.png").unlink()
    assert job(folder).num_skipped == 0
    assert job(folder).num_skipped == 1
    save_checkpoint(tmp_path / "other.pth", make_checkpoint(stem="motion"))
    config = DetectConfig(output=tmp_path / "results", device="cpu", stride=1)
    assert detect(folder, tmp_path / "other.pth", config).num_skipped == 0
    assert len(read_windows(tmp_path / "results")) == 8


def test_killed_while_writing_and_run_again_equals_a_clean_run(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = job(recordings, batch=True, save_heatmaps=True, output=tmp_path / "clean")
    whole = Predictor.heatmaps

    def killed(self: Predictor, frames: Iterator[Frame], name: str, **options: Any) -> Iterator[Heatmap]:
        for count, heatmap in enumerate(whole(self, frames, name, **options)):
            if count == 3 and name.endswith("cam2"):
                raise KeyboardInterrupt
            yield heatmap

    monkeypatch.setattr(Predictor, "heatmaps", killed)
    with pytest.raises(KeyboardInterrupt):
        job(recordings, batch=True, save_heatmaps=True)
    monkeypatch.undo()
    output = tmp_path / "results"
    assert len(read_windows(output)) == 9 + 3
    with (output / "results.jsonl").open("ab") as file:
        file.write(b'{"source": "' + str(recordings / "cam2").encode() + b'", "first_fr')
    assert job(recordings, batch=True, save_heatmaps=True).num_skipped == 1
    assert read_tables(output) == read_tables(tmp_path / "clean")
    for name in ("cam1", "cam2", "road"):
        with (
            np.load(output / f"{name}_heatmaps.npz") as again,
            np.load(tmp_path / "clean" / f"{name}_heatmaps.npz") as wanted,
        ):
            np.testing.assert_array_equal(again["heatmaps"], wanted["heatmaps"])
    assert len(clean.rows) == 3


NASTY = [
    "<img src=x onerror=alert(1)>",
    "a\"b'c,d",
    "line\nbreak",
    "=HYPERLINK(1)",
    "-2+3",
    "@SUM(1)",
    "%s {0} \\N",
    "..hidden",
    "日本",
]


def test_names_that_mean_something_elsewhere_are_harmless(
    tmp_path: Path, frames: list[Pixels], write_folder: WriteFolder, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NASTY:
        write_folder(tmp_path / "in" / name, frames[:4])
    monkeypatch.chdir(tmp_path / "in")
    sources = "[!.]*"  # relative, so that names stand at the start of their cells
    config = DetectConfig(output=tmp_path / "results", device="cpu", save_viz=True, save_heatmaps=True)
    result = detect(sources, weights, config)
    names = [name for name in sorted(NASTY) if not name.startswith(".")]
    assert result.exit_code == 0 and [row.source for row in result.rows] == names
    assert {window["source"] for window in read_windows(tmp_path / "results")} == set(names)
    cells = [row["source"] for row in read_rows(tmp_path / "results")]
    assert len(cells) == len(names)
    for cell, name in zip(cells, names, strict=True):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) and "\n" not in cell
        assert cell.removeprefix("'") == name.replace("\n", " ")
    for suffix in ("_result.png", "_heatmaps.npz"):
        files = [path.name for path in (tmp_path / "results").glob(f"*{suffix}")]
        assert len(files) == len(names)
        assert all(re.fullmatch(r"[\w.-]+", name) for name in files)
    assert detect(sources, weights, config).num_skipped == len(names)


def test_what_cannot_even_start(recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]) -> None:
    with pytest.raises(DataError, match="none: no such file or folder"):
        job(recordings / "none")
    with pytest.raises(DataError, match="use --batch to take each of them"):
        shutil.rmtree(recordings / "cam1")
        job(recordings)
    with pytest.raises(CheckpointError, match="no such weights file"):
        detect(recordings / "cam2", tmp_path / "none.pth", DetectConfig(output=tmp_path / "results"))
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match=r"cannot write to .*taken: File exists"):
        job(recordings / "cam2", output=tmp_path / "taken")
    assert not (tmp_path / "results").exists()


def test_opencv_leaves_the_cores_to_the_network_meanwhile(
    recordings: Path, job: Callable[..., DetectResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = cv2.getNumThreads(), []
    process = HeatmapStream.process

    def noting(self: HeatmapStream, frames: Sequence[Frame]) -> list[Heatmap]:
        seen.append(cv2.getNumThreads())
        return process(self, frames)

    monkeypatch.setattr(HeatmapStream, "process", noting)
    cv2.setNumThreads(2)
    try:
        job(recordings / "cam1")
        assert set(seen) == {1} and cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_another_frame_rate_than_in_training_is_said(
    tmp_path: Path,
    frames: list[Pixels],
    write_video: WriteVideo,
    job: Callable[..., DetectResult],
    caplog: pytest.LogCaptureFixture,
) -> None:
    job(write_video(tmp_path / "usual.mp4", frames, fps=25))
    assert "frames/s" not in caplog.text
    assert job(write_video(tmp_path / "slow.mp4", frames, fps=5)).exit_code == 0
    assert "slow.mp4: 5 frames/s, but the weights were trained at 25" in caplog.text


def test_it_works_with_no_training_at_all_and_says_with_which_weights(
    tmp_path: Path, weights: Path, frames: list[Pixels], write_folder: WriteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "convlstm")
    folder = write_folder(tmp_path / "cam1", frames)
    config = DetectConfig(output=tmp_path / "results", device="cpu", stride=1)
    result = detect(folder, config=config)
    shipped = Predictor(device="cpu").checkpoint
    assert f"weights: shipped ({shipped.digest[:12]})" in caplog.messages
    assert result.rows[0].windows == len(frames) - shipped.seq_length + 1
    caplog.clear()
    assert detect(folder, "shipped", config).num_skipped == 1
    assert detect(folder, weights, config).num_skipped == 0
    assert f"weights: {weights} ({load_checkpoint(weights).digest[:12]})" in caplog.messages


def frames_in(path: Path) -> int:
    return len(list(open_source(path)))


def test_clips_and_video_hold_what_events_json_says(
    tmp_path: Path, weights: Path, make_frames: MakeFrames, write_video: WriteVideo, job: Callable[..., DetectResult]
) -> None:
    video = write_video(tmp_path / "road.mp4", make_frames(40))
    heatmaps = list(Predictor(weights, device="cpu", stride=1, engine="torch")(video))
    peaks = sorted(float(heatmap.probabilities.max()) for heatmap in heatmaps)
    threshold = peaks[-6]
    settings = {"threshold": threshold, "event_hysteresis": 0.0, "event_max_gap_seconds": 0.0, "save_clips": True}
    assert job(video, **settings, save_video=True).exit_code == 0
    output = tmp_path / "results"
    events = json.loads((output / "events.json").read_text())
    assert events
    shown: dict[str, set[int]] = {}
    for event in events:
        shown.setdefault(event["clip"], set()).update(range(event["start_frame"], event["end_frame"] + 1))
    assert {f"road_clips/{path.name}" for path in (output / "road_clips").iterdir()} == set(shown)
    for clip, frames in shown.items():
        assert frames_in(output / clip) == len(frames) == max(frames) - min(frames) + 1
    assert frames_in(output / "road_video.mp4") == 40
    again = job(video, **settings, save_video=True)
    assert again.num_skipped == 1
    (output / next(iter(shown))).unlink()
    assert job(video, **settings, save_video=True).num_skipped == 0
    assert (output / next(iter(shown))).exists()
    assert job(video, **settings).num_skipped == 1


def test_clips_are_made_for_what_was_scanned_without(recordings: Path, job: Callable[..., DetectResult]) -> None:
    job(recordings / "road.mp4", threshold=0.01)
    assert job(recordings / "road.mp4", threshold=0.01, save_clips=True).num_skipped == 0
    assert job(recordings / "road.mp4", threshold=0.01, save_clips=True).num_skipped == 1


def test_videos_end_at_the_limit_and_the_job_goes_on(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult], caplog: pytest.LogCaptureFixture
) -> None:
    limits = {"threshold": 0.01, "save_clips": True, "save_video": True, "max_output_gb": 2e-6}
    result = job(recordings, batch=True, **limits)
    assert result.exit_code == 0 and len(result.rows) == 3
    assert "videos reached 2e-06 GB" in caplog.text
    events = json.loads((tmp_path / "results" / "events.json").read_text())
    assert {"cam1_clips/clip_001.mp4", None} == {event["clip"] for event in events}
    assert job(recordings / "cam1", **limits).num_skipped == 1


def test_padding_makes_events_longer_but_not_longer_than_the_source(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]
) -> None:
    def spans(padding: float) -> list[tuple[int, int]]:
        job(recordings / "cam1", threshold=0.3, event_max_gap_seconds=0.0, event_padding_seconds=padding)
        events = json.loads((tmp_path / "results" / "events.json").read_text())
        assert all(event["start_s"] == pytest.approx(event["start_frame"] / 25) for event in events)
        assert all(event["end_s"] == pytest.approx(event["end_frame"] / 25) for event in events)
        return [(event["start_frame"], event["end_frame"]) for event in events]

    plain = spans(0.0)
    assert plain
    assert sorted(spans(0.08)) == sorted((max(0, start - 2), min(11, end + 2)) for start, end in plain)
    assert set(spans(60.0)) == {(0, 11)}


def test_one_recording_in_parts_gives_what_one_file_gives(
    tmp_path: Path, make_frames: MakeFrames, write_folder: WriteFolder, job: Callable[..., DetectResult]
) -> None:
    frames = make_frames(30)
    write_folder(tmp_path / "whole", frames)
    for number, start in enumerate((0, 7, 19)):
        write_folder(tmp_path / "parts" / f"part_{number + 9}", frames[start : (7, 19, 30)[number]])
    settings = {"threshold": 0.3, "save_heatmaps": True, "save_viz": True}
    job(tmp_path / "whole", **settings, output=tmp_path / "a")
    result = job(tmp_path / "parts", **settings, output=tmp_path / "b", batch=True, continuous=True)
    assert [(row.source, row.frames) for row in result.rows] == [(str(tmp_path / "parts"), 30)]
    one, joined = (json.loads((tmp_path / name / "events.json").read_text()) for name in ("a", "b"))
    assert one and len(one) == len(joined)
    for event, other in zip(one, joined, strict=True):
        places = {key: other.pop(key) for key in ("start_file", "start_in_file_s", "end_file", "end_in_file_s")}
        assert {**event, "source": ""} == {**other, "source": ""}
        part = max(p for p, start in enumerate((0, 7, 19)) if start <= event["start_frame"])
        assert places["start_file"] == str(tmp_path / "parts" / f"part_{part + 9}")
        assert places["start_in_file_s"] == pytest.approx((event["start_frame"] - (0, 7, 19)[part]) / 25)
    with np.load(tmp_path / "a" / "whole_heatmaps.npz") as a, np.load(tmp_path / "b" / "parts_heatmaps.npz") as b:
        for name in a:
            np.testing.assert_allclose(a[name], b[name], atol=1e-6)
    again = job(tmp_path / "parts", **settings, output=tmp_path / "b", batch=True, continuous=True)
    assert again.num_skipped == 1


def test_sampled_frames_keep_the_numbers_and_times_of_the_video(
    tmp_path: Path, make_frames: MakeFrames, write_video: WriteVideo, job: Callable[..., DetectResult]
) -> None:
    video = write_video(tmp_path / "road.mp4", make_frames(40))
    result = job(video, sample_fps=12.5, threshold=0.001, save_heatmaps=True)
    windows = [json.loads(line) for line in (tmp_path / "results" / "results.jsonl").read_text().splitlines()]
    assert [(w["first_frame"], w["last_frame"]) for w in windows] == [(2 * i, 2 * i + 6) for i in range(17)]
    assert [w["end_s"] for w in windows] == pytest.approx([w["last_frame"] / 25 for w in windows], abs=0.001)
    (event,) = json.loads((tmp_path / "results" / "events.json").read_text())
    assert (event["start_frame"], event["end_frame"], result.rows[0].frames) == (0, 38, 20)
    with np.load(tmp_path / "results" / "road_heatmaps.npz") as arrays:
        assert arrays["first_frame"].tolist() == [w["first_frame"] for w in windows]


def test_cells_outside_the_region_count_for_nothing(
    recordings: Path, tmp_path: Path, job: Callable[..., DetectResult]
) -> None:
    job(recordings / "road.mp4", roi=("0 0 1 0 1 0.5 0 0.5",), ignore=("0 0 0.34 0 0.34 1 0 1",), threshold=0.001)
    windows = [json.loads(line) for line in (tmp_path / "results" / "results.jsonl").read_text().splitlines()]
    assert {w["cells"] for w in windows} == {2}  # of two rows of three
    (event,) = json.loads((tmp_path / "results" / "events.json").read_text())
    assert event["box"] == pytest.approx([1 / 3, 0, 1, 0.5], abs=1e-5)
    again = job(recordings / "road.mp4", threshold=0.001)
    assert again.num_skipped == 0  # another region is another result
