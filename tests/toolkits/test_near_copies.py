import os
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convlstm.toolkits.near_copies import MAX_DISTANCE, SmallArray, find_near_copies, sample_places, thumbnail

pytestmark = pytest.mark.pure

Pixels = NDArray[np.uint8]

NUM_SEQUENCES = int(os.environ.get("CONVLSTM_SEQUENCES", "1000"))


def film(place: int, moment: int, *, num_frames: int = 8, noise: float = 3.0, moving: bool = True) -> list[Pixels]:
    """A fixed camera: the picture is that of the `place`, what moves and the noise are those of the `moment`."""
    coarse = np.random.RandomState(place).randint(40, 200, (9, 12, 3)).astype(np.float32)
    still = cv2.resize(coarse, (192, 144), interpolation=cv2.INTER_CUBIC)
    chance = np.random.RandomState(1000 + moment)
    left, top, speed = chance.randint(0, 90), chance.randint(0, 100), chance.randint(4, 10)
    frames = []
    for index in range(num_frames):
        frame = still + chance.normal(0, noise, still.shape)
        if moving:
            frame[top : top + 40, left + speed * index : left + speed * index + 40] = 250
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


def small(frames: Sequence[Pixels]) -> SmallArray:
    return np.stack([thumbnail(frame) for frame in frames])


def jpeg(frame: Pixels, quality: int) -> Pixels:
    data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def resized(frame: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "the same": lambda frame: frame,
    "jpeg": lambda frame: jpeg(frame, 50),
    "half the size": lambda frame: resized(frame, (96, 72)),
    "stretched": lambda frame: resized(frame, (160, 160)),
    "brighter": lambda frame: np.asarray(cv2.convertScaleAbs(frame, alpha=0.9, beta=10), np.uint8),
}


def pairs(sequences: Sequence[SmallArray], groups: Sequence[str] | None = None) -> set[tuple[int, int]]:
    names = groups or [str(number) for number in range(len(sequences))]
    return {(copy.first, copy.second) for copy in find_near_copies(sequences, names)}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_are_found_among_others(copy: Callable[[Pixels], Pixels]) -> None:
    films = [film(place, place) for place in range(6)]
    films.append([copy(frame) for frame in films[2]])
    assert pairs([small(frames) for frames in films]) == {(2, 6)}


def test_one_place_at_two_times_is_no_copy() -> None:
    sequences = [small(film(0, moment)) for moment in range(12)]
    assert pairs(sequences) == set()


def test_an_empty_room_at_two_times_is_no_copy_but_its_copy_is() -> None:
    empty = [film(0, moment, moving=False) for moment in range(4)]
    sequences = [small(frames) for frames in empty]
    assert pairs(sequences) == set()
    assert float(np.linalg.norm(sequences[0][0].astype(float) - sequences[1][0])) < MAX_DISTANCE  # though it looks it
    assert pairs([*sequences, small([jpeg(frame, 95) for frame in empty[1]])]) == {(1, 4)}


def test_frozen_pictures_are_compared_as_pictures() -> None:
    frozen = [film(place, 0, moving=False)[:1] * 8 for place in (0, 1)]
    assert pairs([small(frames) for frames in [*frozen, [jpeg(f, 90) for f in frozen[0]]]]) == {(0, 2)}


def test_within_a_group_copies_are_no_matter() -> None:
    frames = small(film(0, 0))
    assert pairs([frames, frames, frames], ["a", "a", "b"]) == {(0, 2), (1, 2)}


def test_a_part_of_a_sequence_is_found_and_a_single_frame_in_common_is_not() -> None:
    whole, other = film(0, 0), film(1, 1)
    assert pairs([small(whole), small(whole[2:6])]) == {(0, 1)}
    assert pairs([small(whole), small([*other[:7], whole[0]])]) == set()


def test_sequences_without_pictures_are_left_out() -> None:
    nothing = np.zeros((0, 1024), np.float16)
    frames = small(film(0, 0))
    assert pairs([nothing, frames, nothing, frames]) == {(1, 3)}
    assert pairs([nothing]) == set() and pairs([]) == set()
    black = small([np.zeros((20, 20, 3), np.uint8)] * 3)
    assert pairs([black, black]) == {(0, 1)}


@given(st.integers(1, 500))
def test_samples_are_different_frames_from_first_to_last(num_frames: int) -> None:
    places = sample_places(num_frames)
    assert places[0] == 0 and places[-1] == num_frames - 1 and len(places) == min(8, num_frames)
    assert places == sorted(set(places))


@given(st.integers(0, 2**31 - 1))
def test_no_pair_within_the_distance_is_missed(seed: int) -> None:
    """Against each with each, on pictures of which many lie near the limit."""
    chance = np.random.RandomState(seed)
    base = chance.normal(0, 1, (6, 1024))
    rows = base[chance.randint(0, 6, 40)] + chance.normal(0, 1, (40, 1024)) * chance.choice((0.02, 0.04, 0.05), (40, 1))
    pictures = ((rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True) / 32).astype(np.float16)
    distances = {
        (a, b): float(np.linalg.norm(pictures[a].astype(np.float32) - pictures[b]))
        for a in range(40)
        for b in range(a + 1, 40)
    }
    found = pairs([picture[None] for picture in pictures])
    assert {pair for pair, distance in distances.items() if distance < MAX_DISTANCE - 1e-4} <= found
    assert found <= {pair for pair, distance in distances.items() if distance < MAX_DISTANCE + 1e-4}


@pytest.mark.slow
def test_among_thousands_of_sequences_the_one_copy_is_found() -> None:
    """Of 200 cameras, which film the same place again and again."""
    chance = np.random.RandomState(0)
    cameras = cv2.GaussianBlur(chance.normal(0, 1, (32, 32, 200)).astype(np.float32), (0, 0), 3).reshape(1024, 200).T
    sequences = []
    for number in range(NUM_SEQUENCES):
        rows = cameras[number % 200] / cameras[number % 200].std() + chance.normal(0, 0.1, (8, 1024))
        rows -= rows.mean(axis=1, keepdims=True)
        sequences.append((rows / rows.std(axis=1, keepdims=True) / 32).astype(np.float16))
    sequences[-1] = sequences[5]
    assert pairs(sequences) == {(5, NUM_SEQUENCES - 1)}
