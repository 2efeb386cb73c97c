from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.errors import ConfigError
from convlstm.region import Region, parse_polygons, region_share
from convlstm.types import Heatmap

pytestmark = pytest.mark.pure

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
shares = st.floats(0, 1, allow_subnormal=False)


def heatmap(rows: int, columns: int) -> Heatmap:
    return Heatmap(np.full((rows, columns), 0.9, dtype=np.float32), 0, 9, 0.0, 0.4, (0.1, 0.9))


def test_cells_outside_are_never_hot() -> None:
    seen = Region([LEFT_HALF]).apply(heatmap(2, 4))
    np.testing.assert_allclose(seen.probabilities, [[0.9, 0.9, 0, 0]] * 2)
    assert seen.probabilities.dtype == np.float32
    assert (seen.first_frame, seen.last_frame, seen.class_probabilities) == (0, 9, (0.1, 0.9))


def test_a_cell_counts_where_half_of_it_is_inside() -> None:
    assert Region([LEFT_HALF]).cells((1, 3)).tolist() == [[True, True, False]]
    less = tuple((x * 0.95, y) for x, y in LEFT_HALF)
    assert Region([less]).cells((1, 3)).tolist() == [[True, False, False]]


def test_what_is_ignored_is_taken_out_of_what_is_looked_at() -> None:
    top = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5))
    assert Region([LEFT_HALF], [top]).cells((2, 2)).tolist() == [[False, False], [True, False]]
    assert Region([], [top]).cells((2, 2)).tolist() == [[False, False], [True, True]]
    both = Region([LEFT_HALF, top]).cells((2, 2))
    assert both.tolist() == [[True, True], [True, False]]


def test_without_polygons_nothing_changes() -> None:
    given_heatmap = heatmap(2, 2)
    assert Region().apply(given_heatmap) is given_heatmap
    assert Region().cells((3, 2)).all()


def test_a_corner_that_reaches_inwards_is_outside() -> None:
    chevron = ((0.0, 0.0), (0.5, 0.5), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert Region([chevron]).cells((2, 4)).tolist() == [[True, False, False, True], [True] * 4]


@given(x=st.tuples(shares, shares), y=st.tuples(shares, shares), rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_the_shares_of_a_rectangle_add_up_to_its_area(
    x: tuple[float, float], y: tuple[float, float], rows: int, columns: int
) -> None:
    left, right, top, bottom = min(x), max(x), min(y), max(y)
    rectangle = ((left, top), (right, top), (right, bottom), (left, bottom))
    inside = region_share((rows, columns), [rectangle], [])
    error = 1 / (16 * rows) + 1 / (16 * columns)
    assert inside.sum() / (rows * columns) == pytest.approx((right - left) * (bottom - top), abs=error)
    outside = region_share((rows, columns), [], [rectangle])
    np.testing.assert_allclose(inside + outside, 1)


@given(st.lists(st.tuples(shares, shares), min_size=3, max_size=8, unique=True), st.integers(0, 7))
def test_it_does_not_matter_where_a_polygon_begins_nor_which_way_it_goes(
    corners: list[tuple[float, float]], begin: int
) -> None:
    polygon = tuple(corners)
    turned = polygon[begin:] + polygon[:begin]
    expected = region_share((3, 5), [polygon], [])
    np.testing.assert_array_equal(region_share((3, 5), [turned], []), expected)
    np.testing.assert_allclose(region_share((3, 5), [turned[::-1]], []), expected, atol=0.02)


@pytest.mark.parametrize(
    "values",
    [
        ["0 0 .5 0 .5 1 0 1"],
        ["0,0, 0.5,0, 0.5,1, 0,1"],
        ["0", "0", "0.5", "0", ".5", "1", "0", "1"],
        [0, 0, 0.5, 0, 0.5, 1, 0, 1],
    ],
)
def test_ways_to_write_a_polygon(values: list[Any]) -> None:
    assert parse_polygons("roi", values) == (LEFT_HALF,)


def test_several_polygons_and_none() -> None:
    assert len(parse_polygons("roi", ["0 0 1 0 1 1", "0 0 1 1 0 1"])) == 2
    assert parse_polygons("roi", []) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0 1 0", 'ignore must be polygons "x1 y1 x2 y2 x3 y3 ...", at least three corners, got "0 0 1 0"'),
        ("0 0 1 0 1", 'ignore must be polygons "x1 y1 x2 y2 x3 y3 ...", at least three corners, got "0 0 1 0 1"'),
        ("0 0 1 0 a b", 'ignore must be polygons "x1 y1 x2 y2 x3 y3 ...", at least three corners, got "0 0 1 0 a b"'),
        ("0 0 0 0 1 1", 'ignore must be polygons "x1 y1 x2 y2 x3 y3 ...", at least three corners, got "0 0 0 0 1 1"'),
        ("0 0 640 0 640 480", "ignore must lie in 0..1 (share of the picture's width and height), got 640"),
        ("0 0 nan 0 1 1", "ignore must lie in 0..1 (share of the picture's width and height), got nan"),
    ],
)
def test_what_is_no_polygon_says_why(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_polygons("ignore", [text])
    assert str(caught.value) == message
