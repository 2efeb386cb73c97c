import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from convlstm.evaluation.truth import WindowTruth
from convlstm.evaluation.worst import WorstWindow, WorstWindows, false_alarm_error, missed_error
from convlstm.types import Heatmap

pytestmark = pytest.mark.pure

ALL = np.ones((2, 2), dtype=bool)
PIXELS = np.zeros((64, 64, 3), dtype=np.uint8)


def heat(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32).reshape(2, 2)


def truth(*cells: int) -> WindowTruth:
    return WindowTruth(np.array(cells, dtype=np.int8).reshape(2, 2), 1 in cells)


def window(error: float, sequence: str = "a", first: int = 0) -> WorstWindow:
    heatmap = Heatmap(heat(0, 0, 0, 0), first, first + 9, 0.0, 1.0)
    return WorstWindow(sequence, error, heatmap, truth(0, 0, 0, 0), PIXELS, (64, 64))


def test_a_false_alarm_is_worse_the_more_cells_are_hot() -> None:
    errors = [
        false_alarm_error(values, 0.5, ALL, 2)
        for values in (
            heat(0.1, 0, 0, 0),
            heat(0.4, 0, 0, 0),
            heat(0.5, 0, 0, 0),
            heat(0.9, 0, 0, 0),
            heat(0.6, 0.6, 0, 0),
            heat(0.6, 0.6, 0.6, 0),
        )
    ]
    assert errors == sorted(errors) and len(set(errors)) == len(errors)
    assert [error >= 1 for error in errors] == [False] * 4 + [True] * 2


def test_only_the_region_counts() -> None:
    region = np.array([[True, False], [True, True]])
    assert false_alarm_error(heat(0, 0.9, 0, 0), 0.5, region, 1) == 0
    assert missed_error(heat(0, 0.9, 0, 0), 0.5, truth(1, 1, 0, 0), region) >= 1


def test_a_window_is_missed_where_no_cell_is_hot_that_may_be_dynamic() -> None:
    assert missed_error(heat(0.4, 0.9, 0, 0), 0.5, truth(1, 0, 0, 0), ALL) == pytest.approx(1.6)
    assert missed_error(heat(0.4, 0.9, 0, 0), 0.5, truth(1, 1, 0, 0), ALL) < 1
    assert missed_error(heat(0.4, 0.9, 0, 0), 0.5, truth(1, -1, 0, 0), ALL) < 1
    assert missed_error(heat(0.1, 0, 0, 0), 0.5, truth(1, 1, 1, 0), ALL) > missed_error(
        heat(0.1, 0, 0, 0), 0.5, truth(1, 0, 0, 0), ALL
    )
    assert missed_error(heat(0.5, 0, 0, 0), 0.5, truth(1, 0, 0, 0), ALL) < 1


offers = st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc"), st.integers(0, 60)), max_size=30)


@given(offers, st.integers(1, 5), st.integers(1, 3))
@example([(0, "a", 0), (0, "a", 10), (1, "a", 0)], 2, 2)  # two that differ in nothing but their frames
@example([(0, "a", 0), (0, "a", 10), (1, "a", 20)], 2, 2)
def test_what_is_kept_is_few_in_order_and_apart(
    offered: list[tuple[int, str, int]], limit: int, per_sequence: int
) -> None:
    worst = WorstWindows(limit, per_sequence)
    for error, sequence, first in offered:
        if worst.wants(error):
            worst.offer(window(error, sequence, first))
    kept = worst.kept
    assert len(kept) <= limit
    assert [item.error for item in kept] == sorted((item.error for item in kept), reverse=True)
    for sequence in "abc":
        assert sum(item.sequence == sequence for item in kept) <= per_sequence
    assert not any(a.overlaps(b) for i, a in enumerate(kept) for b in kept[:i])
    if offered:
        assert kept[0].error == max(error for error, _, _ in offered)


def test_what_is_worse_than_the_least_is_wanted() -> None:
    worst = WorstWindows(2, 2)
    assert worst.wants(0.0)
    worst.offer(window(3))
    worst.offer(window(1, "b"))
    assert worst.wants(2) and not worst.wants(1)


def test_a_worse_neighbour_takes_the_place() -> None:
    worst = WorstWindows(4, 2)
    for item in (window(1, first=0), window(2, first=5), window(3, first=30), window(2.5, first=60)):
        worst.offer(item)
    assert [(item.error, item.heatmap.first_frame) for item in worst.kept] == [(3, 30), (2.5, 60)]
    worst.offer(window(1.5, "b"))
    assert [item.error for item in worst.kept] == [3, 2.5, 1.5]


def test_mistakes_begin_at_1() -> None:
    assert window(1).is_mistake and not window(0.99).is_mistake
