"""The page as a real browser draws it: its style sheet applies, its pictures show, nothing foreign runs."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convlstm.report.overlay import encode_png
from convlstm.report.page import GalleryItem, ReportPage, render
from convlstm.types import UInt8Array

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]

QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --window-size=1200,900"
)


def screenshot(page: str, folder: Path) -> UInt8Array:
    """What a window of 1200 x 900 shows of the page, RGB (900, 1200, 3)."""
    (folder / "report.html").write_text(page, encoding="utf-8")
    picture = folder / "screen.png"
    command = [str(CHROMIUM), *QUIET.split(), f"--user-data-dir={folder / 'profile'}", f"--screenshot={picture}"]
    subprocess.run([*command, (folder / "report.html").as_uri()], capture_output=True, check=True, timeout=120)
    return np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("RGB"))


def share_of(colour: tuple[int, int, int], screen: UInt8Array) -> float:
    return float((np.abs(screen.astype(int) - colour).max(axis=2) < 12).mean())


def test_pictures_show_in_their_colours_and_markup_in_names_does_not_apply(tmp_path: Path) -> None:
    orange = np.full((120, 240, 3), (250, 120, 10), dtype=np.uint8)
    attack = '<style>* { background: rgb(0, 255, 0) !important }</style><img src=x onerror="document.body.innerHTML=1">'
    page = ReportPage(attack, attack, {"loss": "0.1"}, gallery=[GalleryItem(encode_png(orange), attack, True)])
    screen = screenshot(render(page), tmp_path)
    assert share_of((250, 120, 10), screen) > 0.05
    assert share_of((0, 255, 0), screen) == 0


def test_the_style_sheet_applies(tmp_path: Path) -> None:
    styled = screenshot(render(ReportPage("A", "b", {"loss": "0.1"})), tmp_path)
    assert styled[2, 2].tolist() != [255, 255, 255]  # the background of a page without style
