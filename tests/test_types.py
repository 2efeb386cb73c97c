from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from convlstm.types import Event, Frame, Heatmap

pytestmark = pytest.mark.pure


def test_frame_repr_shows_size_and_place_not_pixels() -> None:
    frame = Frame(np.zeros((48, 64, 3), dtype=np.uint8), 7, 0.28)
    assert repr(frame) == "Frame(64x48, index=7, pts_seconds=0.280)"


@pytest.mark.parametrize(
    ("shape", "dtype"), [((8, 8), np.uint8), ((8, 8, 4), np.uint8), ((8, 8, 3), np.float32), ((1, 8, 8, 3), np.uint8)]
)
def test_frame_refuses_other_shapes_and_types(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(ValueError, match=r"pixels must be uint8 \(H, W, 3\), got"):
        Frame(np.zeros(shape, dtype=dtype), 0, 0.0)


def test_frame_refuses_a_negative_index() -> None:
    with pytest.raises(ValueError, match="index must be >= 0, got -1"):
        Frame(np.zeros((8, 8, 3), dtype=np.uint8), -1, 0.0)


def test_heatmap_repr_shows_grid_frames_times_and_maximum() -> None:
    probabilities = np.zeros((2, 3), dtype=np.float32)
    probabilities[1, 2] = 0.75
    heatmap = Heatmap(probabilities, 3, 12, 0.12, 0.48)
    assert repr(heatmap) == "Heatmap(2x3 cells, frames 3-12, 0.120-0.480 s, max=0.750)"


def test_heatmap_refuses_other_types_and_reversed_frames() -> None:
    with pytest.raises(ValueError, match=r"float32 \(GH, GW\), got float64 \(2, 3\)"):
        Heatmap(np.zeros((2, 3)), 0, 9, 0.0, 0.36)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"got float32 \(1, 2, 3\)"):
        Heatmap(np.zeros((1, 2, 3), dtype=np.float32), 0, 9, 0.0, 0.36)
    with pytest.raises(ValueError, match="last_frame 4 lies before first_frame 5"):
        Heatmap(np.zeros((2, 3), dtype=np.float32), 5, 4, 0.2, 0.16)


@pytest.mark.parametrize(
    "box", [(0.5, 0.0, 0.5, 1.0), (0.0, 0.7, 1.0, 0.2), (-0.1, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.01)]
)
def test_event_refuses_boxes_that_are_empty_or_outside(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="box must be normalised"):
        Event(0, 9, 0.0, 0.36, 0.9, box)


def test_event_refuses_reversed_frames_and_takes_one_frame() -> None:
    with pytest.raises(ValueError, match="end_frame 3 lies before start_frame 4"):
        Event(4, 3, 0.0, 0.0, 0.9, (0.0, 0.0, 1.0, 1.0))
    assert Event(4, 4, 0.16, 0.16, 0.9, (0.0, 0.0, 1.0, 1.0)).start_frame == 4


def test_values_are_frozen() -> None:
    frame = Frame(np.zeros((8, 8, 3), dtype=np.uint8), 0, 0.0)
    with pytest.raises(FrozenInstanceError):
        frame.index = 1  # type: ignore[misc]
