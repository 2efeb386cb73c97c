"""One opener for all weights."""

from pathlib import Path

from convlstm.errors import CheckpointError, ConfigError
from convlstm.toolkits.detectors.base import DetectionSettings, Detector

WHERE_FROM = (
    "train one with ultralytics, or take one from https://docs.ultralytics.com/models, such as yolo11n-seg.pt, and "
    "export it: yolo export model=yolo11n-seg.pt format=onnx"
)


def check_weights(path: Path) -> None:
    """Raise CheckpointError where there is no such file, ConfigError where its ending tells nothing.

    Nothing is downloaded: ultralytics alone would fetch a missing file of a name that it knows.
    """
    if path.suffix.lower() not in (".pt", ".onnx"):
        raise ConfigError(f"weights must be a YOLO model that ends in .pt or .onnx, got {path}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: {WHERE_FROM}")


def open_detector(settings: DetectionSettings) -> Detector:
    """A detector from YOLO weights: `.onnx` in ONNX Runtime, `.pt` through ultralytics.

    Raises ConfigError and CheckpointError as the detectors do.
    """
    check_weights(settings.weights)
    if settings.weights.suffix.lower() == ".onnx":
        from convlstm.toolkits.detectors.onnx import OnnxDetector

        return OnnxDetector(settings)
    from convlstm.toolkits.detectors.ultralytics import UltralyticsDetector

    return UltralyticsDetector(settings)
