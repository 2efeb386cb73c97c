from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from convlstm.sources.images import read_image
from convlstm.toolkits.contact_sheet import COPIES_SHOWN, FRAMES_SHOWN, MOST_SEQUENCES, write_contact_sheet


def sequence(folder: Path, colour: tuple[int, int, int], *, with_masks: bool = False) -> Path:
    (folder / "masks").mkdir(parents=True)
    for number in range(1, 6):
        pixels = np.zeros((54, 72, 3), dtype=np.uint8)
        pixels[:] = colour
        Image.fromarray(pixels).save(folder / f"frame_{number:06d}.png")
        if with_masks:
            mask = np.zeros((54, 72), dtype=np.uint8)
            mask[20:40, 20:40] = 255
            Image.fromarray(mask).save(folder / "masks" / f"frame_{number:06d}.png")
    return folder


def colours(path: Path) -> set[tuple[int, ...]]:
    packed = read_image(path).astype(np.int64) @ [1 << 16, 1 << 8, 1]
    return {(pixel >> 16, pixel >> 8 & 255, pixel & 255) for pixel in np.unique(packed).tolist()}


def test_a_row_for_each_original_with_its_copies_and_outlined_masks(tmp_path: Path) -> None:
    red = sequence(tmp_path / "a", (200, 0, 0), with_masks=True)
    blue = sequence(tmp_path / "a_aug1", (0, 0, 200))
    grey = sequence(tmp_path / "b", (90, 90, 90))
    pink = sequence(tmp_path / "b_aug1", (250, 100, 100))
    write_contact_sheet(tmp_path / "sheet.png", [(red, blue), (grey, pink)])
    assert {(200, 0, 0), (0, 0, 200), (90, 90, 90), (250, 100, 100), (0, 255, 0)} <= colours(tmp_path / "sheet.png")
    sheet = read_image(tmp_path / "sheet.png")
    middle = sheet.shape[1] // 2
    assert (sheet[:, :middle] == (200, 0, 0)).all(axis=2).any() and (sheet[:, middle:] == (0, 0, 200)).all(axis=2).any()
    assert not (sheet[:, :middle] == (0, 0, 200)).all(axis=2).any()
    half = sheet.shape[0] // 2
    assert not (sheet[half:] == (200, 0, 0)).all(axis=2).any()
    assert (sheet == (0, 255, 0)).all(axis=2).sum() > 100
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith("tmp")] == []


def test_it_stays_small_enough_to_look_at(tmp_path: Path) -> None:
    pairs = []
    for number in range(MOST_SEQUENCES + 3):
        original = sequence(tmp_path / f"s{number}", (10 + number, 0, 0))
        pairs += [(original, tmp_path / f"s{number}_aug{copy}") for copy in range(COPIES_SHOWN + 2)]
    write_contact_sheet(tmp_path / "sheet.png", pairs)
    found = colours(tmp_path / "sheet.png")
    assert (10 + MOST_SEQUENCES - 1, 0, 0) in found and (10 + MOST_SEQUENCES, 0, 0) not in found
    height, width = read_image(tmp_path / "sheet.png").shape[:2]
    assert width <= (1 + COPIES_SHOWN) * FRAMES_SHOWN * 160 and height <= MOST_SEQUENCES * 140


def test_what_cannot_be_read_is_grey(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    original = sequence(tmp_path / "\u3042\n<b>", (200, 0, 0))
    (original / "frame_000003.png").write_bytes(b"")
    video = write_video(tmp_path / "clip.mp4", [np.full((54, 72, 3), 128, np.uint8)] * 4)
    write_contact_sheet(tmp_path / "sheet.png", [(original, tmp_path / "gone"), (video, original)])
    assert (60, 60, 60) in colours(tmp_path / "sheet.png")
