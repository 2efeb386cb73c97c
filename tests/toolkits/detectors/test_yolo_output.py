import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.errors import CheckpointError
from convlstm.toolkits.detectors.letterbox import Letterbox
from convlstm.toolkits.detectors.yolo_output import (
    MAX_DETECTIONS,
    RawDetections,
    decode,
    is_finished,
    masks_in_frame,
)

pytestmark = pytest.mark.pure

Floats = NDArray[np.float32]


def raw(*anchors: tuple[float, ...]) -> Floats:
    """An output (4 + K + M, A) of anchors, padded to many."""
    table = np.zeros((len(anchors[0]), 100), dtype=np.float32)
    table[:, : len(anchors)] = np.array(anchors).T
    return table


def found(output: Floats, **changes: object) -> RawDetections:
    settings = {"num_prototypes": 0, "num_classes": 2, "confidence": 0.25, "iou": 0.5, "classes": None, **changes}
    return decode(output, **settings)  # type: ignore[arg-type]


def test_anchors_become_boxes_best_first() -> None:
    output = raw((50, 40, 20, 10, 0.1, 0.6), (10, 10, 4, 4, 0.9, 0.2), (80, 80, 4, 4, 0.2, 0.1))
    result = found(output)
    assert result.boxes.tolist() == [[8, 8, 12, 12], [40, 35, 60, 45]]
    assert result.classes.tolist() == [0, 1]
    assert result.confidences.tolist() == pytest.approx([0.9, 0.6])


def test_overlapping_boxes_of_one_class_count_once() -> None:
    output = raw((50, 50, 20, 20, 0.8, 0), (52, 50, 20, 20, 0.9, 0), (51, 50, 20, 20, 0, 0.7), (63, 50, 20, 20, 0.6, 0))
    result = found(output)  # the overlap of the first two is 0.82, of the second and the last 0.29
    assert result.confidences.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert result.classes.tolist() == [0, 1, 0]
    assert len(found(output, iou=0.9).boxes) == 4
    assert len(found(output, iou=0.2).boxes) == 2


def test_only_chosen_classes_and_only_what_is_best_of_an_anchor() -> None:
    output = raw((50, 50, 20, 20, 0.8, 0.7), (10, 10, 4, 4, 0.3, 0.5))
    result = found(output, classes=(1,))
    assert (result.classes.tolist(), result.boxes.tolist()) == ([1], [[8, 8, 12, 12]])


def test_the_confidence_itself_is_enough() -> None:
    assert len(found(raw((50, 50, 20, 20, 0.5, 0.0)), confidence=0.5).boxes) == 1
    assert len(found(raw((50, 50, 20, 20, 0.5, 0.0)), confidence=0.51).boxes) == 0


def test_finished_rows_stay_as_they_are() -> None:
    rows = np.zeros((300, 6), dtype=np.float32)
    rows[0], rows[1], rows[2] = (1, 2, 30, 40, 0.9, 1), (2, 2, 30, 40, 0.8, 1), (5, 5, 9, 9, 0.1, 0)
    result = found(rows)
    assert result.boxes.tolist() == [[1, 2, 30, 40], [2, 2, 30, 40]]
    assert result.classes.tolist() == [1, 1]


def test_coefficients_stay_with_their_boxes() -> None:
    output = raw((50, 50, 20, 20, 0.5, 0.0, 7, 8, 9), (10, 10, 4, 4, 0.0, 0.9, 4, 5, 6))
    assert found(output, num_prototypes=3).coefficients.tolist() == [[4, 5, 6], [7, 8, 9]]
    rows = np.zeros((300, 9), dtype=np.float32)
    rows[0] = (1, 2, 3, 4, 0.9, 1, 7, 8, 9)
    assert found(rows, num_prototypes=3).coefficients.tolist() == [[7, 8, 9]]


def test_crowds_are_cut_to_the_best() -> None:
    places = np.arange(2000)
    output = np.zeros((6, 2000), dtype=np.float32)
    output[:4] = places * 10, places * 10, np.full(2000, 4), np.full(2000, 4)
    output[4] = 0.3 + places / 4000
    result = found(output)
    assert len(result.boxes) == MAX_DETECTIONS
    assert result.confidences.min() >= np.sort(output[4])[-MAX_DETECTIONS]


@pytest.mark.parametrize(
    ("shape", "num_prototypes", "num_classes", "answer"),
    [
        ((84, 8400), 0, 80, False),
        ((116, 8400), 32, 80, False),
        ((300, 6), 0, 80, True),
        ((300, 38), 32, 80, True),
        ((84, 8400), 0, None, False),
        ((300, 6), 0, None, True),
        ((6, 6), 0, 2, False),
    ],
)
def test_the_layout_is_known_by_its_shape(
    shape: tuple[int, int], num_prototypes: int, num_classes: int | None, answer: bool
) -> None:
    assert is_finished(np.zeros(shape, dtype=np.float32), num_prototypes, num_classes) is answer


@pytest.mark.parametrize(("shape", "num_classes"), [((84, 8400), 2), ((1000, 3), None)])
def test_another_network_is_refused(shape: tuple[int, int], num_classes: int | None) -> None:
    with pytest.raises(CheckpointError, match=rf"output of {shape[0]}x{shape[1]} is no YOLO detection"):
        is_finished(np.zeros(shape, dtype=np.float32), 0, num_classes)


def test_a_mask_is_the_weighted_sum_of_prototypes_within_its_box() -> None:
    prototypes = np.zeros((2, 40, 40), dtype=np.float32)
    prototypes[0] = -1
    prototypes[0, 10:20, 10:30] = 1
    prototypes[1] = 1
    boxes = np.array([[40, 40, 80, 80], [0, 0, 160, 160]], dtype=np.float32)
    coefficients = np.array([[1, 0], [0, 1]], dtype=np.float32)
    raw_detections = RawDetections(boxes, np.ones(2, np.float32), np.zeros(2, np.int64), coefficients)
    first, second = masks_in_frame(raw_detections, prototypes, Letterbox((320, 320), (160, 160)))
    assert first.shape == (320, 320) and first.dtype == bool
    assert first[82:158, 82:158].all() and not first[:, 160:].any() and not first[:78].any() and not first[162:].any()
    assert second.all()
