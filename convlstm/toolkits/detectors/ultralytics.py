"""Weights as ultralytics saves them, run by ultralytics itself (AGPL-3.0): the only module that imports it.

A .pt file is a pickle, which can hold any program: load only what comes from where you trust.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from convlstm.errors import CheckpointError, ConfigError
from convlstm.toolkits.detectors.base import DetectionSettings, choose_classes
from convlstm.toolkits.detectors.installed import require
from convlstm.types import UInt8Array

if TYPE_CHECKING:
    import supervision as sv


class UltralyticsDetector:
    """A `Detector` of a YOLO detect or segment model.

    Raises ConfigError where ultralytics is not installed, a class is unknown, or masks are wanted of a model that has
    none; CheckpointError where the file is no such model.
    """

    def __init__(self, settings: DetectionSettings) -> None:
        path = settings.weights
        self._supervision = require("supervision")
        yolo = require("ultralytics").YOLO
        if settings.num_threads:
            torch.set_num_threads(settings.num_threads)  # of the whole process
        try:
            self._model = yolo(str(path))
        except Exception as error:  # whatever a pickle raises
            raise CheckpointError(f"ultralytics cannot load {path}: {' '.join(str(error).split())}") from error
        if self._model.task not in ("detect", "segment"):
            raise CheckpointError(f"{path} is a {self._model.task} model: expected a detect or segment model")
        if settings.masks and self._model.task != "segment":
            raise ConfigError(f"{path} finds boxes, no masks: use a segment model (-seg), or dynamic_bbox_processor")
        self.names: Mapping[int, str] = dict(self._model.names)
        chosen = choose_classes(settings.classes, self.names)
        self._wants_masks = settings.masks
        self._arguments = {
            "conf": settings.confidence,
            "iou": settings.iou,
            "classes": None if chosen is None else list(chosen),
            "device": None if settings.device == "auto" else settings.device,
            "retina_masks": settings.masks,  # as large as the frame
            "verbose": False,
        }

    def detect(self, frames: Sequence[UInt8Array]) -> "Iterator[sv.Detections]":
        """As `Detector.detect`."""
        if not frames:
            return
        images = [frame[..., ::-1] for frame in frames]  # it takes arrays for BGR
        for result in self._model.predict(images, **self._arguments):
            found = self._supervision.Detections.from_ultralytics(result)
            yield found if self._wants_masks else _boxes_only(self._supervision, found)


def _boxes_only(supervision: "type[sv]", found: "sv.Detections") -> "sv.Detections":
    return supervision.Detections(xyxy=found.xyxy, confidence=found.confidence, class_id=found.class_id)
