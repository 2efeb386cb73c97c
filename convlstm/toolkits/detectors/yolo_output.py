"""The tensors that exported YOLO models give, as boxes and masks.

    raw         (4 + K + M, A)   a column for each anchor: centre x, centre y, width, height, K class probabilities,
                                 M mask coefficients (YOLOv8, YOLO11)
    finished    (D, 6 + M)       a row for each detection, best first: x1 y1 x2 y2, confidence, class, M coefficients
                                 (YOLO26, and exports with nms=True)
    prototypes  (M, MH, MW)      a mask is the weighted sum of them, above 0

A anchors, D detections, K classes, M = 32 as a rule; all in pixels of the input. The layout is that of
https://docs.ultralytics.com; prototypes are those of YOLACT (Bolya et al. 2019, arXiv:1904.02689).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.errors import CheckpointError
from convlstm.toolkits.detectors.letterbox import Letterbox
from convlstm.types import Float32Array

MAX_DETECTIONS = 300
"""Kept of a frame, the most confident ones."""

_MAX_CANDIDATES = 5000  # before overlapping ones are removed


@dataclass(frozen=True)
class RawDetections:
    """Of one frame, best first: `boxes` (N, 4) in pixels of the input, `coefficients` (N, M)."""

    boxes: Float32Array
    confidences: Float32Array
    classes: NDArray[np.int64]
    coefficients: Float32Array

    def take(self, places: NDArray[np.generic]) -> "RawDetections":
        """Those at `places`: numbers, or a bool for each."""
        return RawDetections(
            self.boxes[places], self.confidences[places], self.classes[places], self.coefficients[places]
        )


def is_finished(output: Float32Array, num_prototypes: int, num_classes: int | None) -> bool:
    """Whether `output`, of one frame, holds finished detections, not anchors.

    Raises CheckpointError where it is neither.
    """
    rows, columns = output.shape
    if num_classes is not None and rows == 4 + num_classes + num_prototypes:
        return False
    if columns == 6 + num_prototypes:
        return True
    if num_classes is None and 5 + num_prototypes <= rows < columns:
        return False
    expected = f"4 + {num_classes if num_classes is not None else 'classes'} + {num_prototypes} rows of anchors"
    raise CheckpointError(
        f"an output of {rows}x{columns} is no YOLO detection: expected {expected}, or rows of {6 + num_prototypes} "
        "values; export a detect or segment model of YOLOv8, YOLO11 or YOLO26"
    )


def decode(
    output: Float32Array,
    *,
    num_prototypes: int,
    num_classes: int | None,
    confidence: float,
    iou: float,
    classes: Collection[int] | None,
) -> RawDetections:
    """Detections of one frame from the first output of a model, from `confidence` on, of `classes` (None: all).

    Of raw ones, those that overlap a better one of their class by more than `iou` are removed.
    """
    finished = is_finished(output, num_prototypes, num_classes)
    found = _finished_rows(output) if finished else _best_classes(output, num_prototypes)
    keep = found.confidences >= confidence
    if classes is not None:
        keep &= np.isin(found.classes, list(classes))
    found = found.take(keep)
    found = found.take(np.argsort(-found.confidences, kind="stable")[:_MAX_CANDIDATES])
    if not finished:
        found = found.take(_without_overlaps(found, iou))
    return found.take(np.arange(min(len(found.boxes), MAX_DETECTIONS)))


def _finished_rows(output: Float32Array) -> RawDetections:
    classes = np.rint(output[:, 5]).astype(np.int64)
    return RawDetections(output[:, :4], output[:, 4], classes, output[:, 6:])


def _best_classes(output: Float32Array, num_prototypes: int) -> RawDetections:
    anchors = output.T
    end = anchors.shape[1] - num_prototypes
    classes = anchors[:, 4:end].argmax(axis=1)
    confidences = anchors[np.arange(len(anchors)), 4 + classes]
    half = anchors[:, 2:4] / 2
    boxes = np.concatenate([anchors[:, :2] - half, anchors[:, :2] + half], axis=1)
    return RawDetections(boxes, confidences, classes.astype(np.int64), anchors[:, end:])


def _without_overlaps(found: RawDetections, iou: float) -> NDArray[np.int64]:
    """Places of those that stay after greedy non-maximum suppression within each class."""
    if not len(found.boxes):
        return np.empty(0, dtype=np.int64)
    corners_sizes = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(corners_sizes.tolist(), found.confidences.tolist(), found.classes.tolist(), 0.0, iou)
    return np.sort(np.asarray(kept, dtype=np.int64))


def masks_in_frame(found: RawDetections, prototypes: Float32Array, letterbox: Letterbox) -> Iterator[NDArray[np.bool_]]:
    """Mask (H, W) of the frame for each detection, within its box, from prototypes (M, MH, MW)."""
    boxes = letterbox.boxes_to_frame(found.boxes)
    for coefficients, box in zip(found.coefficients, boxes, strict=True):
        logits = np.tensordot(coefficients, prototypes, axes=1)  # (MH, MW)
        x1, y1, x2, y2 = (round(float(side)) for side in box)
        mask = np.zeros(letterbox.frame_size, dtype=bool)
        mask[y1:y2, x1:x2] = letterbox.map_to_frame(logits)[y1:y2, x1:x2] > 0
        yield mask
