"""Real ultralytics models, untrained: what the detector gives is what ultralytics gives, and its export agrees.

Where ultralytics is not installed all of it is skipped; the extra brings a second OpenCV and a torchvision that has no
build for this torch on the CPU, so that it stands in an environment of its own.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convlstm.errors import CheckpointError, ConfigError
from convlstm.toolkits.detectors.base import DetectionSettings
from convlstm.toolkits.detectors.onnx import OnnxDetector
from convlstm.toolkits.detectors.ultralytics import UltralyticsDetector
from tests.toolkits.torchvision_operators import register_operators

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # other people's warnings

CONFIDENCE = 0.5


@pytest.fixture(scope="module")
def yolo() -> Any:
    if find_spec("ultralytics") is None or find_spec("torchvision") is None:
        pytest.skip("needs the packages ultralytics (AGPL-3.0) and torchvision, which are in no requirements")
    register_operators()
    return pytest.importorskip("ultralytics").YOLO


def frames() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Square ones: others would be put into a rectangle by one and into a square by the other."""
    pixels = np.random.RandomState(0).randint(0, 256, (2, 12, 12, 3))
    return [np.kron(one, np.ones((8, 8, 1), dtype=int)).astype(np.uint8) for one in pixels]


@pytest.fixture(scope="module")
def models(yolo: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained models, saved, that are sure of something."""
    folder = tmp_path_factory.mktemp("yolo")
    paths = {}
    for name in ("yolov8n-seg", "yolov8n"):
        torch.manual_seed(0)
        model = yolo(f"{name}.yaml")
        _make_sure(model.model)
        model.ckpt = {"train_args": {"imgsz": 96}}  # what it is run at
        model.model.names = {number: f"class{number}" for number in range(80)}
        paths[name] = folder / f"{name}.pt"
        model.save(str(paths[name]))
    return paths


def _make_sure(network: Any) -> None:
    """Let activations be as large as in a trained network, and some classes stand out."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    network.train()
    with torch.no_grad():
        network(torch.from_numpy(np.stack(frames())).permute(0, 3, 1, 2) / 255)
    network.eval()
    for branch in network.model[-1].cv3:
        torch.nn.init.normal_(branch[-1].weight, std=0.2)
        torch.nn.init.constant_(branch[-1].bias, -4.0)


def test_it_gives_what_ultralytics_gives(yolo: Any, models: dict[str, Path]) -> None:
    detector = UltralyticsDetector(DetectionSettings(models["yolov8n-seg"], CONFIDENCE, 0.5, masks=True))
    found = list(detector.detect(frames()))
    images = [frame[..., ::-1] for frame in frames()]
    model = yolo(str(models["yolov8n-seg"]))
    results = model.predict(images, conf=CONFIDENCE, iou=0.5, retina_masks=True, verbose=False)
    assert sum(map(len, found)) > 2
    for ours, theirs in zip(found, results, strict=True):
        assert np.allclose(ours.xyxy, theirs.boxes.xyxy.numpy())
        assert np.allclose(ours.confidence, theirs.boxes.conf.numpy())
        assert ours.class_id.tolist() == theirs.boxes.cls.int().tolist()
        assert not len(ours) or ours.mask.shape == (len(ours), 96, 96)


def test_only_chosen_classes(models: dict[str, Path]) -> None:
    everything = UltralyticsDetector(DetectionSettings(models["yolov8n"], CONFIDENCE, 0.5))
    first = next(everything.detect(frames()))
    wanted = int(first.class_id[0])
    chosen = UltralyticsDetector(DetectionSettings(models["yolov8n"], CONFIDENCE, 0.5, (f"class{wanted}",)))
    found = next(chosen.detect(frames()))
    assert set(found.class_id.tolist()) == {wanted} != set(first.class_id.tolist())
    assert found.mask is None


def test_its_export_finds_the_same(models: dict[str, Path], yolo: Any) -> None:
    exported = yolo(str(models["yolov8n-seg"])).export(format="onnx", imgsz=(96, 96), simplify=False, verbose=False)
    ours = OnnxDetector(DetectionSettings(Path(exported), CONFIDENCE, 0.5, masks=True))
    theirs = UltralyticsDetector(DetectionSettings(models["yolov8n-seg"], CONFIDENCE, 0.5, masks=True))
    assert dict(ours.names) == dict(theirs.names) and ours.input_size == (96, 96)
    for one, other in zip(ours.detect(frames()), theirs.detect(frames()), strict=True):
        order, reference = np.argsort(-one.confidence), np.argsort(-other.confidence)
        assert np.allclose(one.confidence[order], other.confidence[reference], atol=1e-4)
        assert np.allclose(one.xyxy[order], other.xyxy[reference], atol=0.05)
        assert one.class_id[order].tolist() == other.class_id[reference].tolist()
        for mine, its in zip(order, reference, strict=True):
            assert np.mean(one.mask[int(mine)] != other.mask[int(its)]) < 0.02


def test_masks_of_a_detect_model_are_refused(models: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="finds boxes, no masks"):
        UltralyticsDetector(DetectionSettings(models["yolov8n"], 0.5, 0.5, masks=True))


def test_damaged_weights_are_one_line(yolo: Any, tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"ultralytics cannot load .*best\.pt") as caught:
        UltralyticsDetector(DetectionSettings(tmp_path / "best.pt", 0.5, 0.5))
    assert "\n" not in str(caught.value)
