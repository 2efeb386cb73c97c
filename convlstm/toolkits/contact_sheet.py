"""Small pictures side by side: some frames of each sequence, and of its copies, masks outlined."""

from collections.abc import Sequence
from pathlib import Path, PurePath

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from convlstm.atomic import atomic_write
from convlstm.errors import DataError, printable
from convlstm.sources.folder import FolderSource
from convlstm.sources.images import read_mask
from convlstm.sources.open import open_source
from convlstm.toolkits.fitting import fit_frame
from convlstm.toolkits.frame_files import MASKS
from convlstm.types import UInt8Array

MOST_SEQUENCES = 12
"""Rows; more would not be looked at."""

FRAMES_SHOWN = 3
COPIES_SHOWN = 3

_THUMB = (108, 144)  # height and width in pixels
_GAP = 4
_CAPTION = 16
_OUTLINE = (0, 255, 0)
_EMPTY = 60


def write_contact_sheet(path: Path, pairs: Sequence[tuple[Path, Path]]) -> None:
    """A PNG with a row for each original: its frames, then those of its copies, of `pairs` (original, copy).

    Of each sequence the first, middle and last frame; green outlines are masks. At most 12 originals, 3 copies of each.
    """
    copies_of: dict[Path, list[Path]] = {}
    for original, copy in pairs:
        copies_of.setdefault(original, []).append(copy)
    shown = list(copies_of.items())[:MOST_SEQUENCES]
    rows = [[_strip(folder) for folder in (original, *copies[:COPIES_SHOWN])] for original, copies in shown]
    width = max(sum(strip.shape[1] for strip in row) for row in rows)
    sheet = np.concatenate([_padded(np.concatenate(row, axis=1), width) for row in rows])
    with atomic_write(path) as file:
        Image.fromarray(sheet).save(file, format="PNG")


def _strip(folder: Path) -> UInt8Array:
    """Some frames of one sequence side by side under its name, (caption + height, width, 3)."""
    height, width = _THUMB
    strip = np.full((_CAPTION + height + _GAP, FRAMES_SHOWN * (width + 2) + _GAP * 2, 3), 255, dtype=np.uint8)
    for place, thumb in enumerate(_thumbs(folder)):
        left = _GAP + place * (width + 2)
        strip[_CAPTION : _CAPTION + height, left : left + width] = thumb
    image = Image.fromarray(strip)
    text = printable(str(PurePath(*folder.parts[-2:])))
    ImageDraw.Draw(image).text((_GAP, 1), text[-60:], fill=(0, 0, 0), font=ImageFont.load_default(12))
    return np.asarray(image)


def _thumbs(folder: Path) -> list[UInt8Array]:
    try:
        source = open_source(folder)
        indices = [index for run in source.runs for index in run]
    except DataError:
        return [_empty()] * FRAMES_SHOWN
    places = np.linspace(0, len(indices) - 1, FRAMES_SHOWN).round().astype(int)
    thumbs = []
    for place in places:
        try:
            pixels = fit_frame(source.read([indices[place]])[0], _THUMB, "letterbox")
            if isinstance(source, FolderSource):
                _outline(pixels, folder / MASKS / f"{PurePath(source.files[indices[place]]).stem}.png")
        except DataError:
            pixels = _empty()
        thumbs.append(pixels)
    return thumbs


def _outline(thumb: UInt8Array, mask_file: Path) -> None:
    """Draw the outline of a mask on its thumb, in place."""
    if not mask_file.is_file():
        return
    mask = np.repeat(read_mask(mask_file)[..., None] > 0, 3, axis=2).astype(np.uint8) * 255
    small = (fit_frame(mask, _THUMB, "letterbox")[..., 0] > 0).astype(np.uint8)
    contours, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(thumb, contours, -1, _OUTLINE, 1)


def _empty() -> UInt8Array:
    return np.full((*_THUMB, 3), _EMPTY, dtype=np.uint8)


def _padded(row: UInt8Array, width: int) -> UInt8Array:
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
