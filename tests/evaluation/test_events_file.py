import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.errors import DataError
from convlstm.evaluation.events_file import TruthEvent, read_events
from convlstm.report.results import event_to_dict
from convlstm.types import Event

pytestmark = pytest.mark.pure

unit = st.integers(0, 1000).map(lambda step: step / 1000)
boxes = st.tuples(unit, unit, unit, unit).filter(lambda box: box[0] < box[2] and box[1] < box[3])
events = st.lists(
    st.builds(
        lambda start, length, box: TruthEvent(start, start + length, box),
        st.integers(0, 99),
        st.integers(0, 500),
        st.none() | boxes,
    )
)


def as_csv(rows: list[TruthEvent]) -> str:
    lines = ["start_frame,end_frame,x1,y1,x2,y2"]
    lines += [f"{e.start_frame},{e.end_frame},{','.join(map(str, e.box or ('',) * 4))}" for e in rows]
    return "\n".join(lines) + "\n"


@given(rows=events)
def test_csv_and_json_give_what_was_written(rows: list[TruthEvent], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("events")
    (folder / "truth.csv").write_text(as_csv(rows))
    entries = [{"start_frame": e.start_frame, "end_frame": e.end_frame, "box": e.box} for e in rows]
    (folder / "truth.json").write_text(json.dumps(entries))
    assert read_events(folder / "truth.csv", 100) == rows
    assert read_events(folder / "truth.json", 100) == rows


def test_spaces_byte_order_marks_and_other_columns_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_bytes("\N{BOM}start_frame , note, end_frame\r\n3, lorry, 9\r\n".encode())
    assert read_events(path, 100) == [TruthEvent(3, 9)]


def test_only_frames_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("start_frame,end_frame\n3,9\n")
    assert read_events(path, 4) == [TruthEvent(3, 9)]
    path.write_text("start_frame,end_frame\n")
    assert read_events(path, 4) == []


def test_events_of_detection_are_a_truth_file(tmp_path: Path) -> None:
    event = Event(4, 20, 0.16, 0.8, 0.97, (0.25, 0.5, 0.75, 1.0))
    (tmp_path / "events.json").write_text(json.dumps([event_to_dict("clip.mp4", event)]))
    assert read_events(tmp_path / "events.json", 100) == [TruthEvent(4, 20, (0.25, 0.5, 0.75, 1.0))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected start_frame,end_frame"),
        ("start,end\n1,2\n", "line 1: expected start_frame,end_frame.* got start,end"),
        ("start_frame,end_frame\n5,2\n", "line 2: end_frame 2 lies before start_frame 5"),
        ("start_frame,end_frame\n1,2\n-1,2\n", "line 3: start_frame must be a frame number.* '-1'"),
        ("start_frame,end_frame\n1,\n", "line 2: end_frame must be a frame number"),
        ("start_frame,end_frame\n1.5,2\n", "line 2: start_frame must be a frame number"),
        (
            "start_frame,end_frame,x1,y1,x2,y2\n1,2,0.1,0.2,0.3,\n",
            "line 2: a box needs x1, y1, x2 and y2, got x1, y1, x2",
        ),
        ("start_frame,end_frame,x1,y1,x2,y2\n1,2,10,20,30,40\n", "line 2: a box must be.* divide pixels"),
        ("start_frame,end_frame,x1,y1,x2,y2\n1,2,a,0,1,1\n", "line 2: x1 must be a number, got 'a'"),
        ("start_frame,end_frame,x1,y1,x2,y2\n1,2,nan,0,1,1\n", "line 2: x1 must be a number, got 'nan'"),
        ("start_frame,end_frame\n100,200\n", "line 2: starts at frame 100, but the source has 100"),
        ('start_frame,end_frame\n"1,2\n', "line 1: unexpected end of data"),
    ],
)
def test_what_is_wrong_in_a_csv_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "truth.csv").write_text(text)
    with pytest.raises(DataError, match=f"truth.csv, {message}"):
        read_events(tmp_path / "truth.csv", 100)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"start_frame": 1}, "expected a list of objects"),
        ([1], "expected a list of objects"),
        ([{"start_frame": 1, "end_frame": 2, "box": [1, 2]}], "event 1: box must be"),
        ([{"start_frame": 1, "end_frame": 2}, {"start_frame": True, "end_frame": 2}], "event 2: start_frame must be"),
        ([{"start_frame": 1.0, "end_frame": 2}], "event 1: start_frame must be"),
        ([{"end_frame": 2}], "event 1: start_frame must be a frame number.* None"),
    ],
)
def test_what_is_wrong_in_a_json_file_is_named(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "truth.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_events(tmp_path / "truth.json", 100)


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    for name, message in (("a.json", "not valid JSON"), ("b.csv", "not UTF-8"), ("c.csv", "No such file")):
        with pytest.raises(DataError, match=message):
            read_events(tmp_path / name, 10)
