"""The three modes with a real, tiny model; what both YOLO tools share is tested with dynamic_segment_processor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
pytest.importorskip("supervision", reason="needs the package supervision")
pytest.importorskip("trackers", reason="needs the package trackers")

from convlstm.config.yolo_tools import DynamicBboxProcessorConfig
from convlstm.sources.images import read_image, read_mask
from convlstm.toolkits.dynamic_bbox_processor import padded, run
from convlstm.toolkits.origin import read_origin
from tests.toolkits.yolo_models import write_yolo

Pixels = NDArray[np.uint8]
NUM_FRAMES = 16
MISSED = (5, 6, 11)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_yolo(tmp_path_factory.mktemp("weights") / "fire.onnx", segments=False)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory, write_folder: Callable[..., Path]) -> Path:
    """A red square that moves over grey, in three frames too dark for the model, and for five frames a blue one."""
    frames = []
    red = np.full((16, 16, 3), 255)
    red[..., 1:] = np.random.RandomState(0).randint(0, 100, (8, 8, 1)).repeat(2, axis=0).repeat(2, axis=1)
    for index in range(NUM_FRAMES):
        pixels = np.full((96, 96, 3), 90, dtype=np.uint8)
        left = 8 + 4 * index
        pixels[30:46, left : left + 16] = red * 9 // 10 if index in MISSED else red
        if index < 5:
            pixels[70:86, 10:26] = (0, 0, 255)
        frames.append(pixels)
    return write_folder(tmp_path_factory.mktemp("in") / "yard", frames)


def process(weights: Path, source: Path, output: Path, **settings: Any) -> Any:
    given = {"iou": 0.3, "workers": 1, "smooth": 0, "classes": ("fire",), **settings}
    return run(DynamicBboxProcessorConfig(source=(str(source),), output=output, weights=weights, **given))


def read(folder: Path) -> tuple[list[Pixels], list[Pixels]]:
    names = sorted(path.name for path in folder.glob("frame_*.png"))
    return [read_image(folder / name) for name in names], [read_mask(folder / "masks" / name) for name in names]


def test_mask_leaves_the_box_and_its_padding(tmp_path: Path, weights: Path, footage: Path) -> None:
    result = process(weights, footage, tmp_path, padding=0.25)
    assert result.summary == "sources: 1, frames: 16, with detections: 13, held over misses: 3"
    frames, masks = read(tmp_path / "yard")
    assert len(frames) == NUM_FRAMES
    for index, (pixels, mask) in enumerate(zip(frames, masks, strict=True)):
        left = 8 + 4 * index
        expected = np.zeros((96, 96), dtype=np.uint8)
        expected[30:46, left : left + 16] = 255
        assert (mask == expected).all(), index  # the thing itself
        shown = np.zeros((96, 96), dtype=bool)
        shown[26:50, left - 4 : left + 20] = True
        assert (pixels.any(axis=2) == shown).all(), index


def test_union_cuts_the_same_part_out_of_all_frames(tmp_path: Path, weights: Path, footage: Path) -> None:
    process(weights, footage, tmp_path, mode="union", padding=0)
    frames, masks = read(tmp_path / "yard")
    assert [pixels.shape for pixels in frames] == [(16, 76, 3)] * NUM_FRAMES  # columns 8 to 84, rows 30 to 46
    whole = read_image(footage / "frame_000007.png")
    assert (frames[7] == whole[30:46, 8:84]).all()
    for index, mask in enumerate(masks):
        assert np.flatnonzero(mask.any(axis=0)).tolist() == list(range(4 * index, 4 * index + 16)), index
    process(weights, footage, tmp_path / "wide", mode="union", padding=5.0 / 4, classes=())
    (first, *_), _ = read(tmp_path / "wide" / "yard")
    assert first.shape == (86, 96, 3)  # and no farther than the frame


def test_crop_makes_a_sequence_of_each_thing_that_lasts(tmp_path: Path, weights: Path, footage: Path) -> None:
    result = process(weights, footage, tmp_path, mode="crop", classes=(), crop_size=64)
    assert result.exit_code == 0
    folder = tmp_path / "yard"
    assert sorted(path.name for path in folder.iterdir()) == ["boxes.csv", "origin.json", "track_0001"]
    frames, masks = read(folder / "track_0001")
    assert len(frames) == NUM_FRAMES and {pixels.shape for pixels in frames} == {(64, 64, 3)}
    for index, (pixels, mask) in enumerate(zip(frames, masks, strict=True)):
        red, green, blue = pixels[28:36, 28:36].mean(axis=(0, 1))
        assert red == pytest.approx(229 if index in MISSED else 255, abs=6) and max(green, blue) < 85, index
        assert mask[32, 32] == 255 and not mask[0].any()
    origin = read_origin(folder / "track_0001")
    assert origin is not None and (origin.group, origin.num_frames, origin.fps) == ("yard", NUM_FRAMES, 25)
    both = process(weights, footage, tmp_path / "all", mode="crop", classes=(), crop_size=64, min_track_frames=5)
    assert both.exit_code == 0
    assert len(list((tmp_path / "all" / "yard").glob("track_*"))) == 2


def test_what_is_too_short_is_told(tmp_path: Path, weights: Path, footage: Path) -> None:
    result = process(weights, footage, tmp_path, mode="crop", classes=("smoke",))
    (line,) = result.left_out
    assert "found no smoke in 16 frames that lasts for 10 frames" in line and "--min_track_frames" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["mask", "union", "crop"])
def test_masks_are_left_out_for_static_footage(tmp_path: Path, weights: Path, footage: Path, mode: str) -> None:
    process(weights, footage, tmp_path, mode=mode, masks=False)
    assert not list(tmp_path.rglob("masks"))
    assert len(list(tmp_path.rglob("frame_*.png"))) == NUM_FRAMES


def test_padding_goes_by_the_sides() -> None:
    assert padded(np.array([10.0, 20, 30, 60]), 0.5).tolist() == [0, 0, 40, 80]
