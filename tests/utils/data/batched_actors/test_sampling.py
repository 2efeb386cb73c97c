"""Looking up pictures between their pixels."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convlstm.utils.data.batched_actors.sampling import box_around, column, on, placed, sampled, scrolled
from convlstm.utils.data.synthetic import textures
from convlstm.utils.data.synthetic.scenes import placing_matrix

pytestmark = pytest.mark.pure

CPU = torch.device("cpu")
SIDES = st.integers(3, 40)
PICTURE = np.random.default_rng(1).random((12, 17, 3), dtype=np.float32)


def test_pixels_themselves_come_back_at_their_places() -> None:
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(17.0), indexing="ij")
    found = sampled(on(CPU, PICTURE), columns[None], rows[None])
    torch.testing.assert_close(found[0], on(CPU, PICTURE), atol=1e-5, rtol=0)
    between = sampled(on(CPU, PICTURE), columns[None] + 0.5, rows[None])[0, :, :, :-1]
    torch.testing.assert_close(between, (on(CPU, PICTURE)[..., :-1] + on(CPU, PICTURE)[..., 1:]) / 2)


@pytest.mark.parametrize(
    ("beyond", "border"),
    [("zeros", cv2.BORDER_CONSTANT), ("border", cv2.BORDER_REPLICATE), ("reflection", cv2.BORDER_REFLECT)],
)
def test_beyond_the_edges_it_goes_on_as_in_opencv(beyond: str, border: int) -> None:
    y, x = np.mgrid[-5:15, -6:22].astype(np.float32)
    found = sampled(on(CPU, PICTURE), torch.from_numpy(x)[None], torch.from_numpy(y)[None], beyond)
    expected = cv2.remap(PICTURE, x, y, cv2.INTER_LINEAR, borderMode=border)
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)


@given(st.floats(-3, 3), st.floats(0.3, 2.0), st.floats(-5, 25), st.floats(-5, 25))
def test_what_is_placed_lies_where_opencv_puts_it(angle: float, scale: float, x: float, y: float) -> None:
    matrix = placing_matrix((12, 17), (x, y), angle=angle, scale=scale)
    box = slice(4, 30), slice(7, 40)
    found = sampled(on(CPU, PICTURE), *placed([matrix, matrix], box, CPU)).permute(0, 2, 3, 1).numpy()
    expected = cv2.warpAffine(PICTURE, matrix, (40, 30))[box]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - expected).mean() < 0.02  # it moves pictures by whole 32ths of a pixel


@given(st.floats(-90, 90), st.floats(-90, 90), SIDES, SIDES)
def test_noise_scrolls_as_in_the_generator(x: float, y: float, height: int, width: int) -> None:
    noise = textures.fractal_noise(np.random.default_rng(2), (20, 30), exponent=1.5)
    found = scrolled(torch.from_numpy(noise), torch.tensor([[x, y]]), (height, width))
    assert found.shape == (1, height, width)
    np.testing.assert_allclose(found[0].numpy(), textures.scrolled(noise, (height, width), (x, y)), atol=0.15)


@given(
    st.lists(st.tuples(st.floats(-50, 90), st.floats(-50, 90), st.floats(0.5, 40)), min_size=1, max_size=4),
    SIDES,
    SIDES,
)
def test_a_box_holds_all_that_is_within_reach(
    places: list[tuple[float, float, float]], height: int, width: int
) -> None:
    y, x = np.mgrid[:height, :width]
    near = np.zeros((height, width), dtype=bool)
    for centre_x, centre_y, reach in places:
        near |= (np.abs(x - centre_x) < reach) & (np.abs(y - centre_y) < reach)
    box = box_around([place[:2] for place in places], [place[2] for place in places], (height, width))
    if box is None:
        assert not near.any()
    else:
        held = np.zeros_like(near)
        held[box] = True
        assert held.any() and held[near].all()


def test_columns_meet_rows_and_columns() -> None:
    assert column(CPU, [1.0, 2.0]).shape == (2, 1, 1)
    assert on(CPU, PICTURE[..., 0]).shape == (1, 12, 17) and on(CPU, PICTURE).is_contiguous()
