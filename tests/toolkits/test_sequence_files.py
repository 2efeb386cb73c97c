from pathlib import Path

import cv2
import numpy as np
import pytest

from convlstm.detections_file import read_detections
from convlstm.sources.frame_times import read_frame_times
from convlstm.sources.open import open_source
from convlstm.toolkits.instances import Instance
from convlstm.toolkits.sequence_files import BoxesWriter, SequenceWriter, read_boxes
from convlstm.types import Frame

TIMES = ((0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (5, 0.5))


def frame(index: int, seconds: float) -> Frame:
    return Frame(np.full((16, 24, 3), index, dtype=np.uint8), index, seconds)


@pytest.mark.parametrize("num_threads", [0, 1])
def test_frames_masks_and_times_are_read_back(tmp_path: Path, num_threads: int) -> None:
    mask = np.zeros((16, 24), dtype=np.uint8)
    mask[2:5, 3:9] = 255
    with SequenceWriter(tmp_path, masks=True, num_threads=num_threads) as sequence:
        for index, seconds in TIMES:
            sequence.add(frame(index, seconds), frame(index, seconds).pixels, mask)
    assert sequence.num_frames == 5 and sequence.fps(25) == pytest.approx(10)
    source = open_source(tmp_path)
    read = [(one.index, one.pts_seconds) for one in source if int(one.pixels[0, 0, 0]) == one.index]
    assert read == list(TIMES)
    written = cv2.imread(str(tmp_path / "masks" / "frame_000006.png"), cv2.IMREAD_UNCHANGED)
    assert written is not None and np.array_equal(written, mask)
    assert read_frame_times(tmp_path) == {f"frame_{index + 1:06d}.png": seconds for index, seconds in TIMES}


def test_without_masks_there_is_no_folder_for_them(tmp_path: Path) -> None:
    with SequenceWriter(tmp_path, masks=False) as sequence:
        sequence.add(frame(0, 0), frame(0, 0).pixels, np.zeros((16, 24), dtype=np.uint8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frame_000001.png", "frames.csv"]
    assert sequence.fps(12.5) == 12.5  # one frame tells no rate


def test_boxes_are_as_verify_reads_them(tmp_path: Path) -> None:
    first = Instance(np.array([1.234, 2, 10, 20.0]), 0, 0.87654, None, 1)
    held = Instance(np.array([2.0, 2, 11, 20.0]), 0, None, None, 1)
    other = Instance(np.array([50.0, 50, 60, 60]), 7, 0.5, None, 2)
    with BoxesWriter(tmp_path) as boxes:
        boxes.add(0, [first], {0: "fire, big"})
        boxes.add(1, [], {})
        boxes.add(4, [held, other], {0: "fire, big"})
    lines = (tmp_path / "boxes.csv").read_text().splitlines()
    assert lines == [
        "frame,x1,y1,x2,y2,confidence,track,class",
        '0,1.23,2.0,10.0,20.0,0.8765,1,"fire, big"',
        '4,2.0,2.0,11.0,20.0,,1,"fire, big"',
        "4,50.0,50.0,60.0,60.0,0.5,2,7",
    ]
    read = read_detections(tmp_path / "boxes.csv")
    assert list(read) == [0, 4] and read[4].track_ids is not None and read[4].track_ids.tolist() == [1, 2]
    back = [(index, [box.tolist() for box in found]) for index, found in read_boxes(tmp_path)]
    assert back == [(0, [[1.23, 2, 10, 20]]), (4, [[2, 2, 11, 20], [50, 50, 60, 60]])]
