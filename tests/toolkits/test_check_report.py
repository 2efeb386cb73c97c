import csv
import json
from pathlib import Path

import pytest

from convlstm.toolkits.check_report import CANNOT_SEE, Report, table_of, write_report
from convlstm.toolkits.folder_check import Problem
from convlstm.toolkits.frame_folders import FrameFolder

pytestmark = pytest.mark.pure

A, B = Path("data/a"), Path("data/longer name\n<b>")
PROBLEMS = [
    Problem(A, "1.png", "truncated", "ends early"),
    Problem(A, "2.png", "truncated", "ends early"),
    Problem(B, "", "gap", "1 missing"),
]
FOLDERS = [FrameFolder(A, ("1.png", "2.png", "3.png")), FrameFolder(B, ("1.png",), ("clip.mp4",))]
REPORT = Report(FOLDERS, PROBLEMS, [A / "2.png"], num_checked=1, num_known=3)


def test_the_table_counts_and_lines_up() -> None:
    lines = table_of(REPORT).split("\n")
    assert lines[0] == "4 images in 2 folders (3 unchanged since they were checked): 2 truncated, 1 gap"
    assert lines[1] == "folder                images  problems     for example"
    assert lines[2] == "data/a                3       2 truncated  1.png: ends early"
    assert lines[3] == "data/longer name <b>  1       1 gap        1 missing"
    assert lines[4] == "moved 1 files to the quarantine; --undo takes them back"
    assert lines[5] == "1 videos were not looked at"
    assert lines[6].startswith("cannot be seen: a JPEG whose picture data")


def test_without_problems_it_says_what_it_cannot_see() -> None:
    report = Report(FOLDERS[:1], [], [], num_checked=3, num_known=0)
    first, last = table_of(report).split("\n")
    assert first == "3 images in 1 folders: no problems" and all(text in last for text in CANNOT_SEE)


def test_many_folders_are_cut_off_with_a_count() -> None:
    problems = [Problem(Path(f"{number:03d}"), "1.png", "empty", "0 bytes") for number in range(100)]
    folders = [FrameFolder(problem.folder, ("1.png",)) for problem in problems]
    lines = table_of(Report(folders, problems, [], num_checked=100, num_known=0)).split("\n")
    assert len(lines) == 34 and lines[-2] == "and 70 more folders: see problems.csv"


def test_csv_and_json_hold_all(tmp_path: Path) -> None:
    write_report(tmp_path, REPORT)
    with (tmp_path / "problems.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["moved"] for row in rows] == ["", "yes", ""]
    assert rows[2] == {"path": "data/longer name <b>", "kind": "gap", "detail": "1 missing", "moved": ""}
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["counts"] == {"truncated": 2, "gap": 1}
    assert report["problems"][2] == {"folder": str(B), "file": "", "kind": "gap", "detail": "1 missing"}
    assert (report["images"], report["checked_now"], report["unchanged_since_checked"]) == (4, 1, 3)
    assert (report["folders"], report["videos_not_checked"], report["moved"]) == (2, 1, ["data/a/2.png"])
    assert report["cannot_see"] == list(CANNOT_SEE)


def test_names_are_no_formulas_in_a_spreadsheet(tmp_path: Path) -> None:
    problem = Problem(Path("=cmd"), "1.png", "empty", "0 bytes")
    write_report(tmp_path, Report([], [problem], [], num_checked=0, num_known=0))
    assert "'=cmd/1.png" in (tmp_path / "problems.csv").read_text()
