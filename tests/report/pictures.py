"""What tests of plots share: the figures before they are PNG files, and what stands in them."""

import io
from types import ModuleType

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from convlstm.report.axes import to_png


def keep_figures(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[Figure]:
    """The figures that functions of `module` make into PNG files from now on."""
    made: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        made.append(figure)
        return to_png(figure)

    monkeypatch.setattr(module, "to_png", keep)
    return made


def decode(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
