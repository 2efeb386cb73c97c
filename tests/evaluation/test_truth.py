from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convlstm.errors import DataError
from convlstm.evaluation.events_file import TruthEvent
from convlstm.evaluation.truth import (
    ClassTruth,
    EventTruth,
    FrameTruth,
    MaskTruth,
    mask_files,
    window_truth,
)
from convlstm.sources.folder import FolderSource

NAN = float("nan")
GRID = (4, 6)
EVERYWHERE = np.ones(GRID, dtype=bool)


def frame(*rows: list[float], is_dynamic: bool = False) -> FrameTruth:
    return FrameTruth(np.array(rows, dtype=np.float32), is_dynamic)


def write_frames(folder: Path, names: list[str], value: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.full((32, 32), value, dtype=np.uint8)).save(folder / name)
    return folder


@pytest.mark.pure
def test_a_window_joins_its_frames() -> None:
    region = np.ones((1, 6), dtype=bool)
    frames = [frame([0, 0, 0.01, 0, 0.5, NAN]), frame([0, 0.9, 0, NAN, NAN, NAN])]
    truth = window_truth(frames, 0.02, region)
    assert truth.cells.tolist() == [[0, 1, -1, -1, 1, -1]]
    assert truth.not_static.tolist() == [[False, True, True, True, True, True]]
    assert truth.is_dynamic is True


@pytest.mark.pure
@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([frame([0, 0])], False),
        ([frame([0, 0.5])], True),
        ([frame([0, 0.01])], None),
        ([frame([0, NAN])], None),
        ([frame([0, 0]), frame([0, NAN])], None),
        ([frame([0, 0], is_dynamic=True)], True),
        ([frame([0, 0]), frame([NAN, NAN], is_dynamic=True)], True),
    ],
)
def test_a_window_is_static_only_where_all_of_it_is(frames: list[FrameTruth], expected: bool | None) -> None:
    assert window_truth(frames, 0.02, np.ones((1, 2), dtype=bool)).is_dynamic is expected


@pytest.mark.pure
def test_outside_the_region_nothing_is_known() -> None:
    region = np.array([[True, True, False]])
    assert window_truth([frame([0, 0, 0.9])], 0.02, region).is_dynamic is False
    assert window_truth([frame([0, 0.9, 0.9])], 0.02, region).cells.tolist() == [[0, 1, -1]]


@pytest.mark.pure
def test_a_class_holds_for_the_whole_sequence() -> None:
    static, dynamic = ClassTruth(GRID, is_dynamic=False), ClassTruth(GRID, is_dynamic=True)
    assert (static(0).shares == 0).all() and not static(7).is_dynamic
    assert np.isnan(dynamic(0).shares).all() and dynamic(7).is_dynamic
    assert (static.knows_when, dynamic.knows_when) == (True, False)


@pytest.mark.pure
def test_an_event_with_a_box_is_known_cell_by_cell() -> None:
    truth = EventTruth(GRID, [TruthEvent(3, 5, (2 / 6, 0.25, 0.5, 0.5))])
    expected = np.array([[0, NAN, NAN, NAN, 0, 0], [0, NAN, 1, NAN, 0, 0], [0, NAN, NAN, NAN, 0, 0], [0] * 6])
    for index in (3, 5):
        np.testing.assert_array_equal(truth(index).shares, expected)
        assert not truth(index).is_dynamic
    for index in (2, 6):
        assert (truth(index).shares == 0).all()


@pytest.mark.pure
def test_a_neighbour_of_one_event_may_be_dynamic_by_another() -> None:
    boxes = [(0.0, 0.0, 1 / 6, 0.25), (1 / 6, 0.0, 2 / 6, 0.25)]
    shares = EventTruth(GRID, [TruthEvent(0, 9, box) for box in boxes])(4).shares
    assert shares[0].tolist()[:2] == [1, 1] and np.isnan(shares[0, 2])


@pytest.mark.pure
def test_an_event_without_a_box_is_somewhere() -> None:
    truth = EventTruth(GRID, [TruthEvent(3, 5), TruthEvent(4, 9, (0.0, 0.0, 0.1, 0.1))])
    assert truth(3).is_dynamic and np.isnan(truth(3).shares).all()
    assert truth(4).is_dynamic and np.isnan(truth(4).shares).all()
    assert not truth(6).is_dynamic and truth(6).shares[0, 0] == 1
    assert window_truth([truth(2), truth(3)], 0.02, EVERYWHERE).is_dynamic is True
    assert window_truth([truth(0), truth(2)], 0.02, EVERYWHERE).is_dynamic is False


steps = st.integers(0, 60)


@pytest.mark.pure
@given(st.tuples(steps, steps, steps, steps).filter(lambda box: box[0] < box[2] and box[1] < box[3]))
def test_cells_touched_are_those_that_share_area_with_the_box(box: tuple[int, int, int, int]) -> None:
    x1, y1, x2, y2 = (side / 60 for side in box)
    shares = EventTruth(GRID, [TruthEvent(0, 0, (x1, y1, x2, y2))])(0).shares
    pixels = np.zeros((60, 60))
    pixels[box[1] : box[3], box[0] : box[2]] = 1
    touched = pixels.reshape(4, 15, 6, 10).any(axis=(1, 3))
    np.testing.assert_array_equal(shares == 1, touched)
    assert not np.isnan(shares).all() or touched.any()


def test_masks_give_the_share_of_each_cell(tmp_path: Path) -> None:
    mask = np.zeros((128, 192), dtype=np.uint8)
    mask[32:64, 64:80] = 255
    mask[0, 0] = 1
    Image.fromarray(mask).save(tmp_path / "m.png")
    truth = MaskTruth(GRID, {3: tmp_path / "m.png", 4: tmp_path / "gone.png"}.get)
    shares = truth(3).shares
    assert shares[1, 2] == 0.5 and shares[0, 0] == pytest.approx(1 / 1024) and (shares > 0).sum() == 2
    assert np.isnan(truth(2).shares).all()
    with pytest.raises(DataError, match=r"gone\.png"):
        truth(4)


def test_masks_named_like_frames_belong_to_them(tmp_path: Path) -> None:
    source = FolderSource(write_frames(tmp_path / "frames", ["f_10.png", "f_11.png", "f_12.png"]), fps=25)
    folder = write_frames(tmp_path / "masks", ["f_10.png", "f_12.png", "other_3.png"])
    assert mask_files(source, folder) == {0: folder / "f_10.png", 2: folder / "f_12.png"}


def test_as_many_masks_as_frames_belong_to_them_in_order(tmp_path: Path) -> None:
    source = FolderSource(write_frames(tmp_path / "frames", ["f_1.png", "f_2.png", "f_3.png", "f_5.png"]), fps=25)
    folder = write_frames(tmp_path / "masks", [f"v2_mask_{number}.png" for number in range(8, 12)])
    found = {index: path.name for index, path in mask_files(source, folder).items()}
    assert found == {0: "v2_mask_8.png", 1: "v2_mask_9.png", 2: "v2_mask_10.png", 4: "v2_mask_11.png"}


def test_fewer_masks_are_numbered_like_frames(tmp_path: Path) -> None:
    source = FolderSource(write_frames(tmp_path / "frames", [f"f_{i}.png" for i in range(5, 10)]), fps=25)
    folder = write_frames(tmp_path / "masks", ["gt000000.png", "gt000003.png"])
    assert mask_files(source, folder) == {0: folder / "gt000000.png", 3: folder / "gt000003.png"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no masks in it"),
        (["gt.png"], "no frame number in gt.png"),
        (["a_1.png", "b_1.png"], "a_1.png and b_1.png have the same number"),
        (["a_7.png"], "1 masks numbered 7-7 for 3 frames"),
        ([f"a_{i}.png" for i in range(4)], "4 masks numbered 0-3 for 3 frames"),
    ],
)
def test_masks_that_fit_no_frames_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    source = FolderSource(write_frames(tmp_path / "frames", ["f_1.png", "f_2.png", "f_3.png"]), fps=25)
    with pytest.raises(DataError, match=message):
        mask_files(source, write_frames(tmp_path / "masks", names))
