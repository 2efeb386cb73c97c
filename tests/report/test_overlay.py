import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from convlstm.report.overlay import (
    colorize,
    draw_overlay,
    encode_png,
    frame_beside_overlay,
    outline_cells,
    result_picture,
)
from convlstm.report.timeline import ScoreTimeline
from convlstm.types import Float32Array, Frame, Heatmap, UInt8Array

PINK = (255, 0, 90)  # red and blue differ: swapped channels would show


def one_hot(grid: tuple[int, int], cell: tuple[int, int], value: float = 1.0) -> Float32Array:
    heatmap = np.zeros(grid, dtype=np.float32)
    heatmap[cell] = value
    return heatmap


def plain_frame(height: int, width: int, color: tuple[int, int, int] = PINK) -> Frame:
    return Frame(np.full((height, width, 3), color, dtype=np.uint8), 9, 0.36)


def picture_of(frame: Frame, probabilities: Float32Array, **words: str) -> UInt8Array:
    heatmap = Heatmap(probabilities, 0, 9, 0.0, 0.36)
    given = {"name": "camera.mp4", "label": "dynamic 0.97"} | words
    return result_picture(frame, heatmap, ScoreTimeline([heatmap]), threshold=0.5, **given)


def test_hot_is_red_and_bright_and_cold_is_dark() -> None:
    colors = colorize(np.array([[0.0, 0.6, 1.0]], dtype=np.float32)).astype(int)[0]
    assert colors[0].max() < 10
    for red, _, blue in colors[1:]:
        assert red > blue + 100
    luminance = colorize(np.linspace(0, 1, 256, dtype=np.float32)[None]) @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(luminance[0]) > -0.6).all()
    assert luminance[0, -1] > 200


def test_colors_never_follow_the_content() -> None:
    alone = colorize(np.full((2, 2), 0.3, dtype=np.float32))
    beside = colorize(np.array([[0.3, 1.0], [0.0, 0.3]], dtype=np.float32))
    np.testing.assert_array_equal(alone[0, 0], beside[0, 0])
    np.testing.assert_array_equal(
        colorize(np.array([[-1.0, 2.0]], dtype=np.float32)), colorize(np.array([[0, 1]], dtype=np.float32))
    )


def test_static_cells_keep_the_frames_true_colors() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    before = pixels.copy()
    overlay = draw_overlay(pixels, np.full((3, 4), 0.2, dtype=np.float32), 0.5)
    np.testing.assert_array_equal(overlay, before)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("size", [(96, 128), (480, 640), (719, 1279)])
def test_hot_cell_lies_on_its_pixels(size: tuple[int, int]) -> None:
    frame = plain_frame(*size, color=(90, 90, 90))
    overlay = draw_overlay(frame.pixels, one_hot((3, 4), (1, 2)), 0.5)
    rows, columns = np.nonzero((overlay != 90).any(axis=2))
    height, width = size
    outline = 4
    assert abs(rows.min() - height / 3) <= outline
    assert abs(rows.max() - height * 2 / 3) <= outline
    assert abs(columns.min() - width / 2) <= outline
    assert abs(columns.max() - width * 3 / 4) <= outline
    red, _, blue = overlay[height // 2, width * 5 // 8].astype(int)
    assert red > blue + 80


def test_opacity_grows_with_probability() -> None:
    frame = plain_frame(96, 128, color=(0, 0, 255))
    changes = []
    for probability in (0.3, 0.5, 0.7, 1.0):
        center = draw_overlay(frame.pixels, one_hot((3, 4), (1, 2), probability), 0.5)[48, 80]
        changes.append(np.abs(center.astype(int) - (0, 0, 255)).sum())
    assert changes == sorted(changes)
    assert changes[0] > 0


def test_only_cells_from_the_threshold_on_are_outlined() -> None:
    frame = plain_frame(96, 128, color=(90, 90, 90))

    def has_outline(probability: float) -> bool:
        overlay = draw_overlay(frame.pixels, one_hot((3, 4), (1, 2), probability), 0.5)
        return bool((overlay == 255).all(axis=2).any())

    assert has_outline(0.5)
    assert not has_outline(0.49)


@pytest.mark.parametrize("size", [(720, 1280), (640, 640), (900, 300), (40, 800), (64, 64), (1, 1)])
def test_panels_keep_aspect_ratio_and_true_colors(size: tuple[int, int]) -> None:
    frame = plain_frame(*size)
    picture = picture_of(frame, np.zeros((4, 5), dtype=np.float32))
    is_frame = (picture == PINK).all(axis=2)
    columns = np.flatnonzero(is_frame.any(axis=0))
    first, second = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    height = is_frame.any(axis=1).sum()
    assert len(first) == len(second) <= 640
    assert len(first) / height == pytest.approx(size[1] / size[0], rel=0.02)
    assert is_frame.sum() == 2 * len(first) * height  # no mark covers a static frame or overlay


def test_heatmap_panel_shows_exact_cell_colors_where_the_overlay_is_hot() -> None:
    picture = picture_of(plain_frame(400, 500), one_hot((4, 5), (1, 3)))
    is_frame = (picture == PINK).all(axis=2)
    rows, columns = np.flatnonzero(is_frame.any(axis=1)), np.flatnonzero(is_frame.any(axis=0))
    top, left, width = rows[0], columns[0], 560
    height = width * 4 // 5
    middle = top + height * 3 // 8
    hot = colorize(np.ones((1, 1), dtype=np.float32))[0, 0]
    hot_columns = np.flatnonzero((picture[middle] == hot).all(axis=1))
    assert hot_columns.size == pytest.approx(width / 5, abs=2)
    second_left = hot_columns[0] - width * 3 // 5
    overlay_left = columns[-1] - width + 1
    assert left + width < second_left < second_left + width < overlay_left
    overlay_cell = picture[middle, overlay_left + width * 7 // 10].astype(int)
    assert np.abs(overlay_cell - hot).max() < 100
    assert tuple(picture[middle, overlay_left + width // 2 - 20]) == PINK


@pytest.mark.parametrize(
    "name",
    ["", "x" * 5000, "a\nb\r\tc", "\x00\x1b[0m", "日本語 🔥", "\udcff\u202e", "<script>", '"=cmd|', "Brücke.mp4"],
)
def test_any_name_and_label_are_harmless(name: str) -> None:
    frame, cold = plain_frame(90, 160), np.zeros((3, 5), dtype=np.float32)
    assert picture_of(frame, cold, name=name, label=name).shape == picture_of(frame, cold).shape


def test_a_source_without_timeline_shows_its_window() -> None:
    heatmap = Heatmap(one_hot((3, 4), (1, 2)), 0, 9, 0.0, 0.36)
    picture = result_picture(
        plain_frame(96, 128), heatmap, ScoreTimeline(), name="a", threshold=0.5, label="dynamic 1.00"
    )
    np.testing.assert_array_equal(
        picture, picture_of(plain_frame(96, 128), heatmap.probabilities, name="a", label="dynamic 1.00")
    )


def test_png_keeps_rgb() -> None:
    rgb = np.zeros((4, 6, 3), dtype=np.uint8)
    rgb[..., 0] = 200
    with Image.open(io.BytesIO(encode_png(rgb))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), rgb)


def test_detection_pictures_need_neither_matplotlib_nor_torch() -> None:
    code = "import sys, convlstm.report.overlay; sys.exit(bool({'matplotlib', 'torch', 'jinja2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_line_runs_around_the_cells_and_nowhere_else() -> None:
    picture = np.full((96, 128, 3), 90, dtype=np.uint8)
    outline_cells(picture, np.array([[False] * 4, [False, True, True, False], [False] * 4]), (0, 255, 0))
    green = (picture == (0, 255, 0)).all(axis=2)
    rows, columns = np.nonzero(green)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (32, 63, 32, 95)
    assert not green[36:60, 36:92].any() and (picture[40:56, 40:88] == 90).all()


def test_a_frame_stands_beside_its_overlay_with_the_truth_in_both() -> None:
    frame = plain_frame(96, 128, color=(90, 90, 90))
    heatmap = one_hot((3, 4), (0, 0))
    plain = frame_beside_overlay(frame.pixels, heatmap, 0.5)
    np.testing.assert_array_equal(
        plain, np.concatenate([frame.pixels, draw_overlay(frame.pixels, heatmap, 0.5)], axis=1)
    )
    marked = frame_beside_overlay(frame.pixels, heatmap, 0.5, one_hot((3, 4), (2, 3)) > 0)
    changed = (marked != plain).any(axis=2)
    for left in (0, 128):
        assert changed[60:, left + 92 : left + 128].any() and not changed[:50, left : left + 80].any()
    assert (frame.pixels == 90).all()
