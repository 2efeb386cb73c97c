import numpy as np
import pytest

from convlstm.toolkits.backgrounds import replace_background

pytestmark = pytest.mark.pure


def picture() -> (
    "tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]"
):
    pixels = np.random.RandomState(0).randint(0, 60, (64, 96, 3)).astype(np.uint8)
    mask = np.zeros((64, 96), dtype=np.uint8)
    mask[20:40, 30:60] = 255
    pixels[mask > 0] = (255, 200, 0)
    return pixels, mask


@pytest.mark.parametrize("background", ["black", "blur", "keep"])
def test_what_is_masked_stays_as_it_is(background: str) -> None:
    pixels, mask = picture()
    before = pixels.copy()
    shown = replace_background(pixels, mask, background)  # type: ignore[arg-type]
    assert (shown[mask > 0] == before[mask > 0]).all() and (pixels == before).all()
    assert shown.shape == pixels.shape and shown.dtype == np.uint8


def test_the_rest_is_black_blurred_or_kept() -> None:
    pixels, mask = picture()
    outside = mask == 0
    assert not replace_background(pixels, mask, "black")[outside].any()
    assert (replace_background(pixels, mask, "keep") == pixels).all()
    blurred = replace_background(pixels, mask, "blur")[outside].astype(float)
    assert blurred.std() < 0.4 * pixels[outside].std()
    assert blurred.mean() == pytest.approx(pixels[outside].mean(), abs=2)
    assert blurred.max() < 60  # nothing of the bright thing glows into it


def test_a_frame_without_background_or_without_things() -> None:
    pixels, mask = picture()
    assert (replace_background(pixels, np.full_like(mask, 255), "blur") == pixels).all()
    assert not replace_background(pixels, np.zeros_like(mask), "black").any()
