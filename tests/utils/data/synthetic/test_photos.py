"""Photographs from folders of images and videos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convlstm.errors import DataError
from convlstm.utils.data.synthetic.photos import FRAMES_PER_VIDEO, LONGEST_SIDE, load_photos

Pixels = NDArray[np.uint8]


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (20, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_images_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    save(tmp_path / "b.png", (0, 255, 0))
    save(tmp_path / "a" / "deep.PNG", (255, 0, 0))
    save(tmp_path / "c.bmp", (0, 0, 255))
    (tmp_path / "notes.txt").write_text("not a photograph")
    photos = load_photos(tmp_path)
    assert [tuple(photo[0, 0]) for photo in photos] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert all(photo.shape == (10, 20, 3) and photo.dtype == np.uint8 for photo in photos)


def test_large_photographs_are_made_smaller(tmp_path: Path) -> None:
    save(tmp_path / "wide.png", (9, 8, 7), size=(2 * LONGEST_SIDE, 400))
    save(tmp_path / "fits.png", (9, 8, 7), size=(LONGEST_SIDE, 30))
    save(tmp_path / "sliver.png", (9, 8, 7), size=(1, 3 * LONGEST_SIDE))
    shapes = [photo.shape for photo in load_photos(tmp_path)]
    assert shapes == [(30, LONGEST_SIDE, 3), (LONGEST_SIDE, 1, 3), (200, LONGEST_SIDE, 3)]


def test_frames_of_videos_are_spread_over_them(
    tmp_path: Path, make_frames: Callable[..., list[Pixels]], write_video: Callable[..., Path]
) -> None:
    write_video(tmp_path / "short.mkv", make_frames(5))
    assert len(load_photos(tmp_path)) == 5
    other = tmp_path / "other"
    other.mkdir()
    write_video(other / "long.mkv", make_frames(60))
    photos = load_photos(other)
    assert len(photos) == FRAMES_PER_VIDEO
    assert all(photo.shape == (64, 96, 3) for photo in photos)
    red = [int(np.argmax(photo[16, :, 0].astype(int) - photo[16, :, 1] > 120)) for photo in photos]
    assert red == pytest.approx([10 * index % 80 for index in range(12)], abs=2)  # the square goes 2 pixels a frame


def test_a_folder_without_photographs_is_named(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=r"no images or videos: name a folder that holds some") as caught:
            load_photos(folder)
        assert str(caught.value).startswith(str(folder))


def test_a_damaged_photograph_is_named(tmp_path: Path) -> None:
    save(tmp_path / "good.png", (1, 2, 3))
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"torn\.png"):
        load_photos(tmp_path)
