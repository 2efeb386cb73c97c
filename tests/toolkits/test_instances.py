import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.toolkits.instances import SHAPE_SIDE, Instance, box_slices, draw_mask, mix, shape_of

pytestmark = pytest.mark.pure

SIZE = (60, 90)


def disc(centre: tuple[int, int], radius: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.asarray((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2)


def box_of(*sides: float) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return np.array(sides, dtype=np.float64)


@given(st.integers(4, 55), st.integers(4, 85), st.integers(2, 30))
def test_a_mask_comes_back_from_its_shape(row: int, column: int, radius: int) -> None:
    mask = disc((row, column), radius)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = box_of(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    shape = shape_of(mask, box)
    assert shape.shape == (SHAPE_SIDE, SHAPE_SIDE) and shape.dtype == np.float32
    drawn = draw_mask([Instance(box, 0, 0.9, shape)], SIZE)
    assert set(np.unique(drawn)) <= {0, 255} and drawn.dtype == np.uint8
    assert ((drawn > 0) & mask).sum() / ((drawn > 0) | mask).sum() > 0.95


def test_a_box_without_a_shape_is_full() -> None:
    drawn = draw_mask([Instance(box_of(10, 20, 30, 25), 0, None), Instance(box_of(80, 50, 200, 200), 0, None)], SIZE)
    expected = np.zeros(SIZE, dtype=np.uint8)
    expected[20:25, 10:30] = expected[50:60, 80:90] = 255
    assert (drawn == expected).all()


@given(*[st.floats(-200, 300)] * 4)
def test_slices_stay_in_the_frame_and_hold_a_pixel(x1: float, y1: float, width: float, height: float) -> None:
    rows, columns = box_slices(box_of(x1, y1, x1 + abs(width), y1 + abs(height)), SIZE)
    assert 0 <= rows.start < rows.stop <= SIZE[0] and 0 <= columns.start < columns.stop <= SIZE[1]


def test_halfway_between_two_is_a_thing_halfway() -> None:
    mask = disc((30, 20), 10)
    shape = shape_of(mask, box_of(10, 20, 31, 41))
    first = Instance(box_of(10, 20, 31, 41), 3, 0.9, shape, 5)
    last = Instance(box_of(50, 20, 71, 41), 3, 0.7, shape, 5)
    middle = mix([(1, first), (1, last)], confidence=None)
    assert middle.box.tolist() == [30, 20, 51, 41]
    assert (middle.class_id, middle.confidence, middle.track) == (3, None, 5)
    drawn = draw_mask([middle], SIZE) > 0
    expected = disc((30, 40), 10)
    assert (drawn & expected).sum() / (drawn | expected).sum() > 0.95


def test_weights_are_shares() -> None:
    first, last = Instance(box_of(0, 0, 10, 10), 0, 0.5), Instance(box_of(8, 0, 18, 10), 0, 0.5)
    assert mix([(3, first), (1, last)], confidence=0.5).box.tolist() == [2, 0, 12, 10]
    assert mix([(3, first), (1, last)], confidence=0.5).shape is None


def test_a_cell_is_taken_from_half_on() -> None:
    box = box_of(10, 20, 30, 25)
    for share, value in ((0.45, 0), (0.55, 255)):
        shape = np.full((SHAPE_SIDE, SHAPE_SIDE), share, dtype=np.float32)
        assert (draw_mask([Instance(box, 0, 0.5, shape)], SIZE)[20:25, 10:30] == value).all()
