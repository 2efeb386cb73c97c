from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.boxes import (
    BoxTracker,
    Detections,
    as_detections,
    box_iou,
    check_in_frame,
    image_of,
    match_boxes,
    normalise_box,
)
from convlstm.errors import DataError

pytestmark = pytest.mark.pure

BOXES = np.array([[10.0, 20.0, 50.0, 60.0], [100.0, 20.0, 140.0, 90.0]])


class OnDevice:
    """What a tensor on a graphics card offers: no array before detach, cpu and numpy."""

    def __init__(self, values: Any, steps: tuple[str, ...] = ()) -> None:
        self.values, self.steps = values, steps

    def detach(self) -> "OnDevice":
        return OnDevice(self.values, (*self.steps, "detach"))

    def cpu(self) -> "OnDevice":
        return OnDevice(self.values, (*self.steps, "cpu"))

    def numpy(self) -> Any:
        assert self.steps == ("detach", "cpu")
        return np.asarray(self.values)


def supervision(ids: Any = None) -> SimpleNamespace:
    return SimpleNamespace(xyxy=BOXES, confidence=np.array([0.9, 0.5]), tracker_id=ids, class_id=np.array([0, 0]))


def ultralytics(ids: Any = None) -> SimpleNamespace:
    boxes = SimpleNamespace(xyxy=OnDevice(BOXES), conf=OnDevice([0.9, 0.5]), id=ids, cls=OnDevice([0.0, 0.0]))
    return SimpleNamespace(boxes=boxes, orig_img=np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    "given",
    [
        supervision(np.array([7, 3])),
        ultralytics(OnDevice([7.0, 3.0])),
        [ultralytics(OnDevice([7.0, 3.0]))],
        ultralytics(OnDevice([7.0, 3.0])).boxes,
        Detections(BOXES, np.array([0.9, 0.5]), np.array([7, 3])),
    ],
    ids=["supervision", "ultralytics", "list of a result", "ultralytics boxes", "ours"],
)
def test_the_same_from_any_detector(given: Any) -> None:
    found = as_detections(given)
    np.testing.assert_array_equal(found.boxes, BOXES)
    assert found.confidences is not None and found.confidences.tolist() == [0.9, 0.5]
    assert found.track_ids is not None and found.track_ids.tolist() == [7, 3]


def test_ids_that_are_not_there_are_none() -> None:
    assert as_detections(supervision()).track_ids is None
    assert as_detections(ultralytics()).track_ids is None


@pytest.mark.parametrize("columns", [4, 5, 6])
def test_plain_rows(columns: int) -> None:
    rows = np.column_stack([BOXES, [0.9, 0.5], [0, 1]])[:, :columns]
    for form in (rows, rows.tolist()):
        found = as_detections(form)
        np.testing.assert_array_equal(found.boxes, BOXES)
        assert (found.confidences is None) == (columns == 4)


@pytest.mark.parametrize(
    "given", [None, [], np.empty((0, 4)), np.empty((0, 6)), SimpleNamespace(xyxy=np.empty((0, 4)))]
)
def test_no_detections(given: Any) -> None:
    assert len(as_detections(given)) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 3)), r"detections of shape \(2, 3\)"),
        (np.zeros(4), r"detections of shape \(4,\)"),
        ("boxes", "is no detections: expected supervision"),
        ([[1, 2, 3]], r"shape \(1, 3\)"),
        ([[0, 0, np.nan, 4]], "not finite"),
        ([[40, 20, 10, 60]], "box 40 20 10 60: x2 y2 lie before x1 y1"),
        (SimpleNamespace(boxes=None, masks=1), "SimpleNamespace holds no boxes"),
        (SimpleNamespace(xyxy=BOXES, confidence=[0.9], tracker_id=None), "2 boxes, but confidences of shape"),
        (SimpleNamespace(xyxy=BOXES, confidence=None, tracker_id=[1, 2, 3]), "2 boxes, but track ids of shape"),
    ],
)
def test_what_is_no_detections(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_detections(given)


def test_the_image_of_a_result() -> None:
    result = ultralytics()
    assert image_of(result) is result.orig_img and image_of([result]) is result.orig_img
    assert image_of(supervision()) is None and image_of(BOXES) is None and image_of(None) is None


@pytest.mark.parametrize(
    ("box", "message"),
    [((0.1, 0.2, 0.5, 1.0), "looks normalised: .* 640x480"), ((700, 10, 1900, 90), "far outside the frame of 640x480")],
)
def test_boxes_of_another_scale_are_told(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_in_frame(np.array([box]), (480, 640))


def test_boxes_that_reach_over_the_edge_are_fine() -> None:
    check_in_frame(np.array([[-20.0, 10, 60, 500], [600, 400, 700, 490]]), (480, 640))
    check_in_frame(np.array([[-100.0, -26, -54, 0.8]]), (480, 640))  # pixels of what is leaving at the corner
    check_in_frame(np.empty((0, 4)), (480, 640))


SIDE = st.floats(-50, 150)


@given(st.tuples(SIDE, SIDE, SIDE, SIDE))
def test_a_normalised_box_always_has_an_area_inside(sides: tuple[float, float, float, float]) -> None:
    a, b, c, d = sides
    box = np.array([min(a, c), min(b, d), max(a, c), max(b, d)])
    x1, y1, x2, y2 = normalise_box(box, (60, 100))
    assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1
    assert x2 - x1 >= 0.01 - 1e-9 and y2 - y1 >= 1 / 60 - 1e-9
    if box[0] >= 0 and box[2] <= 100 and box[2] - box[0] >= 1:
        assert (x1 * 100, x2 * 100) == pytest.approx((box[0], box[2]), abs=1.01)


WHOLE = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda s: (min(s[0], s[2]), min(s[1], s[3]), max(s[0], s[2]), max(s[1], s[3]))
)


@given(st.lists(WHOLE, max_size=5), st.lists(WHOLE, max_size=5))
def test_iou_counts_pixels(first: list[tuple[int, ...]], second: list[tuple[int, ...]]) -> None:
    def pixels(box: tuple[int, ...]) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    a, b = (np.array(boxes, dtype=float).reshape(-1, 4) for boxes in (first, second))
    overlap = box_iou(a, b)
    assert overlap.shape == (len(first), len(second))
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            union = pixels(one) | pixels(other)
            assert overlap[i, j] == pytest.approx(len(pixels(one) & pixels(other)) / len(union) if union else 0)


@given(st.lists(WHOLE, max_size=6), st.lists(WHOLE, max_size=6), st.sampled_from([0.1, 0.5]))
def test_matches_are_greedy_and_one_to_one(
    first: list[tuple[int, ...]], second: list[tuple[int, ...]], min_iou: float
) -> None:
    a, b = (np.array(boxes, dtype=float).reshape(-1, 4) for boxes in (first, second))
    pairs = match_boxes(a, b, min_iou)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    overlap = box_iou(a, b)
    assert all(overlap[pair] >= min_iou for pair in pairs)
    rest_a, rest_b = ({*range(len(x))} - {p[k] for p in pairs} for k, x in ((0, a), (1, b)))
    assert all(overlap[i, j] < min_iou for i in rest_a for j in rest_b)
    best = [overlap[pair] for pair in pairs]
    assert best == sorted(best, reverse=True)


def test_tracks_go_on_by_overlap_through_a_crossing_of_numbers() -> None:
    tracker = BoxTracker(min_iou=0.2, max_missed=2)
    assert tracker.assign(0, BOXES) == [1, 2]
    assert tracker.assign(1, BOXES[::-1] + 3) == [2, 1]
    assert tracker.assign(2, np.array([[300.0, 300, 340, 340]])) == [3]


@pytest.mark.parametrize(("missed", "track"), [(2, 1), (3, 2)])
def test_a_thing_is_remembered_for_a_while(missed: int, track: int) -> None:
    tracker = BoxTracker(min_iou=0.2, max_missed=2)
    tracker.assign(0, BOXES[:1])
    for index in range(1, missed + 1):
        assert tracker.assign(index, np.empty((0, 4))) == []
    assert tracker.assign(missed + 1, BOXES[:1]) == [track]


def test_what_a_tracker_keeps_does_not_grow() -> None:
    tracker = BoxTracker(min_iou=0.2, max_missed=3)
    for index in range(100):
        tracker.assign(index, BOXES + 200 * index)
    assert len(tracker._last) <= 2 * 5
