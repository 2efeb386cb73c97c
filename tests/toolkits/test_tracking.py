from typing import Any

import numpy as np
import pytest

pytest.importorskip("supervision", reason="needs the package supervision")
pytest.importorskip("trackers", reason="needs the package trackers")

import supervision as sv

from convlstm.toolkits.tracking import NO_TRACK, ClassTracker


def detections(*boxes: tuple[float, float, int]) -> Any:
    """Squares of 20 pixels at (x, y) of a class."""
    if not boxes:
        return sv.Detections.empty()
    table = np.array(boxes, dtype=np.float64)
    corners = np.concatenate([table[:, :2], table[:, :2] + 20], axis=1)
    return sv.Detections(xyxy=corners, confidence=np.full(len(boxes), 0.3), class_id=table[:, 2].astype(int))


def test_each_thing_keeps_its_id_whatever_the_order() -> None:
    tracker = ClassTracker(max_missed=3)
    assert tracker.assign(detections((0, 0, 0), (100, 0, 0))).tolist() == [NO_TRACK, NO_TRACK]
    first, second = tracker.assign(detections((4, 0, 0), (104, 0, 0))).tolist()
    assert NO_TRACK not in (first, second) and first != second
    assert tracker.assign(detections((108, 0, 0), (8, 0, 0))).tolist() == [second, first]


def test_classes_are_never_mixed() -> None:
    tracker = ClassTracker(max_missed=3)
    for step in range(3):
        ids = tracker.assign(detections((step, 0, 0), (step, 0, 1)))
    fire, smoke = ids.tolist()
    assert tracker.assign(detections((3, 0, 1))).tolist() == [smoke]
    assert tracker.assign(detections((4, 0, 0))).tolist() == [fire]


@pytest.mark.parametrize(("num_missed", "is_known"), [(3, True), (4, False)])
def test_a_thing_is_known_for_as_long_as_it_may_be_missed(num_missed: int, is_known: bool) -> None:
    tracker = ClassTracker(max_missed=3)
    tracker.assign(detections((0, 0, 0)))
    before = tracker.assign(detections((0, 0, 0))).tolist()
    for number in range(num_missed):
        if number % 2:
            tracker.skip()
        else:
            assert tracker.assign(detections()).tolist() == []
    assert (tracker.assign(detections((0, 0, 0))).tolist() == before) is is_known


def test_a_moving_thing_is_expected_where_it_will_be() -> None:
    tracker = ClassTracker(max_missed=3)
    for step in range(6):
        before = tracker.assign(detections((12 * step, 0, 0))).tolist()
    tracker.skip()
    tracker.skip()
    assert tracker.assign(detections((12 * 8, 0, 0))).tolist() == before  # 36 pixels on: no overlap with where it was
