"""Stretches of real videos: what moves in them is found, what stands still too, and light is no motion."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from convlstm.errors import DataError
from convlstm.utils.data.synthetic.recordings import (
    MOVING,
    STILL,
    UNKNOWN,
    Recording,
    _exposure,
    cut_recording,
    find_recordings,
    motion_labels,
    training_mask,
)
from convlstm.utils.data.synthetic.textures import fractal_noise

Pixels = NDArray[np.uint8]
Film = Callable[..., list[Pixels]]
SIDE, SPEED = 24, 3


@pytest.fixture(scope="session")
def film() -> Film:
    """`film(num_frames, top=16, gain=..., offset=...)`: a yellow square (none without `top`) crosses a noisy wall."""
    noise = fractal_noise(np.random.default_rng(0), (160, 160), exponent=1.5)
    wall = np.clip(110 + 30 * noise.astype(np.float64), 20, 200)

    def make(
        num_frames: int,
        *,
        top: int | None = 16,
        gain: Callable[[int], float] = lambda index: 1.0,
        offset: Callable[[int], float] = lambda index: 0.0,
    ) -> list[Pixels]:
        rng, frames = np.random.default_rng(1), []
        for index in range(num_frames):
            picture = np.repeat(wall[..., None], 3, axis=2)
            if top is not None:
                left = SPEED * index % (160 - SIDE)
                picture[top : top + SIDE, left : left + SIDE] = (250, 250, 40)
            picture = picture * gain(index) + offset(index) + rng.normal(0, 2, (160, 160, 1))
            frames.append(np.rint(np.clip(picture, 0, 255)).astype(np.uint8))
        return frames

    return make


def is_square(frames: Pixels | NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the square is, (N, H, W), whatever codec and light did to it."""
    full_scale = 1 if frames.dtype == np.float32 else 255
    return np.asarray(np.subtract(frames[..., 0], frames[..., 2], dtype=np.float32) > 0.35 * full_scale)


def around(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """Rows and columns within `distance` of what `mask` (H, W) holds."""
    found = np.zeros_like(mask)
    ys, xs = np.nonzero(mask)
    if len(ys):
        found[max(0, ys.min() - distance) : ys.max() + distance, max(0, xs.min() - distance) : xs.max() + distance] = 1
    return found


def test_what_moves_is_moving_and_what_does_not_is_still(film: Film) -> None:
    frames = np.stack(film(30))
    labels = motion_labels(frames)
    assert labels.shape == (30, 160, 160) and labels.dtype == np.uint8
    squares = is_square(frames)
    for index in range(8, 22):
        front = squares[index] & ~squares[index - 4]
        assert (labels[index][front] == MOVING).mean() > 0.85
        assert (labels[index][squares[index]] != STILL).all()
        far = ~around(squares[index - 8] | squares[index + 8], 45)
        assert far.any() and (labels[index][far] == STILL).all()
        assert not np.any((labels[index] == MOVING) & ~around(squares[index], 8 * SPEED + 6))


def test_nothing_moves_where_there_is_only_noise(film: Film) -> None:
    labels = motion_labels(np.stack(film(26, top=None)))
    assert (labels == STILL).mean() > 0.999 and not np.any(labels == MOVING)


LIGHT: dict[str, dict[str, Callable[[int], float]]] = {
    "fade": {"offset": lambda index: 2.0 * index - 20},
    "flash": {"offset": lambda index: 30.0 * (index == 15)},
    "step": {"offset": lambda index: 40.0 * (index > 15)},
    "gain drift": {"gain": lambda index: 0.7 + 0.02 * index},
    "gain step": {"gain": lambda index: 1 + 0.25 * (index > 15)},
    "slow swing": {"gain": lambda index: 1 + 0.15 * np.sin(2 * np.pi * index / 25)},
    "mains flicker": {"gain": lambda index: 1 + 0.05 * (-1) ** index},
}


@pytest.mark.parametrize("name", sorted(LIGHT))
def test_exposure_alone_is_no_motion(film: Film, name: str) -> None:
    labels = motion_labels(np.stack(film(30, top=None, **LIGHT[name])))
    assert not np.any(labels == MOVING)


def test_a_moving_square_is_found_under_changing_exposure(film: Film) -> None:
    frames = np.stack(film(30, offset=lambda index: 10 * np.sin(index / 4)))
    labels = motion_labels(frames)
    for index in range(8, 22):
        front = is_square(frames)[index] & ~is_square(frames)[index - 4]
        assert (labels[index][front] == MOVING).mean() > 0.7


@pytest.mark.parametrize("name", ["fade", "flash", "gain step", "slow swing"])
def test_a_moving_square_is_found_whatever_the_light_does(film: Film, name: str) -> None:
    frames = np.stack(film(30, **LIGHT[name]))
    squares = is_square(np.stack(film(30)))
    labels = motion_labels(frames)
    found = [(labels[i][squares[i] & ~squares[i - 4]] == MOVING).mean() for i in range(8, 22)]
    assert np.mean(found) > 0.7 and not any(
        np.any((labels[i] == MOVING) & ~around(squares[i], 8 * SPEED + 6)) for i in range(8, 22)
    )


def slideshow(num_frames: int, first: Pixels, second: Pixels) -> Pixels:
    """Frames (N, H, W, 3): a picture dissolves into another from frame 10 to 22, a white caption over both stays."""
    frames = []
    for index in range(num_frames):
        share = np.clip((index - 10) / 12, 0, 1)
        picture = (1 - share) * first.astype(np.float64) + share * second.astype(np.float64)
        picture[140:146, 20:140:2] = 255
        frames.append(np.rint(picture).astype(np.uint8))
    return np.stack(frames)


@pytest.mark.parametrize("to_black", [False, True])
def test_pictures_that_fade_or_dissolve_and_captions_over_them_do_not_move(film: Film, to_black: bool) -> None:
    first = film(1, top=None)[0]
    other = fractal_noise(np.random.default_rng(7), (160, 160), exponent=1.5).astype(np.float64)
    second = np.repeat(np.rint(np.clip(120 + 40 * other, 0, 255)).astype(np.uint8)[..., None], 3, axis=2)
    frames = slideshow(34, first, np.zeros_like(first) if to_black else second)
    assert np.abs(np.diff(frames.astype(np.int16), axis=0)).max() > 5
    labels = motion_labels(frames)
    assert (labels == MOVING).mean() < 1e-4
    assert (labels[:2] == STILL).all() and (labels[-2:] == STILL).all()


def test_what_moves_while_a_picture_fades_to_black_is_found(film: Film) -> None:
    frames = np.stack(film(30, gain=lambda index: float(np.clip(1 - (index - 10) / 25, 0, 1))))
    squares, labels = is_square(np.stack(film(30))), motion_labels(frames)
    found = [(labels[i][squares[i] & ~squares[i - 4]] == MOVING).mean() for i in range(10, 22)]
    assert np.mean(found) > 0.6


@given(st.floats(0.5, 2), st.floats(-60, 60), st.floats(0, 0.35), st.integers(0, 2**32 - 1))
def test_exposure_is_told_from_what_moves(gain: float, offset: float, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    others = rng.uniform(0, 255, 2_000).astype(np.float32)
    values = (gain * others + offset + rng.normal(0, 1, others.shape)).astype(np.float32)
    values[: int(share * len(values))] = rng.uniform(0, 255, int(share * len(values)))
    found_gain, found_offset = _exposure(values, others)
    assert (
        abs(found_gain * 128 + found_offset - gain * 128 - offset) < 2 and abs(found_gain - gain) < 0.02 + 0.02 * gain
    )


@settings(max_examples=60)
@given(arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90)), elements=st.sampled_from([0, 1, 2])))
def test_masks_keep_moving_and_still_pixels(labels: Pixels) -> None:
    mask = training_mask(labels)
    assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255}
    assert np.all(mask[labels == MOVING] == 255) and not mask[labels == STILL].any()
    assert mask[labels == UNKNOWN].sum() <= 255 * np.ceil(labels.shape[0] / 8) * np.ceil(labels.shape[1] / 8)


def test_unknown_cells_lie_between_static_and_dynamic() -> None:
    """Every cell of 32 pixels holds dynamic pixels, but fewer than the 2 % that make it dynamic."""
    mask = training_mask(np.full((96, 128), UNKNOWN, dtype=np.uint8)) > 0
    shares = mask.reshape(3, 32, 4, 32).mean(axis=(1, 3))
    assert np.all(shares > 0) and np.all(shares < 0.02)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, film: Film, write_video: Callable[..., Path]) -> Path:
    """One video of 60 frames (160, 160), in which the square crosses the wall."""
    root = tmp_path_factory.mktemp("recordings")
    write_video(root / "wall.mp4", film(60, top=68), options={"crf": "14"})
    return root


def cut(folder: Path, seed: int, num_frames: int = 8, size: tuple[int, int] = (320, 320)) -> Recording:
    return cut_recording(np.random.default_rng(seed), find_recordings(folder), num_frames, size)


def test_videos_are_found_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/z.MKV", "c.gif", "note.txt", "frame.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find_recordings(tmp_path)] == ["z.MKV", "b.mp4", "c.gif"]
    with pytest.raises(DataError, match="missing: no videos: name a folder that holds some"):
        find_recordings(tmp_path / "missing")


def is_whole(square: NDArray[np.bool_]) -> bool:
    """Whether all of its width is in view."""
    return square.sum() > (4 * SIDE) ** 2 / 2 and not square[:, 0].any() and not square[:, -1].any()


def test_stretches_have_their_labels_in_step(folder: Path) -> None:
    """Cut out, mirrored and slowed down as they may be, labels stay on the square that they belong to."""
    overlaps, mirrored, steps = [], set(), set()
    for seed in range(10):
        recording = cut(folder, seed)
        assert recording.frames.shape == (8, 320, 320, 3) and recording.labels.shape == (8, 320, 320)
        assert recording.frames.dtype == np.float32 and recording.frames.max() <= 1 and recording.name == "wall"
        squares = is_square(recording.frames)
        places = [np.nonzero(square)[1].mean() for square in squares if is_whole(square)]
        if len(places) > 1:
            pace = float(np.median(np.diff(places)))
            mirrored.add(pace < 0)
            steps.add(round(abs(pace) / (4 * SPEED)))  # the video is enlarged fourfold
        for square, labels in zip(squares, recording.labels, strict=True):
            assert np.all(labels[square] != STILL)
            assert (labels == STILL).any() or square.any()
            if is_whole(square):
                moving = labels == MOVING
                overlaps.append((moving & square).sum() / (moving | square).sum())
    assert len(overlaps) > 10 and np.median(overlaps) > 0.7
    assert mirrored == {False, True} and steps == {1, 2}


def test_the_seed_decides_the_stretch(folder: Path) -> None:
    first, again, other = (cut(folder, seed, num_frames=2, size=(128, 128)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.frames, other.frames)


def test_short_videos_go_there_and_back(tmp_path: Path, film: Film, write_video: Callable[..., Path]) -> None:
    """Never from the last frame to the first at once, and never standing still."""
    write_video(tmp_path / "short.mp4", film(5), options={"crf": "14"})
    for seed in range(4):
        recording = cut(tmp_path, seed, num_frames=12, size=(96, 96))
        assert recording.frames.shape == (12, 96, 96, 3)
        jumps = np.abs(np.diff(recording.frames, axis=0)).mean(axis=(1, 2, 3))
        assert jumps.min() > 0 and jumps.max() < 0.1


def test_a_video_of_one_frame_stands_still(tmp_path: Path, film: Film, write_video: Callable[..., Path]) -> None:
    write_video(tmp_path / "single.mkv", film(1))
    recording = cut(tmp_path, 0, num_frames=3, size=(96, 96))
    assert not np.ptp(recording.frames, axis=0).any() and not recording.labels.any()


@pytest.mark.parametrize("size", [(64, 75), (640, 652), (700, 660)])
def test_stretches_come_in_any_size(folder: Path, size: tuple[int, int]) -> None:
    recording = cut(folder, 0, num_frames=2, size=size)
    assert recording.frames.shape == (2, *size, 3) and recording.labels.shape == (2, *size)


def test_a_damaged_recording_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.mp4").write_bytes(b"no video at all")
    with pytest.raises(DataError, match=r"torn\.mp4"):
        cut(tmp_path, 0)
