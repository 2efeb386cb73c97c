import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.config.toolkits import Fit
from convlstm.toolkits.fitting import fit_frame
from convlstm.types import UInt8Array

pytestmark = pytest.mark.pure

SIDES = st.integers(1, 60)


def bordered(height: int, width: int) -> UInt8Array:
    """Grey with a red left and a blue right quarter."""
    pixels = np.full((height, width, 3), 128, dtype=np.uint8)
    pixels[:, : width // 4] = (255, 0, 0)
    pixels[:, -(width // 4) :] = (0, 0, 255)
    return pixels


def test_a_letterbox_shows_all_between_equal_black_bars() -> None:
    fitted = fit_frame(bordered(40, 80), (60, 60), "letterbox")
    assert fitted.shape == (60, 60, 3)
    assert not fitted[:15].any() and not fitted[45:].any()
    assert fitted[15:45].any(axis=2).all()
    assert fitted[30, 2].tolist() == [255, 0, 0] and fitted[30, 57].tolist() == [0, 0, 255]
    upright = fit_frame(bordered(80, 40), (60, 60), "letterbox")
    assert not upright[:, :15].any() and not upright[:, 45:].any() and upright[:, 15:45].any(axis=2).all()


def test_a_crop_is_the_middle_without_bars() -> None:
    fitted = fit_frame(bordered(40, 80), (20, 20), "crop")
    assert fitted.shape == (20, 20, 3) and (fitted == 128).all()
    assert (fit_frame(bordered(40, 80), (40, 80), "crop") == bordered(40, 80)).all()


def test_stretching_shows_all_in_another_shape() -> None:
    fitted = fit_frame(bordered(40, 80), (40, 40), "stretch")
    assert fitted[20, 2].tolist() == [255, 0, 0] and fitted[20, 37].tolist() == [0, 0, 255] and fitted.any(axis=2).all()


@given(height=SIDES, width=SIDES, size=st.tuples(SIDES, SIDES), fit=st.sampled_from(["letterbox", "crop", "stretch"]))
def test_every_shape_fits_into_every_other(height: int, width: int, size: tuple[int, int], fit: Fit) -> None:
    fitted = fit_frame(np.full((height, width, 3), 200, dtype=np.uint8), size, fit)
    assert fitted.shape == (*size, 3) and fitted.dtype == np.uint8
    assert set(np.unique(fitted)) <= ({0, 200} if fit == "letterbox" else {200})
    bars = (fitted == 0).all(axis=2)
    assert bars.all(axis=0).sum() == 0 or bars.all(axis=1).sum() == 0  # on two sides at most
    share = min(size[0] / height, size[1] / width)
    shown = (~bars).sum()
    assert abs(shown - height * width * share**2) <= 0.5 * (size[0] + size[1]) + 1 or fit != "letterbox"
