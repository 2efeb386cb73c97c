"""Real models in ONNX Runtime, with the layout of YOLO exports: what they find, and where."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
pytest.importorskip("supervision", reason="needs the package supervision")

from convlstm.errors import CheckpointError, ConfigError
from convlstm.toolkits.detectors.base import DetectionSettings
from convlstm.toolkits.detectors.onnx import OnnxDetector
from tests.toolkits.yolo_models import write_yolo

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    kinds: dict[str, dict[str, Any]] = {
        "seg": {"segments": True},
        "detect": {"segments": False},
        "one": {"segments": False, "batch": 1},
        "four": {"segments": True, "batch": 4},
        "half": {"segments": True, "half": True},
        "nameless": {"segments": False, "names": None},
    }
    return {name: write_yolo(folder / f"{name}.onnx", **settings) for name, settings in kinds.items()}


def frame() -> Pixels:
    """A red square with a corner missing, and a blue one; twice the size of the input."""
    pixels = np.full((128, 192, 3), 90, dtype=np.uint8)
    pixels[20:52, 60:92] = (255, 0, 0)
    pixels[20:28, 60:68] = 90
    pixels[80:112, 120:152] = (0, 0, 255)
    return pixels


def detector(path: Path, **changes: Any) -> OnnxDetector:
    return OnnxDetector(DetectionSettings(path, **{"confidence": 0.25, "iou": 0.3, **changes}))


@pytest.mark.parametrize("name", ["seg", "detect", "one", "four", "half"])
def test_boxes_are_in_pixels_of_the_frame(models: dict[str, Path], name: str) -> None:
    (found,) = detector(models[name]).detect([frame()])
    order = np.argsort(found.class_id)
    assert found.class_id[order].tolist() == [0, 1]
    assert found.xyxy[order].tolist() == [[60, 20, 92, 52], [120, 80, 152, 112]]
    assert found.confidence.tolist() == pytest.approx([0.95, 0.95], abs=1e-3)
    assert found.mask is None


@pytest.mark.parametrize("name", ["seg", "four", "half"])
def test_masks_follow_the_thing_and_not_the_box(models: dict[str, Path], name: str) -> None:
    (found,) = detector(models[name], masks=True, classes=("fire",)).detect([frame()])
    (mask,) = found.mask
    truth = (frame() == (255, 0, 0)).all(axis=2)
    assert mask.shape == (128, 192)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85
    assert not mask[20:24, 60:64].any()


@pytest.mark.parametrize("name", ["detect", "one", "four"])
@pytest.mark.parametrize("num_frames", [1, 3, 6])
def test_a_batch_gives_what_its_frames_give_alone(models: dict[str, Path], name: str, num_frames: int) -> None:
    frames = [np.roll(frame(), 8 * place, axis=1) for place in range(num_frames)]
    model = detector(models[name])
    together = [found.xyxy.tolist() for found in model.detect(frames)]
    alone = [next(model.detect([one])).xyxy.tolist() for one in frames]
    assert together == alone and len({str(boxes) for boxes in alone}) == num_frames
    assert list(model.detect([])) == []


def test_classes_are_chosen_by_the_names_in_the_file(models: dict[str, Path]) -> None:
    (found,) = detector(models["detect"], classes=("Smoke",)).detect([frame()])
    assert found.class_id.tolist() == [1]
    with pytest.raises(ConfigError, match="known are 0 fire, 1 smoke"):
        detector(models["detect"], classes=("flood",))


def test_without_names_numbers_do(models: dict[str, Path]) -> None:
    (found,) = detector(models["nameless"], classes=("1",)).detect([frame()])
    assert found.class_id.tolist() == [1]


def test_nothing_there_is_nothing_found(models: dict[str, Path]) -> None:
    (found,) = detector(models["seg"], masks=True).detect([np.full((64, 64, 3), 90, dtype=np.uint8)])
    assert len(found) == 0


def test_red_and_blue_are_not_exchanged(models: dict[str, Path]) -> None:
    (found,) = detector(models["detect"]).detect([frame()[..., ::-1].copy()])
    order = np.argsort(found.class_id)
    assert found.xyxy[order].tolist() == [[120, 80, 152, 112], [60, 20, 92, 52]]


def test_masks_of_a_detect_model_are_refused(models: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"finds boxes, no masks: use a segment model \(-seg\)"):
        detector(models["detect"], masks=True)


def test_names_may_be_a_list_or_rubbish(tmp_path: Path) -> None:
    listed = write_yolo(tmp_path / "a.onnx", segments=False, names=None, metadata={"names": "['fire', 'smoke']"})
    assert detector(listed).names == {0: "fire", 1: "smoke"}
    rubbish = write_yolo(tmp_path / "b.onnx", segments=False, names=None, metadata={"names": "__import__('os')"})
    assert detector(rubbish).names == {}


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    make = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Relu", ["images"], ["scores"])
    shape = [1, 3, 8, 8]
    graph = onnx.helper.make_graph([node], "g", [make("images", 1, shape)], [make("scores", 1, shape)])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(CheckpointError, match=r"other\.onnx is no YOLO detect or segment model"):
        detector(tmp_path / "other.onnx")


@pytest.mark.parametrize(("device", "advice"), [("mps", "cpu and cuda, got mps"), ("cuda:3", "has no CUDA")])
def test_a_device_that_is_not_there(models: dict[str, Path], device: str, advice: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is there")
    with pytest.raises((ConfigError, CheckpointError), match=advice):
        detector(models["detect"], device=device)
