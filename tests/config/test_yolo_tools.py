from pathlib import Path
from typing import Any

import pytest

from convlstm.config.yolo_tools import DynamicBboxProcessorConfig, DynamicSegmentProcessorConfig
from convlstm.errors import ConfigError

pytestmark = pytest.mark.pure

GIVEN: dict[str, Any] = {"source": ("videos",), "output": Path("out"), "weights": Path("fire.onnx")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": None}, "no source given: for example"),
        ({"output": None}, "no output given: for example"),
        ({"weights": None}, "no weights given: for example --weights fire.onnx"),
        ({"confidence": 0.0}, "confidence must be greater than 0 and at most 1"),
        ({"iou": 1.1}, "iou must be greater than 0 and at most 1"),
        ({"max_gap": -1}, "max_gap must not be negative"),
        ({"smooth": -1}, "smooth must not be negative"),
        ({"batch_size": 0}, "batch_size must be greater than 0"),
        ({"fps": 0}, "fps must be greater than 0"),
        ({"workers": 0}, "workers must be greater than 0"),
    ],
)
def test_settings_out_of_range_are_told(settings: dict[str, Any], message: str) -> None:
    for kind in (DynamicSegmentProcessorConfig, DynamicBboxProcessorConfig):
        with pytest.raises(ConfigError, match=message):
            kind(**{**GIVEN, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "crop", "background": "blur"}, "background has no meaning with --mode crop"),
        ({"mode": "union", "crop_size": 64}, "crop_size has no meaning with --mode union"),
        ({"crop_size": 64}, "crop_size has no meaning with --mode mask"),
        ({"mode": "crop", "crop_size": 16}, "crop_size must lie in"),
        ({"padding": -0.1}, "padding must lie in"),
        ({"min_track_frames": 0}, "min_track_frames must be greater than 0"),
    ],
)
def test_settings_that_would_do_nothing_are_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DynamicBboxProcessorConfig(**{**GIVEN, **settings})


def test_what_fits_a_mode_is_its_default() -> None:
    mask, crop = (DynamicBboxProcessorConfig(**GIVEN, mode=mode) for mode in ("mask", "crop"))
    assert (mask.margin, mask.min_frames, crop.margin, crop.min_frames) == (0.1, 1, 0.25, 10)
    chosen = DynamicBboxProcessorConfig(**GIVEN, mode="crop", padding=0.0, min_track_frames=3)
    assert (chosen.margin, chosen.min_frames) == (0.0, 3)
