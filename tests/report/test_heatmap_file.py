from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.report import heatmap_file
from convlstm.report.heatmap_file import HeatmapFile
from convlstm.types import Heatmap


def window(number: int, shape: tuple[int, int] = (2, 3)) -> Heatmap:
    probabilities = np.random.default_rng(number).random(shape, dtype=np.float32)
    return Heatmap(probabilities, 3 * number, 3 * number + 9, 0.12 * number, 0.12 * number + 0.36)


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_the_npz_file_holds_what_was_added(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heatmap_file, "_WINDOWS_AT_ONCE", 4)
    kept = HeatmapFile(tmp_path)
    windows = [window(number) for number in range(count)]
    for heatmap in windows:
        kept.add(heatmap)
    kept.save_npz(tmp_path / "a.npz")
    kept.close()
    with np.load(tmp_path / "a.npz") as arrays:
        assert sorted(arrays) == ["end_s", "first_frame", "heatmaps", "last_frame", "start_s"]
        assert arrays["heatmaps"].dtype == np.float32 and arrays["first_frame"].dtype == np.int64
        assert arrays["end_s"].dtype == np.float64
        np.testing.assert_array_equal(arrays["heatmaps"], np.stack([w.probabilities for w in windows]))
        assert arrays["first_frame"].tolist() == [w.first_frame for w in windows]
        assert arrays["last_frame"].tolist() == [w.last_frame for w in windows]
        assert arrays["start_s"].tolist() == [w.start_seconds for w in windows]
        assert arrays["end_s"].tolist() == [w.end_seconds for w in windows]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


@given(st.integers(0, 7), st.integers(1, 5))
def test_windows_come_back_in_order_also_while_more_are_added(first: int, more: int) -> None:
    kept = HeatmapFile(Path())
    for number in range(first + more):
        if number == first:
            assert len(list(kept)) == len(kept) == first
        kept.add(window(number))
    for number, heatmap in enumerate(kept):
        wanted = window(number)
        np.testing.assert_array_equal(heatmap.probabilities, wanted.probabilities)
        assert (heatmap.first_frame, heatmap.last_frame) == (wanted.first_frame, wanted.last_frame)
        assert (heatmap.start_seconds, heatmap.end_seconds) == (wanted.start_seconds, wanted.end_seconds)
    kept.close()


def test_nothing_stays_on_disk(tmp_path: Path) -> None:
    kept = HeatmapFile(tmp_path)
    kept.add(window(0))
    assert list(tmp_path.iterdir()) == []
    kept.close()
