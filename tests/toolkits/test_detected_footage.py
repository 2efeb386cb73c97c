"""Frames and their things, with a detector that is told what to see."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("supervision", reason="needs the package supervision")
pytest.importorskip("trackers", reason="needs the package trackers")

import supervision as sv

from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource
from convlstm.toolkits.detected_footage import DetectedFootage
from convlstm.toolkits.track_window import TrackWindow
from convlstm.types import Frame

Pixels = NDArray[np.uint8]


class BlindEveryThird:
    """A detector that sees one box, but not in every third frame."""

    names: Mapping[int, str] = {0: "fire"}

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.num_seen = 0

    def detect(self, frames: Sequence[Pixels]) -> Iterator[Any]:
        self.batches.append(len(frames))
        for _ in frames:
            self.num_seen += 1
            if self.num_seen % 3 == 0:
                yield sv.Detections.empty()
            else:
                box = np.array([[self.num_seen, 2.0, self.num_seen + 10, 12]])
                yield sv.Detections(xyxy=box, confidence=np.array([0.5]), class_id=np.array([0]))


class Footage(SeekableSource):
    """Frames of given indices, whose first pixel tells the index; `num_read` tells how far it was read."""

    def __init__(self, indices: Sequence[int], sizes: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__("cam.mp4")
        self.indices = indices
        self.sizes = sizes or [(16, 40)] * len(indices)
        self.num_read = 0

    num_frames = 10
    fps = 25.0

    @property
    def runs(self) -> list[range]:
        return [range(len(self.indices))]

    def read(self, indices: Sequence[int]) -> list[Pixels]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Frame]:
        for index, size in zip(self.indices, self.sizes, strict=True):
            self.num_read += 1
            yield Frame(np.full((*size, 3), index % 256, dtype=np.uint8), index, index / 25)


def test_no_frame_is_dropped_and_each_meets_its_own_things() -> None:
    detector = BlindEveryThird()
    footage = DetectedFootage(Footage(range(20)), detector, TrackWindow(max_gap=2, smooth=0), batch_size=8)
    pairs = list(footage)
    assert [frame.index for frame, _ in pairs] == list(range(20))
    assert [frame.pts_seconds for frame, _ in pairs] == pytest.approx([index / 25 for index in range(20)])
    for frame, instances in pairs:
        assert frame.pixels[0, 0, 0] == frame.index
        assert [one.box[0] for one in instances] == pytest.approx([frame.index + 1])
    assert detector.batches == [8, 8, 4]
    assert (footage.num_frames, footage.num_with_detections, footage.num_held) == (20, 14, 6)


def test_frames_that_the_source_lacks_stay_lacking() -> None:
    indices = [0, 1, 2, 5, 6, 7]
    footage = DetectedFootage(Footage(indices), BlindEveryThird(), TrackWindow(max_gap=3, smooth=1), batch_size=4)
    assert [frame.index for frame, _ in footage] == indices


def test_only_a_batch_and_the_look_ahead_are_read_ahead() -> None:
    source = Footage(range(300))
    window = TrackWindow(max_gap=3, smooth=2)
    footage = DetectedFootage(source, BlindEveryThird(), window, batch_size=4)
    for num_given, _ in enumerate(footage, start=1):
        assert source.num_read - num_given <= window.look_ahead + 4


def test_frames_of_another_size_are_refused() -> None:
    source = Footage(range(4), [(16, 40)] * 3 + [(20, 40)])
    footage = DetectedFootage(source, BlindEveryThird(), TrackWindow(max_gap=1, smooth=0), batch_size=2)
    with pytest.raises(DataError, match=r"cam\.mp4: frame 3 is of 40x20 pixels, but the first is of 40x16"):
        list(footage)


def test_progress_counts_each_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    advance: Callable[..., None] = lambda count=1: counted.append(count)  # noqa: E731
    monkeypatch.setattr("convlstm.toolkits.detected_footage.advance", advance)
    list(DetectedFootage(Footage(range(7)), BlindEveryThird(), TrackWindow(max_gap=1, smooth=0), batch_size=3))
    assert sum(counted) == 7


def test_an_empty_source_gives_nothing(tmp_path: Path) -> None:
    assert list(DetectedFootage(Footage([]), BlindEveryThird(), TrackWindow(max_gap=1, smooth=0), batch_size=3)) == []
