"""Boxes of a detector: taken from any usual object, compared, and followed over frames.

Boxes are float64 (N, 4), x1 y1 x2 y2 in pixels of the frame. Supervision and ultralytics are never imported: what
counts is which attributes an object has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convlstm.errors import DataError
from convlstm.heatmap import Box

FloatArray = NDArray[np.float64]

_EXPECTED = "expected supervision.Detections, an ultralytics result, or rows of x1 y1 x2 y2 [confidence [class]]"


@dataclass(frozen=True)
class Detections:
    """What a detector found in one frame.

    `boxes` float64 (N, 4) in pixels; `confidences` (N,) in [0, 1] and `track_ids` (N,) where the detector gives them;
    an id under 0 belongs to no track yet.
    """

    boxes: FloatArray
    confidences: FloatArray | None = None
    track_ids: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise DataError(f"boxes of shape {self.boxes.shape}: {_EXPECTED}")
        if not np.isfinite(self.boxes).all():
            raise DataError("a box holds a number that is not finite: expected x1 y1 x2 y2 in pixels")
        wrong = (self.boxes[:, 2:] < self.boxes[:, :2]).any(axis=1)
        if wrong.any():
            raise DataError(f"box {_words(self.boxes[wrong][0])}: x2 y2 lie before x1 y1; give corners, not widths")
        for name, values in (("confidences", self.confidences), ("track ids", self.track_ids)):
            if values is not None and values.shape != (len(self.boxes),):
                raise DataError(f"{len(self.boxes)} boxes, but {name} of shape {values.shape}: give one for each box")

    def __len__(self) -> int:
        return len(self.boxes)


def as_detections(given: Any) -> Detections:
    """Detections of one frame from supervision.Detections, an ultralytics result, or an array; None is none at all.

    Raises DataError for anything else.
    """
    if isinstance(given, Detections):
        return given
    if isinstance(given, list | tuple) and len(given) == 1 and hasattr(given[0], "boxes"):
        given = given[0]  # YOLO answers with a list of results
    found = given.boxes if hasattr(given, "boxes") else given
    if hasattr(found, "xyxy"):
        confidences, ids = (_first_of(found, *names) for names in (("confidence", "conf"), ("tracker_id", "id")))
        return Detections(
            _array(found.xyxy).reshape(-1, 4),
            None if confidences is None else _array(confidences).reshape(-1),
            None if ids is None else _array(ids).reshape(-1).astype(np.int64),
        )
    if found is None and given is not None:
        raise DataError(f"{type(given).__name__} holds no boxes: use a model that gives boxes")
    rows = _array([] if given is None else given)
    if not rows.size:
        return Detections(np.empty((0, 4)))
    if rows.ndim != 2 or not 4 <= rows.shape[1] <= 6:
        raise DataError(f"detections of shape {rows.shape}: {_EXPECTED}")
    return Detections(rows[:, :4], rows[:, 4] if rows.shape[1] > 4 else None)


def image_of(given: Any) -> Any:
    """The image that an ultralytics result was found in, BGR (H, W, 3); None for other detections."""
    if isinstance(given, list | tuple) and len(given) == 1:
        given = given[0]
    return getattr(given, "orig_img", None)


def _first_of(found: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(found, name, None)) is not None), None)


def _array(values: Any) -> FloatArray:
    """Also tensors, on whatever device."""
    for method in ("detach", "cpu", "numpy"):
        if hasattr(values, method):
            values = getattr(values, method)()
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{type(values).__name__} is no detections: {_EXPECTED}") from error


def _words(box: FloatArray) -> str:
    return " ".join(f"{side:g}" for side in box)


def check_in_frame(boxes: FloatArray, size: tuple[int, int]) -> None:
    """Raise DataError where boxes (N, 4) cannot be pixels of a frame of `size` = (height, width)."""
    if not len(boxes):
        return
    height, width = size
    if boxes.max() <= 1 < min(size) and boxes.min() >= -1:
        raise DataError(
            f"box {_words(boxes[0])} looks normalised: give pixels of the frame, here {width}x{height}: x * {width}, "
            f"y * {height}"
        )
    sides = np.array([width, height, width, height])
    far = ((boxes < -sides) | (boxes > 2 * sides)).any(axis=1)
    if far.any():
        raise DataError(
            f"box {_words(boxes[far][0])} lies far outside the frame of {width}x{height}: give boxes in pixels of the "
            "frame that is verified"
        )


def normalise_box(box: FloatArray, size: tuple[int, int]) -> Box:
    """A box (4,) in pixels as shares of the frame of `size` = (height, width), cut to it, at least a pixel large."""
    height, width = size
    sides = []
    for low, high, length in ((box[0], box[2], width), (box[1], box[3], height)):
        start = min(max(float(low), 0.0), length - 1.0)
        sides.append((start / length, min(max(float(high), start + 1), float(length)) / length))
    (x1, x2), (y1, y2) = sides
    return x1, y1, x2, y2


def box_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of boxes (N, 4) and (M, 4): (N, M) in [0, 1]; boxes without area overlap nothing."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), dtype=np.float64)


def match_boxes(a: FloatArray, b: FloatArray, min_iou: float) -> list[tuple[int, int]]:
    """Pairs of boxes (N, 4) and (M, 4), those that overlap most first, none twice, each pair at least `min_iou`."""
    if not len(a) or not len(b):
        return []
    overlap = box_iou(a, b)
    order = np.argsort(-overlap, axis=None, kind="stable")
    pairs, used_a, used_b = [], set(), set()
    for i, j in zip(*np.unravel_index(order, overlap.shape), strict=True):
        if overlap[i, j] < min_iou or overlap[i, j] == 0:
            break
        if i not in used_a and j not in used_b:
            pairs.append((int(i), int(j)))
            used_a.add(i)
            used_b.add(j)
    return pairs


@dataclass
class BoxTracker:
    """Gives boxes of one frame after the other the numbers of their tracks, by overlap alone.

    A track that was not seen for more than `max_missed` frames is forgotten; what appears there then is a new one.
    """

    min_iou: float
    max_missed: int
    _last: dict[int, tuple[int, FloatArray]] = field(default_factory=dict)
    _num_tracks: int = 0

    def assign(self, index: int, boxes: FloatArray) -> list[int]:
        """Track numbers, from 1, of the boxes (N, 4) of frame `index`."""
        self._last = {track: seen for track, seen in self._last.items() if index - seen[0] <= self.max_missed + 1}
        known: Sequence[int] = list(self._last)
        before = np.array([self._last[track][1] for track in known]).reshape(-1, 4)
        tracks = [0] * len(boxes)
        for i, j in match_boxes(before, boxes, self.min_iou):
            tracks[j] = known[i]
        for j, box in enumerate(boxes):
            if not tracks[j]:
                self._num_tracks += 1
                tracks[j] = self._num_tracks
            self._last[tracks[j]] = (index, box)
        return tracks
