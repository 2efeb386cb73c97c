"""Pictures of a detection: heatmap colours, overlay, and the result picture with its timeline.

All pictures are uint8 RGB (H, W, 3). No matplotlib here: it would slow the start of detection.
"""

import io
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from convlstm.clips import resize_frame
from convlstm.heatmap import cells_to_pixels, hot_cells, to_uint8, window_score
from convlstm.report.text import font, shorten, to_ascii
from convlstm.report.timeline import TIMELINE_HEIGHT, ScoreTimeline, draw_timeline, format_seconds
from convlstm.types import Float32Array, Frame, Heatmap, UInt8Array

# matplotlib's "inferno" at 0, 0.1 ... 0.9: black, violet, red, yellow, evenly brighter to the eye
_CONTROL_POINTS = (
    (0, 0, 4),
    (22, 11, 57),
    (66, 10, 104),
    (106, 23, 110),
    (147, 38, 103),
    (188, 55, 84),
    (221, 81, 58),
    (243, 120, 25),
    (252, 165, 10),
    (246, 215, 70),
)
_MAX_OPACITY = 0.75
_PANEL_WIDTH, _PANEL_HEIGHT, _MIN_SLOT = 560, 640, 340
_MARGIN, _GAP, _BAR_SPACE = 28, 24, 66
_TITLE_HEIGHT, _CAPTION_HEIGHT = 84, 38
_INK, _GREY, _HOT, _CALM = (24, 27, 33), (96, 102, 112), (200, 55, 45), (70, 84, 104)
_TRUE = (60, 220, 90)


def colorize(values: Float32Array) -> UInt8Array:
    """Values (H, W) in [0, 1] as colours (H, W, 3), dark to bright, on a scale that never follows the content."""
    return _color_table()[to_uint8(values)]


@cache
def _color_table() -> UInt8Array:
    points = np.array(_CONTROL_POINTS, dtype=np.float64)
    positions = np.linspace(0, 255, len(points))
    channels = [np.interp(np.arange(256), positions, points[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def draw_overlay(pixels: UInt8Array, heatmap: Float32Array, threshold: float) -> UInt8Array:
    """Lay `heatmap` (GH, GW) over the frame `pixels` (H, W, 3) and outline the cells at or over `threshold`.

    Opacity grows with probability from half the threshold on; below that the frame's own colours stay as they are.
    """
    size = (pixels.shape[0], pixels.shape[1])
    probability = cells_to_pixels(heatmap, size)
    strength = np.clip((probability - threshold / 2) / (1 - threshold / 2), 0, 1)
    opacity = _MAX_OPACITY * np.sqrt(strength)[..., None]
    blended = pixels + opacity * (colorize(probability).astype(np.float32) - pixels)
    picture: UInt8Array = np.rint(blended).astype(np.uint8)
    outline_cells(picture, hot_cells(heatmap, threshold), (255, 255, 255))
    return picture


def outline_cells(picture: UInt8Array, cells: NDArray[np.bool_], color: tuple[int, int, int]) -> None:
    """Draw a line around the regions of `cells` (GH, GW) into the picture (H, W, 3), inside of them."""
    size = (picture.shape[0], picture.shape[1])
    inside = cells_to_pixels(cells.astype(np.float32), size) > 0.5
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    thickness = max(1, round(min(size) / 270))
    cv2.drawContours(picture, contours, -1, (0, 0, 0), thickness + 2)
    cv2.drawContours(picture, contours, -1, color, thickness)


def frame_beside_overlay(
    pixels: UInt8Array, heatmap: Float32Array, threshold: float, truth: NDArray[np.bool_] | None = None
) -> UInt8Array:
    """The frame (H, W, 3) and its overlay in one picture (H, 2W, 3); cells of `truth` (GH, GW) outlined in green."""
    panels = [pixels.copy(), draw_overlay(pixels, heatmap, threshold)]
    if truth is not None:
        for panel in panels:
            outline_cells(panel, truth, _TRUE)
    return np.concatenate(panels, axis=1)


def encode_png(rgb: UInt8Array) -> bytes:
    """A picture (H, W, 3) as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="PNG")
    return buffer.getvalue()


def result_picture(
    frame: Frame, heatmap: Heatmap, timeline: ScoreTimeline, *, name: str, threshold: float, label: str
) -> UInt8Array:
    """Frame, heatmap and overlay side by side, and below them the highest probability of every window over time.

    `frame` is one of the window of `heatmap`; `timeline` holds all windows of the source; `name` is the
    source, `label` the verdict, as in "dynamic 0.97". Any characters are safe in both.
    """
    pixels = resize_frame(frame.pixels, _panel_size(frame.pixels.shape[0], frame.pixels.shape[1]))
    height, width = pixels.shape[:2]
    slot = max(width, _MIN_SLOT)
    canvas_width = 3 * slot + 2 * _GAP + _BAR_SPACE + 2 * _MARGIN
    top = _TITLE_HEIGHT + _CAPTION_HEIGHT
    canvas = Image.new("RGB", (canvas_width, top + height + TIMELINE_HEIGHT), (255, 255, 255))
    _draw_title(canvas, heatmap, name=name, label=label, is_hot=window_score(heatmap.probabilities) >= threshold)

    rows, columns = heatmap.probabilities.shape
    panels = (
        (f"Frame {frame.index}, {format_seconds(frame.pts_seconds)}", pixels),
        (f"Heatmap, {columns} x {rows} cells", _heatmap_panel(heatmap.probabilities, (height, width))),
        (f"Overlay, cells >= {threshold:.2f}", draw_overlay(pixels, heatmap.probabilities, threshold)),
    )
    offsets = (0, slot + _GAP, 2 * (slot + _GAP) + _BAR_SPACE)  # the colour bar stands behind the heatmap
    draw = ImageDraw.Draw(canvas)
    for (caption, panel), offset in zip(panels, offsets, strict=True):
        left = _MARGIN + offset + (slot - width) // 2
        draw.text((left + width / 2, top - 8), caption, font=font(23), fill=_INK, anchor="md")
        canvas.paste(Image.fromarray(panel), (left, top))
    bar_left = _MARGIN + offsets[1] + (slot + width) // 2 + 12
    _draw_color_bar(canvas, (bar_left, top), height, threshold)
    area = (_MARGIN, top + height, canvas_width - _MARGIN, canvas.height)
    draw_timeline(
        canvas, area, timeline if len(timeline) else ScoreTimeline([heatmap]), shown=heatmap, threshold=threshold
    )
    return np.asarray(canvas, dtype=np.uint8)


def _panel_size(height: int, width: int) -> tuple[int, int]:
    scale = min(_PANEL_WIDTH / width, _PANEL_HEIGHT / height)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _heatmap_panel(heatmap: Float32Array, size: tuple[int, int]) -> UInt8Array:
    """The heatmap (GH, GW) enlarged to `size` = (height, width), cells set apart by faint lines."""
    panel = colorize(cells_to_pixels(heatmap, size))
    rows, columns = heatmap.shape
    if min(size[0] / rows, size[1] / columns) < 6:
        return panel
    lines = np.zeros(size, dtype=bool)
    lines[np.rint(np.arange(1, rows) * size[0] / rows).astype(int), :] = True
    lines[:, np.rint(np.arange(1, columns) * size[1] / columns).astype(int)] = True
    panel[lines] += (255 - panel[lines]) // 8
    return panel


def _draw_title(canvas: Image.Image, heatmap: Heatmap, *, name: str, label: str, is_hot: bool) -> None:
    draw = ImageDraw.Draw(canvas)
    middle, gap = _MARGIN + 18, 18
    badge = shorten(to_ascii(label), 40)
    badge_left = canvas.width - _MARGIN - draw.textlength(badge, font=font(26)) - 32
    draw.rounded_rectangle(
        (badge_left, middle - 22, canvas.width - _MARGIN, middle + 22), 10, fill=_HOT if is_hot else _CALM
    )
    draw.text((badge_left + 16, middle), badge, font=font(26), fill=(255, 255, 255), anchor="lm")
    span = f"{format_seconds(heatmap.start_seconds)} - {format_seconds(heatmap.end_seconds)}"
    where = f"frames {heatmap.first_frame} - {heatmap.last_frame}   {span}"
    where_left = badge_left - gap - draw.textlength(where, font=font(23))
    draw.text((where_left, middle), where, font=font(23), fill=_GREY, anchor="lm")
    title = _fit(to_ascii(name), 32, where_left - gap - _MARGIN)
    draw.text((_MARGIN, middle), title, font=font(32), fill=_INK, anchor="lm")


def _fit(text: str, font_size: int, width: float) -> str:
    """Shorten `text` until it is no wider than `width` pixels."""
    limit = min(len(text), 200)
    while limit > 5 and font(font_size).getlength(shorten(text, limit)) > width:
        limit -= 1
    return shorten(text, max(limit, 5))


def _draw_color_bar(canvas: Image.Image, corner: tuple[int, int], height: int, threshold: float) -> None:
    left, top = corner
    draw = ImageDraw.Draw(canvas)
    ramp = np.linspace(1, 0, height, dtype=np.float32)[:, None].repeat(16, axis=1)
    canvas.paste(Image.fromarray(colorize(ramp)), corner)
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0) if height >= 160 else (0.0, 1.0)
    for value in ticks:
        anchor = {0.0: "ls", 1.0: "lt"}.get(value, "lm")
        draw.text((left + 22, top + (1 - value) * (height - 1)), f"{value:g}", font=font(18), fill=_GREY, anchor=anchor)
    line = top + (1 - threshold) * (height - 1)
    draw.line((left - 4, line, left + 19, line), fill=_HOT, width=3)
