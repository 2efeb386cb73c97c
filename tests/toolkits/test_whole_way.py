"""From real videos and photographs to a trained model that detects, by the commands that docs/toolkits.md shows."""

import csv
from pathlib import Path

import cv2
import pytest

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
pytest.importorskip("supervision", reason="needs the package supervision")
pytest.importorskip("trackers", reason="needs the package trackers")

from convlstm.cli import main
from convlstm.sources.images import read_image, read_mask
from convlstm.sources.open import open_source
from tests.toolkits.yolo_models import write_yolo

pytestmark = pytest.mark.slow

SIZE = ["96", "160"]
WEIGHTS_OF_COLOURS = ((2.4, -1.0, -1.6), (1.5, -1.2, 1.0))  # an orange vest, a cream-coloured dog


def tool(name: str, *arguments: object) -> None:
    assert main(["data", name, *map(str, arguments), "--workers", "1"]) == 0, name


@pytest.fixture
def videos(shared_data: Path) -> Path:
    return shared_data / "real" / "train"


@pytest.fixture
def photos(tmp_path: Path, videos: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for name in ("bottle-detection.mp4", "classroom.gif", "car-detection.mp4", "store-aisle-detection.gif"):
        (pixels,) = open_source(videos / name).read([0])
        cv2.imwrite(str(tmp_path / "photos" / f"{Path(name).stem}.jpg"), pixels[..., ::-1])
    return tmp_path / "photos"


def test_from_videos_and_photographs_to_detection(tmp_path: Path, videos: Path, photos: Path) -> None:
    frames, data, run = tmp_path / "frames", tmp_path / "data", tmp_path / "runs"
    colours = {0: "vest", 1: "dog"}
    yolo = write_yolo(
        tmp_path / "seg.onnx",
        segments=True,
        size=(180, 320),
        window=(26, 20),
        names=colours,
        colours=WEIGHTS_OF_COLOURS,
    )
    for name in ("worker-zone-detection.gif", "dog-eating.mp4"):
        tool("video_frame_extractor", "--source", videos / name, "--output", frames, "--fps", "5", "--end", "4")
    for name, wanted in (("worker-zone-detection", "vest"), ("dog-eating", "dog")):
        segment = ["--source", frames / name, "--output", data / "dynamic", "--weights", yolo, "--iou", "0.3"]
        tool("dynamic_segment_processor", *segment, "--classes", wanted)
        _check_segmented(frames / name, data / "dynamic" / name)
    tool(
        "image_to_static_frames", "--source", photos, "--output", data / "static", "--num_frames", "12", "--size", *SIZE
    )
    tool("sequence_augmentation", "--source", data, "--output", data)
    tool("check_corrupted_images", "--source", data, "--output", run / "check", "--ignore", "duplicate")
    tool("generate_data_csv", "--root", data, "--split", "0.5", "0.5")
    _check_manifest(data)
    train = ["train", "--data_root", data, "--project", run, "--epochs", "2", "--batch_size", "4", "--seq_length", "6"]
    train += ["--target_size", *SIZE, "--num_workers", "0", "--device", "cpu"]
    assert main(list(map(str, train))) == 0
    best = run / "exp" / "weights" / "best.pth"
    detect = ["detect", "--source", frames / "worker-zone-detection", "--weights", best, "--output", tmp_path / "out"]
    assert main([*map(str, detect), "--engine", "torch", "--device", "cpu"]) == 0
    (row,) = csv.DictReader((tmp_path / "out" / "results.csv").read_text().splitlines())
    assert row["error"] == "" and int(row["windows"]) > 0 and 0 <= float(row["probability"]) <= 1


def _check_segmented(before: Path, after: Path) -> None:
    """All frames are there at their times, and what is kept is what the mask tells."""
    names = [sorted(path.name for path in folder.glob("frame_*.png")) for folder in (before, after, after / "masks")]
    assert names[0] == names[1] == names[2] and len(names[0]) >= 15
    times = [[frame.pts_seconds for frame in open_source(folder)] for folder in (before, after)]
    assert times[0] == times[1]
    for name in names[0]:
        pixels, mask, original = read_image(after / name), read_mask(after / "masks" / name), read_image(before / name)
        assert (pixels[mask > 0] == original[mask > 0]).all() and not pixels[mask == 0].any()
        assert 0.001 < (mask > 0).mean() < 0.5, name


def _check_manifest(data: Path) -> None:
    """Copies stand on the side of their originals, and both sides hold both classes."""
    rows = list(csv.DictReader((data / "data.csv").read_text().splitlines()))
    assert len(rows) == 12 and {row["type"] for row in rows} == {"static", "dynamic"}
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["group"], set()).add(row["split"])
    assert len(splits) == 6 and all(len(sides) == 1 for sides in splits.values())
    for side in ("train", "val"):
        assert {row["type"] for row in rows if row["split"] == side} == {"static", "dynamic"}
