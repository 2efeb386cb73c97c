from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from convlstm.sources.images import read_image, read_mask
from convlstm.toolkits.instances import Instance
from convlstm.toolkits.track_crops import CropSequence, TrackCrops
from convlstm.types import Frame


def texture(size: int) -> NDArray[np.uint8]:
    coarse = np.random.RandomState(1).randint(0, 255, (size // 6, size // 6, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def at(x: float, y: float, size: float = 60, track: int = 1) -> Instance:
    return Instance(np.array([x, y, x + size, y + size], dtype=np.float64), 0, 0.5, None, track)


def write(folder: Path, frames: list[list[Instance]], *, min_frames: int = 1, masks: bool = True) -> list[CropSequence]:
    """Crops of frames in which every thing is a textured square on noise."""
    noise = np.random.RandomState(2)
    with TrackCrops(folder, side=64, padding=0.25, min_frames=min_frames, masks=masks, fps=25) as crops:
        for index, instances in enumerate(frames):
            pixels = noise.randint(0, 255, (240, 320, 3)).astype(np.uint8)
            for one in instances:
                x1, y1, x2, y2 = (int(side) for side in one.box)
                pixels[y1:y2, x1:x2] = texture(x2 - x1)
            crops.add(Frame(pixels, index, index / 10), instances)
    return sorted(crops.finished, key=lambda crop: crop.folder.name)


def test_a_moving_thing_stands_still_in_its_crop(tmp_path: Path) -> None:
    (crop,) = write(tmp_path, [[at(20 + 4 * step, 40 + 2 * step)] for step in range(20)])
    assert (crop.folder.name, crop.num_frames, crop.fps) == ("track_0001", 20, 10)
    first, last = (read_image(crop.folder / f"frame_{number:06d}.png") for number in (1, 20))
    assert first.shape == (64, 64, 3)
    middle = slice(16, 48)  # around it is noise
    assert np.abs(first[middle, middle].astype(int) - last[middle, middle]).mean() < 15  # 80 where it does not follow
    assert (first[0] == last[0]).all()
    mask = read_mask(crop.folder / "masks" / "frame_000020.png")
    assert mask.shape == (64, 64) and 0.3 < (mask > 0).mean() < 0.6  # the box takes (1 / 1.5) ** 2 of it
    assert mask[32, 32] == 255 and not mask[0].any()


def test_each_thing_has_its_own_numbers(tmp_path: Path) -> None:
    frames = [[at(20, 40)] * (step < 8) + [at(200, 120, track=2)] * (step >= 4) for step in range(12)]
    first, second = write(tmp_path, frames, masks=False)
    assert (first.num_frames, second.num_frames) == (8, 8)
    assert sorted(path.name for path in second.folder.glob("*.png"))[0] == "frame_000005.png"
    assert not (second.folder / "masks").exists()


def test_short_ones_are_deleted(tmp_path: Path) -> None:
    frames = [[at(20, 40)] + [at(200, 120, track=2)] * (step < 3) for step in range(8)]
    (crop,) = write(tmp_path, frames, min_frames=4)
    assert crop.folder.name == "track_0001" and [path.name for path in tmp_path.iterdir()] == ["track_0001"]


def test_a_thing_that_is_lost_begins_anew(tmp_path: Path) -> None:
    frames = [[at(20, 40)]] * 5 + [[at(20, 40, size=150)]] * 5
    crops = write(tmp_path, frames)
    assert [(crop.folder.name, crop.num_frames) for crop in crops] == [("track_0001", 5), ("track_0001_part2", 5)]


def test_what_is_painted_over_is_not_said_to_move(tmp_path: Path) -> None:
    frames = [[at(100 - step, 60 - step, 60 + 2 * step)] for step in range(12)]  # it grows
    (crop,) = write(tmp_path, frames)
    first, last = (read_mask(crop.folder / "masks" / f"frame_{number:06d}.png") for number in (1, 12))
    assert (last > 0).sum() <= (first > 0).sum() * 1.05
