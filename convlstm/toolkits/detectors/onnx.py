"""Exported YOLO models, detect and segment, in ONNX Runtime; ultralytics is not needed."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convlstm.errors import CheckpointError, ConfigError
from convlstm.toolkits.detectors.base import DetectionSettings, choose_classes
from convlstm.toolkits.detectors.installed import require
from convlstm.toolkits.detectors.letterbox import Letterbox
from convlstm.toolkits.detectors.yolo_output import RawDetections, decode, masks_in_frame
from convlstm.types import Float32Array, UInt8Array

if TYPE_CHECKING:
    import supervision as sv

_DEFAULT_SIZE = (640, 640)  # of models that take any and do not tell what they were trained on


class OnnxDetector:
    """A `Detector` of a YOLO detect or segment export.

    Raises ConfigError where ONNX Runtime is not installed, a class is unknown, or masks are wanted of a model that has
    none; CheckpointError where the file is no such model.
    """

    def __init__(self, settings: DetectionSettings) -> None:
        path = settings.weights
        self._supervision = require("supervision")
        self._session = _open_session(path, settings.device, settings.num_threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.names: Mapping[int, str] = _read_names(metadata)
        self._classes = choose_classes(settings.classes, self.names)
        self._settings = settings
        self._input = self._session.get_inputs()[0]
        outputs = self._session.get_outputs()
        self._num_prototypes = _num_prototypes(path, self._input, outputs)
        if settings.masks and not self._num_prototypes:
            raise ConfigError(f"{path} finds boxes, no masks: use a segment model (-seg), or dynamic_bbox_processor")
        self.input_size = _input_size(self._input.shape, metadata)

    def detect(self, frames: Sequence[UInt8Array]) -> "Iterator[sv.Detections]":
        """As `Detector.detect`."""
        if not frames:
            return
        height, width = frames[0].shape[:2]
        letterbox = Letterbox((height, width), self.input_size)
        images = np.stack([letterbox.apply(frame) for frame in frames]).transpose(0, 3, 1, 2)
        kind = np.float16 if self._input.type == "tensor(float16)" else np.float32
        outputs, prototypes = self._run(np.ascontiguousarray(images / np.float32(255), dtype=kind))
        for place, output in enumerate(outputs):
            yield self._detections(output, None if prototypes is None else prototypes[place], letterbox)

    def _run(self, images: Any) -> tuple[Float32Array, Float32Array | None]:
        """Of (B, 3, H, W): the first output for each image, and the prototypes where masks are wanted."""
        fixed = self._input.shape[0]
        size = fixed if isinstance(fixed, int) else len(images)
        rows, prototypes = [], []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            missing = size - len(batch)
            full = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch
            results = self._session.run(None, {self._input.name: full})
            rows.append(results[0][: len(batch)])
            if self._settings.masks:
                prototypes.append(results[1][: len(batch)])
        return _joined(rows), _joined(prototypes) if prototypes else None

    def _detections(
        self, output: Float32Array, prototypes: Float32Array | None, letterbox: Letterbox
    ) -> "sv.Detections":
        found = decode(
            output,
            num_prototypes=self._num_prototypes,
            num_classes=len(self.names) or None,
            confidence=self._settings.confidence,
            iou=self._settings.iou,
            classes=self._classes,
        )
        boxes = letterbox.boxes_to_frame(found.boxes)
        masks = None if prototypes is None else self._masks(found, boxes, prototypes, letterbox)
        detections = self._supervision.Detections(
            xyxy=boxes, confidence=found.confidences, class_id=found.classes, mask=masks
        )
        return detections if masks is None else detections[masks.area > 0]

    def _masks(
        self, found: RawDetections, boxes: NDArray[np.float64], prototypes: Float32Array, letterbox: Letterbox
    ) -> Any:
        """A CompactMask: whole masks of a hundred detections in a large frame would fill the memory."""
        compact, size = self._supervision.CompactMask, letterbox.frame_size
        masks = zip(masks_in_frame(found, prototypes, letterbox), boxes, strict=True)
        parts = [compact.from_dense(mask[None], box[None], size) for mask, box in masks]
        return compact.merge([compact.from_dense(np.zeros((0, *size), dtype=bool), np.zeros((0, 4)), size), *parts])


def _joined(batches: list[Any]) -> Float32Array:
    return np.concatenate(batches).astype(np.float32, copy=False)


def _open_session(path: Path, device: str, num_threads: int) -> Any:
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = num_threads
    try:
        return onnxruntime.InferenceSession(str(path), options, _providers(onnxruntime, device))
    except Exception as error:  # its exceptions have no common base but this
        raise CheckpointError(f"ONNX Runtime cannot load {path}: {' '.join(str(error).split())}") from error


def _providers(onnxruntime: Any, device: str) -> list[Any]:
    kind, _, number = device.partition(":")
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if kind == "cpu" or (kind == "auto" and not has_cuda):
        return ["CPUExecutionProvider"]
    if kind not in ("auto", "cuda"):
        raise ConfigError(f"ONNX Runtime knows the devices cpu and cuda, got {device}")
    if not has_cuda:
        raise ConfigError(f"device {device}: this ONNX Runtime has no CUDA: pip install onnxruntime-gpu, or cpu")
    return [("CUDAExecutionProvider", {"device_id": int(number or 0)}), "CPUExecutionProvider"]


def _read_names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Names of the classes as exports note them, "{0: 'fire', 1: 'smoke'}"; empty where they do not."""
    try:
        names = ast.literal_eval(metadata["names"])
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(number): str(name) for number, name in pairs}
    except (KeyError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return {}


def _num_prototypes(path: Path, images: Any, outputs: Sequence[Any]) -> int:
    """How many mask prototypes a segment model has; 0 of a detect model. Raises CheckpointError for other models."""
    is_image = len(images.shape) == 4 and images.shape[1] == 3
    shapes = [output.shape for output in outputs]
    if not is_image or not shapes or len(shapes[0]) != 3 or (len(shapes) > 1 and len(shapes[1]) != 4):
        raise CheckpointError(
            f"{path} is no YOLO detect or segment model: it takes {images.shape} and gives "
            f"{', '.join(map(str, shapes))}; export one: yolo export model=best.pt format=onnx"
        )
    return int(shapes[1][1]) if len(shapes) > 1 else 0


def _input_size(shape: Sequence[Any], metadata: Mapping[str, str]) -> tuple[int, int]:
    """Height and width that the model takes; where it takes any, those it was exported with."""
    height, width = shape[2:]
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    try:
        size = ast.literal_eval(metadata["imgsz"])
        height, width = size if isinstance(size, list | tuple) else (size, size)
        return int(height), int(width)
    except (KeyError, ValueError, SyntaxError, TypeError):
        return _DEFAULT_SIZE
