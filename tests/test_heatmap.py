import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.heatmap import box_score, cell_box, cells_to_pixels, hot_cells, hot_regions, to_uint8, window_score
from convlstm.types import Float32Array

pytestmark = pytest.mark.pure


def heatmap_of(rows: int, columns: int, hot: dict[tuple[int, int], float]) -> Float32Array:
    heatmap = np.zeros((rows, columns), dtype=np.float32)
    for cell, value in hot.items():
        heatmap[cell] = value
    return heatmap


def test_window_score_is_the_highest_cell() -> None:
    assert window_score(heatmap_of(3, 4, {(1, 2): 0.75, (0, 0): 0.5})) == 0.75


def test_a_cell_at_the_threshold_is_hot() -> None:
    heatmap = heatmap_of(1, 3, {(0, 0): 0.3, (0, 1): 0.29999})
    assert hot_cells(heatmap, 0.3).tolist() == [[True, False, False]]


@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_one_hot_cell_is_exactly_its_square_of_pixels(rows: int, columns: int, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    enlarged = cells_to_pixels(heatmap_of(rows, columns, {(row, column): 1.0}), (32 * rows, 32 * columns))
    expected = np.zeros((32 * rows, 32 * columns), dtype=np.float32)
    expected[32 * row : 32 * row + 32, 32 * column : 32 * column + 32] = 1
    assert enlarged.dtype == np.float32
    np.testing.assert_array_equal(enlarged, expected)


def test_enlarging_to_another_shape_keeps_the_halves() -> None:
    enlarged = cells_to_pixels(np.array([[0.0, 1.0]], dtype=np.float32), (45, 70))
    assert enlarged.shape == (45, 70)
    assert (enlarged[:, :35] == 0).all() and (enlarged[:, 35:] == 1).all()


def test_smooth_enlarging_is_symmetric_and_keeps_the_range() -> None:
    heatmap = heatmap_of(3, 3, {(1, 1): 1.0})
    smooth = cells_to_pixels(heatmap, (96, 96), smooth=True)
    np.testing.assert_allclose(smooth, smooth[::-1, ::-1], atol=1e-5)
    assert smooth.min() >= 0 and smooth.max() <= 1
    assert smooth[48, 48] > 0.9 and smooth[0, 0] == 0


def test_cell_box_is_normalised_and_inclusive() -> None:
    assert cell_box((0, 0), (0, 0), (4, 8)) == (0.0, 0.0, 0.125, 0.25)
    assert cell_box((1, 3), (2, 7), (4, 8)) == (0.25, 0.25, 1.0, 1.0)


def test_regions_join_over_corners_and_know_their_peak() -> None:
    heatmap = heatmap_of(4, 8, {(0, 0): 0.6, (1, 1): 0.9, (3, 6): 0.7, (3, 7): 0.5, (0, 7): 0.49})
    regions = sorted(hot_regions(heatmap, 0.5))
    assert [box for box, _ in regions] == [(0.0, 0.0, 0.25, 0.5), (0.75, 0.75, 1.0, 1.0)]
    assert [peak for _, peak in regions] == pytest.approx([0.9, 0.7])


def test_no_hot_cell_means_no_region_and_all_hot_is_one() -> None:
    assert hot_regions(heatmap_of(2, 2, {}), 0.5) == []
    assert hot_regions(np.ones((2, 5), dtype=np.float32), 0.5) == [((0.0, 0.0, 1.0, 1.0), 1.0)]


def test_to_uint8_keeps_the_fixed_scale_without_overflow() -> None:
    values = np.array([[0.0, 0.5, 1.0, 1.0000001, 1.7, -0.2]], dtype=np.float32)
    result = to_uint8(values)
    assert result.dtype == np.uint8
    assert result.tolist() == [[0, 128, 255, 255, 255, 0]]


def test_to_uint8_does_not_rescale_faint_heatmaps() -> None:
    assert to_uint8(np.array([[0.0, 0.1]], dtype=np.float32)).tolist() == [[0, 26]]


@pytest.mark.parametrize(
    ("box", "score"),
    [
        ((0.0, 0.0, 0.25, 0.25), 0.8),  # one cell
        ((0.05, 0.05, 0.1, 0.1), 0.8),  # a part of it
        ((0.0, 0.0, 0.5, 0.25), 0.8),  # two cells, of which the hotter one counts
        ((0.0, 0.0, 1.0, 1.0), (0.8 + 0.6 + 0.4) / 4),  # a quarter of sixteen: the zeros of others count
        ((0.75, 0.75, 1.0, 1.0), 0.4),
        ((0.2, 0.0, 0.5, 0.25), 0.0),  # a fifth of the first cell is too little
        ((0.15, 0.15, 0.35, 0.35), 0.8),  # smaller than a cell and over four: all of them count
    ],
)
def test_box_score_is_the_mean_of_the_hottest_cells_under_it(
    box: tuple[float, float, float, float], score: float
) -> None:
    heatmap = heatmap_of(4, 4, {(0, 0): 0.8, (2, 2): 0.6, (3, 3): 0.4})
    assert box_score(heatmap, box) == pytest.approx(score)


def test_box_score_takes_as_many_cells_as_it_is_told() -> None:
    heatmap = heatmap_of(2, 2, {(0, 0): 0.8, (0, 1): 0.4})
    whole = (0.0, 0.0, 1.0, 1.0)
    assert [box_score(heatmap, whole, share) for share in (0.01, 0.5, 1.0)] == pytest.approx([0.8, 0.6, 0.3])


def test_box_score_of_a_thin_box_is_that_of_the_cell_it_shares_most_with() -> None:
    heatmap = heatmap_of(1, 10, {(0, 4): 0.7, (0, 5): 0.9})
    assert box_score(heatmap, (0.45, 0.0, 0.508, 0.1)) == pytest.approx(0.7)
    assert box_score(heatmap, (0.45, 0.5, 0.45, 0.5)) == 0.0  # without an area


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_box_score_lies_between_the_lowest_and_the_highest_cell(rows: int, columns: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(0, 1, width=32), min_size=rows * columns, max_size=rows * columns))
    heatmap = np.array(values, dtype=np.float32).reshape(rows, columns)
    x1, y1 = data.draw(st.floats(0, 0.9)), data.draw(st.floats(0, 0.9))
    x2, y2 = data.draw(st.floats(x1 + 0.01, 1)), data.draw(st.floats(y1 + 0.01, 1))
    score = box_score(heatmap, (x1, y1, x2, y2), data.draw(st.sampled_from([0.1, 0.25, 1.0])))
    assert float(heatmap.min()) - 1e-6 <= score <= float(heatmap.max()) + 1e-6
    assert box_score(heatmap, (0, 0, 1, 1), 1.0) == pytest.approx(float(heatmap.mean()), abs=1e-5)
