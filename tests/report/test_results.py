import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.atomic import atomic_write_text
from convlstm.errors import DataError
from convlstm.report.results import COLUMNS, STATE_NAME, ResultsFolder, SourceResult, csv_cell, csv_text, file_name
from convlstm.types import Event, Heatmap

HOSTILE = [
    '=HYPERLINK("http://x","y")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\n\n =1+1",
    '"><script>alert(1)</script>',
    'a "quoted", name',
    "two\nlines\r\nand\x0bmore\u2028",
    "nul\0 and \x1b[31m",
    "undecodable \udcff",
    "日本語 Brücke 🔥",
    "",
]


def heatmap(start: int = 0, value: float = 0.25) -> Heatmap:
    return Heatmap(np.full((2, 3), value, dtype=np.float32), start, start + 9, start / 25, (start + 9) / 25)


def event(start: int = 0) -> Event:
    return Event(start, start + 9, start / 25, 1 / 3, 2 / 3, (0.0, 1 / 3, 0.5, 1.0))


def read_csv(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def read_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_bytes().splitlines()]


def read_events(folder: Path) -> list[dict[str, Any]]:
    found = json.loads((folder / "events.json").read_bytes())
    assert isinstance(found, list)
    return found


def do(results: ResultsFolder, source: str, fingerprint: str = "f", *, is_incomplete: bool = False) -> None:
    """What detection does with one source of two windows and an event."""
    results.begin(source)
    for start in (0, 3):
        results.add_window(source, heatmap(start), probability=0.25, num_hot=0)
    result = SourceResult(source, "static", 0.25, 2, 13, None, "broken" if is_incomplete else "", is_incomplete)
    results.finish(result, [event()], fingerprint)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_is_a_formula_and_each_stays_on_its_line(text: str) -> None:
    cell = csv_cell(text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert cell.isprintable()
    cell.encode("utf-8")


@pytest.mark.parametrize("text", ["a-b=c", "clips/a.mp4", 'a "quoted", name', "日本語 Brücke 🔥", "", "'=1"])
def test_harmless_names_stay_as_they_are(text: str) -> None:
    assert csv_cell(text) == text


def test_a_formula_is_shown_behind_an_apostrophe() -> None:
    assert [csv_cell(text) for text in ("=1+1", "-2", "+3", "@x")] == ["'=1+1", "'-2", "'+3", "'@x"]
    assert csv_cell("two\nlines") == "two lines"


@given(st.lists(st.tuples(st.text(), st.text(), st.integers(), st.none() | st.floats(allow_nan=False))))
def test_csv_text_reads_back_cell_by_cell(rows: list[tuple[str, str, int, float | None]]) -> None:
    text = csv_text(["a", "b", "c", "d"], rows)
    header, *found = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == ["a", "b", "c", "d"]
    assert found == [[csv_cell(a), csv_cell(b), str(c), "" if d is None else str(d)] for a, b, c, d in rows]
    assert text.count("\n") == len(rows) + 1
    text.encode("utf-8")


def test_negative_numbers_stay_numbers() -> None:
    assert csv_text(["a"], [[-0.5], [-3]]) == "a\n-0.5\n-3\n"


def test_files_of_a_finished_source(tmp_path: Path) -> None:
    results = ResultsFolder(tmp_path / "deep" / "out")
    results.begin("a.mp4")
    results.add_window("a.mp4", heatmap(3), probability=1 / 3, num_hot=2)
    results.finish(SourceResult("a.mp4", "dynamic", 2 / 3, 1, 13, 0.12), [event(3)], "f")
    folder = tmp_path / "deep" / "out"
    assert read_csv(folder) == [
        {
            "source": "a.mp4",
            "prediction": "dynamic",
            "probability": "0.666667",
            "windows": "1",
            "frames": "13",
            "first_dynamic_s": "0.12",
            "error": "",
        }
    ]
    assert read_lines(folder) == [
        {
            "source": "a.mp4",
            "first_frame": 3,
            "last_frame": 12,
            "start_s": 0.12,
            "end_s": 0.48,
            "probability": 0.333333,
            "cells": 2,
        }
    ]
    assert read_events(folder) == [
        {
            "source": "a.mp4",
            "start_s": 0.12,
            "end_s": 0.333333,
            "start_frame": 3,
            "end_frame": 12,
            "peak_probability": 0.666667,
            "box": [0.0, 0.333333, 0.5, 1.0],
        }
    ]


def test_files_are_there_and_valid_before_the_first_source(tmp_path: Path) -> None:
    ResultsFolder(tmp_path)
    assert (tmp_path / "results.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert read_events(tmp_path) == []


def test_a_second_run_knows_what_is_complete(tmp_path: Path) -> None:
    first = ResultsFolder(tmp_path)
    do(first, "a")
    do(first, "b", is_incomplete=True)
    second = ResultsFolder(tmp_path)
    assert second.is_complete("a", "f")
    assert not second.is_complete("a", "other weights")
    assert not second.is_complete("b", "f")
    assert not second.is_complete("c", "f")
    assert [(row.source, row.error) for row in second.rows()] == [("a", ""), ("b", "broken")]
    assert [row["source"] for row in read_csv(tmp_path)] == ["a", "b"]
    assert len(read_lines(tmp_path)) == 4 and len(read_events(tmp_path)) == 2


def test_doing_a_source_again_replaces_what_was_found(tmp_path: Path) -> None:
    do(ResultsFolder(tmp_path), "a")
    results = ResultsFolder(tmp_path)
    do(results, "b")
    do(results, "a", "g")
    assert [line["source"] for line in read_lines(tmp_path)] == ["b", "b", "a", "a"]
    assert [row["source"] for row in read_csv(tmp_path)] == ["b", "a"]
    assert [found["source"] for found in read_events(tmp_path)] == ["b", "a"]
    assert results.is_complete("a", "g") and not results.is_complete("a", "f")


def test_begin_forgets_the_row_at_once(tmp_path: Path) -> None:
    results = ResultsFolder(tmp_path)
    do(results, "a")
    results.begin("a")
    assert read_csv(tmp_path) == [] == read_lines(tmp_path) and not results.is_complete("a", "f")


def test_a_kill_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Killed in the middle of source b, inside a line."""
    results = ResultsFolder(tmp_path)
    do(results, "a")
    results.begin("b")
    results.add_window("b", heatmap(), probability=0.5, num_hot=1)
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(b'{"source": "a", "first_fra')
    reopened = ResultsFolder(tmp_path)
    assert [line["source"] for line in read_lines(tmp_path)] == ["a", "a"]
    assert (tmp_path / "results.jsonl").read_bytes().endswith(b"}\n")
    do(reopened, "b")
    assert [line["source"] for line in read_lines(tmp_path)] == ["a", "a", "b", "b"]


@pytest.mark.parametrize("line", [b"[]", b'{"source": ["a"]}', b'{"source": {}}', b"5", b"null", b"\xff", b'{"x": 1}'])
def test_foreign_lines_are_taken_out(tmp_path: Path, line: bytes) -> None:
    do(ResultsFolder(tmp_path), "a")
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(line + b"\n")
    ResultsFolder(tmp_path)
    assert [found["source"] for found in read_lines(tmp_path)] == ["a", "a"]


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"a": 5}',
        b'{"a": {"fingerprint": "f", "row": {}, "events": []}}',
        b'{"a": {"fingerprint": "f", "row": {"source": "a"}, "events": []}}',
        b'{"a": {"fingerprint": "f", "row": [], "events": []}}',
        b"[" * 100_000,
    ],
)
def test_a_state_that_is_not_ours_starts_from_nothing(tmp_path: Path, state: bytes) -> None:
    do(ResultsFolder(tmp_path), "a")
    (tmp_path / STATE_NAME).write_bytes(state)
    results = ResultsFolder(tmp_path)
    assert not results.is_complete("a", "f")
    assert read_csv(tmp_path) == [] == read_lines(tmp_path)


def test_overwrite_forgets_everything(tmp_path: Path) -> None:
    do(ResultsFolder(tmp_path), "a")
    results = ResultsFolder(tmp_path, overwrite=True)
    assert not results.is_complete("a", "f") and results.rows() == []
    assert read_lines(tmp_path) == [] == read_events(tmp_path)


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_of_a_source_is_kept_apart_and_harmless(tmp_path: Path, name: str) -> None:
    results = ResultsFolder(tmp_path)
    do(results, name)
    do(results, "other")
    results.finish(SourceResult("third", error=f"{name}: no frames", is_incomplete=True), [], "f")
    reopened = ResultsFolder(tmp_path)
    assert reopened.is_complete(name, "f")
    assert [row.source for row in reopened.rows()] == [name, "other", "third"]
    assert [row["source"] for row in read_csv(tmp_path)] == [csv_cell(name), "other", "third"]
    assert read_csv(tmp_path)[2]["error"] == csv_cell(f"{name}: no frames")
    assert [line["source"] for line in read_lines(tmp_path)] == [name, name, "other", "other"]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match=rf"^cannot write to {path}: ") as caught:
            ResultsFolder(path)
        assert caught.value.exit_code == 1
    (tmp_path / "out" / "results.csv").mkdir(parents=True)
    with pytest.raises(DataError, match=rf"^cannot write to {tmp_path}/out: Is a directory$"):
        ResultsFolder(tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("clips/a.mp4", "a"),
        ("kitchen cam/north.1.mkv", "north.1"),
        ("..", "source"),
        (".", "source"),
        ("/", "source"),
        ("", "source"),
        ("<b>.png", "_b_"),
        ("rtsp://host/live?x=1", "live_x=1".replace("=", "_")),
        ("日本語.mp4", "日本語"),
    ],
)
def test_file_names(source: str, expected: str) -> None:
    assert file_name(source, set()) == expected


def test_equal_names_take_their_folder_then_a_number() -> None:
    taken: set[str] = set()
    sources = ["x/a.mp4", "y/a.mp4", "z/y/a.mkv", "a", "x/A.mp4"]
    assert [file_name(source, taken) for source in sources] == ["a", "y_a", "y_a_2", "a_2", "x_A"]


@given(st.lists(st.text() | st.text("aA./\\ 日\0\udcff", max_size=6), max_size=12))
def test_file_names_are_safe_and_unique_on_any_system(sources: list[str]) -> None:
    taken: set[str] = set()
    names = [file_name(source, taken) for source in sources]
    assert len({name.casefold() for name in names}) == len(sources)
    for name in names:
        assert name and not name.startswith(".") and not set(name) & set('/\\\0\n:*?"<>| ')
        assert len(name.encode()) <= 130


@pytest.mark.parametrize("character", ["a", "é", "日", "𠀀"])
def test_long_names_fit_a_file_system(tmp_path: Path, character: str) -> None:
    taken: set[str] = set()
    names = [file_name(f"{folder}/{character * 300}.mp4", taken) for folder in (character * 300, "b", "c", "c")]
    assert len(set(names)) == 4
    results = ResultsFolder(tmp_path)
    for name in names:
        atomic_write_text(results.heatmaps_path(name), "")  # the longest name that is made of it, and a temporary one
        assert results.heatmaps_path(name).exists()
