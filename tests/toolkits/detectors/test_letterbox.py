import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.toolkits.detectors.letterbox import GREY, Letterbox

pytestmark = pytest.mark.pure

sizes = st.tuples(st.integers(8, 300), st.integers(8, 300))


def test_a_wide_frame_has_bars_above_and_below() -> None:
    letterbox = Letterbox((360, 640), (320, 320))
    assert (letterbox.scale, letterbox.scaled, letterbox.offset) == (0.5, (180, 320), (70, 0))
    pixels = np.full((360, 640, 3), 200, dtype=np.uint8)
    framed = letterbox.apply(pixels)
    assert framed.shape == (320, 320, 3) and framed.dtype == np.uint8
    assert (framed[:70] == GREY).all() and (framed[250:] == GREY).all() and (framed[70:250] == 200).all()


def test_an_odd_row_goes_below_as_in_training() -> None:
    assert Letterbox((90, 100), (101, 100)).offset == (5, 0)
    assert Letterbox((100, 90), (100, 93)).offset == (0, 1)


@given(sizes, sizes)
def test_the_frame_lies_within_the_input(frame: tuple[int, int], given_size: tuple[int, int]) -> None:
    letterbox = Letterbox(frame, given_size)
    for offset, scaled, full in zip(letterbox.offset, letterbox.scaled, given_size, strict=True):
        assert offset >= 0 and scaled >= 1 and offset + scaled <= full
        assert abs(full - scaled - 2 * offset) <= 1
    assert max(s / f for s, f in zip(letterbox.scaled, given_size, strict=True)) > 0.99


@given(sizes, sizes, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_boxes_come_back(frame: tuple[int, int], given_size: tuple[int, int], shares: list[float]) -> None:
    letterbox = Letterbox(frame, given_size)
    box = np.array([shares]) * (frame[1], frame[0], frame[1], frame[0])
    top, left = letterbox.offset
    in_input = box * letterbox.scale + (left, top, left, top)
    assert np.allclose(letterbox.boxes_to_frame(in_input), box, atol=1e-6)
    assert np.allclose(letterbox.boxes_to_frame(np.array([[-900.0, -900, 9000, 9000]])), [[0, 0, frame[1], frame[0]]])


def test_a_map_loses_its_bars() -> None:
    letterbox = Letterbox((180, 320), (320, 320))
    values = np.zeros((80, 80), dtype=np.float32)
    values[18:62] = 1  # rows 70 to 250 of the input, and what lies halfway
    values[18:62, :40] = 5
    back = letterbox.map_to_frame(values)
    assert back.shape == (180, 320) and back.dtype == np.float32
    assert (back[:, :150] == 5).all() and (back[:, 170:] == 1).all()
