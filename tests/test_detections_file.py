import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.detections_file import read_detections
from convlstm.errors import DataError

pytestmark = pytest.mark.pure

ENTRIES = [
    {"frame": 0, "box": [412, 218, 466, 291.5], "confidence": 0.83, "track": 1},
    {"frame": 2, "box": [413, 217, 466, 290], "confidence": 0.81, "track": 1},
    {"frame": 2, "box": [10, 20, 30, 40], "confidence": 0.4, "track": 2},
]


def write(path: Path, entries: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        lines = ["frame,class,x1,y1,x2,y2,confidence,track"]
        for e in entries:
            lines.append(",".join(map(str, [e["frame"], "fire", *e["box"], e["confidence"], e["track"]])))
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    else:
        path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_the_same_from_every_format(tmp_path: Path, ending: str) -> None:
    found = read_detections(write(tmp_path / f"boxes.{ending}", ENTRIES))
    assert sorted(found) == [0, 2]
    np.testing.assert_array_equal(found[2].boxes, [[413, 217, 466, 290], [10, 20, 30, 40]])
    assert found[2].confidences is not None and found[2].confidences.tolist() == [0.81, 0.4]
    assert found[2].track_ids is not None and found[2].track_ids.tolist() == [1, 2]


def test_confidence_and_track_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frame,x1,y1,x2,y2\n3, 1,2,3,4\n")
    (tmp_path / "b.csv").write_text("﻿frame,x1,y1,x2,y2,track\n3,1,2,3,4,\n3,1,2,3,4,9\n", encoding="utf-8")
    (tmp_path / "c.json").write_text(json.dumps([{"frame": 3, "x1": 1, "y1": 2, "x2": 3, "y2": 4}]))
    for name in ("a.csv", "c.json"):
        found = read_detections(tmp_path / name)
        assert found[3].confidences is None and found[3].track_ids is None
        assert found[3].boxes.tolist() == [[1, 2, 3, 4]]
    ids = read_detections(tmp_path / "b.csv")[3].track_ids
    assert ids is not None and ids.tolist() == [-1, 9]


def test_no_detections_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "a.csv").write_text("frame,x1,y1,x2,y2\n")
    assert read_detections(tmp_path / "a.json") == read_detections(tmp_path / "a.csv") == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "frame,x1,y1,x2\n0,1,2,3\n", "a.csv: column y2 is missing: the first line must be"),
        ("a.csv", "", "column frame is missing"),
        ("a.csv", "frame,x1,y1,x2,y2\n0,1,2,3,4\n0,1,two,3,4\n", "a.csv, line 3: y1 must be a number, got 'two'"),
        ("a.csv", "frame,x1,y1,x2,y2\n0,1,2\n", "line 2: x2 must be a number, got None"),
        ("a.csv", "frame,x1,y1,x2,y2\n-1,1,2,3,4\n", "line 2: frame must be 0 or greater, got -1"),
        ("a.csv", "frame,x1,y1,x2,y2\n1.5,1,2,3,4\n", "line 2: frame must be a whole number, got '1.5'"),
        ("a.csv", "frame,x1,y1,x2,y2\n1,30,2,3,4\n", "x2 y2 must not lie before x1 y1"),
        ("a.csv", "frame,x1,y1,x2,y2\n1,nan,2,3,4\n", "x1 must be a number"),
        ("a.json", "{", "a.json: not valid JSON"),
        ("a.json", "{}", "a.json: must hold a list of detections, got dict"),
        ("a.json", "[3]", "a.json, detection 1: must be an object with frame and box, got int"),
        ("a.json", '[{"frame": 1, "box": [1, 2, 3]}]', r"detection 1: box must be four numbers x1 y1 x2 y2, got \[1"),
        ("a.json", '[{"frame": true, "box": [1, 2, 3, 4]}]', "detection 1: frame must be a number, got True"),
        ("a.jsonl", '{"frame": 1, "box": [1, 2, 3, 4]}\n{', "a.jsonl, line 2: not valid JSON"),
        ("a.txt", "", "a.txt: detections must be a .csv, .json or .jsonl file, got .txt"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_detections(tmp_path / name)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: cannot be read: No such file"):
        read_detections(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_detections(tmp_path / "a.csv")


@given(st.binary(max_size=60), st.sampled_from([".csv", ".json", ".jsonl"]))
def test_any_bytes_give_detections_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{ending}"
    path.write_bytes(b"frame,x1,y1,x2,y2\n" * (ending == ".csv") + data)
    try:
        found = read_detections(path)
    except DataError:
        return
    assert all(len(detections) for detections in found.values())
