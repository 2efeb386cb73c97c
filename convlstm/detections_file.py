"""A detector's boxes from a file, for `convlstm verify`.

    frame,x1,y1,x2,y2,confidence,track
    0,412,218,466,291,0.83,1
    1,413,217,466,290,0.81,1

The same as JSON: a list of objects with `frame`, `box`: [x1, y1, x2, y2] (or the four sides by name) and, where known,
`confidence` and `track`; as JSON lines too. Frames count from 0, boxes are in pixels of the source's frames. Other
columns and keys are ignored.
"""

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convlstm.boxes import Detections
from convlstm.errors import DataError

_SIDES = ("x1", "y1", "x2", "y2")
_NO_TRACK = -1

Row = tuple[int, list[float], float | None, int | None]
"""Frame, box, confidence, track."""


def read_detections(path: Path) -> dict[int, Detections]:
    """Detections by frame from a CSV, JSON or JSON lines file (.csv, .json, .jsonl).

    Raises DataError with the place of the first problem.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: detections are a CSV or a JSON file") from error
    readers = {".csv": _csv_entries, ".json": _json_entries, ".jsonl": _json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: detections must be a .csv, .json or .jsonl file, got {path.suffix or 'no ending'}")
    by_frame: dict[int, list[Row]] = defaultdict(list)
    for where, entry in reader(path, text):
        try:
            row = _parse(entry)
        except ValueError as error:
            raise DataError(f"{path}, {where}: {error}") from error
        by_frame[row[0]].append(row)
    return {frame: _detections(rows) for frame, rows in by_frame.items()}


def _detections(rows: list[Row]) -> Detections:
    confidences = [math.nan if row[2] is None else row[2] for row in rows]
    ids = [_NO_TRACK if row[3] is None else row[3] for row in rows]
    return Detections(
        np.array([row[1] for row in rows], dtype=np.float64),
        None if all(row[2] is None for row in rows) else np.array(confidences),
        None if all(row[3] is None for row in rows) else np.array(ids, dtype=np.int64),
    )


def _csv_entries(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    missing = [name for name in ("frame", *_SIDES) if name not in (reader.fieldnames or [])]
    if missing:
        raise DataError(f"{path}: column {missing[0]} is missing: the first line must be frame,x1,y1,x2,y2[,...]")
    try:
        for row in reader:
            yield f"line {reader.line_num}", row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _json_entries(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    entries = _loads(path, text, "")
    if not isinstance(entries, list):
        raise DataError(f"{path}: must hold a list of detections, got {type(entries).__name__}")
    for number, entry in enumerate(entries, start=1):
        yield f"detection {number}", _as_object(path, entry, f"detection {number}")


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"line {number}", _as_object(path, _loads(path, line, f", line {number}"), f"line {number}")


def _loads(path: Path, text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}{where}: not valid JSON: {error}") from error


def _as_object(path: Path, entry: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise DataError(f"{path}, {where}: must be an object with frame and box, got {type(entry).__name__}")
    return entry


def _parse(entry: Mapping[str, Any]) -> Row:
    sides = entry.get("box") if "box" in entry else [entry.get(name) for name in _SIDES]
    if not isinstance(sides, list | tuple) or len(sides) != 4:
        raise ValueError(f"box must be four numbers x1 y1 x2 y2, got {sides!r}")
    box = [_number(side, name) for side, name in zip(sides, _SIDES, strict=True)]
    if box[2] < box[0] or box[3] < box[1]:
        raise ValueError(f"x2 y2 must not lie before x1 y1, got {box}: give corners, not widths")
    frame = _whole(entry.get("frame"), "frame")
    if frame < 0:
        raise ValueError(f"frame must be 0 or greater, got {frame}")
    confidence, track = entry.get("confidence"), entry.get("track")
    return (
        frame,
        box,
        None if confidence in (None, "") else _number(confidence, "confidence"),
        None if track in (None, "") else _whole(track, "track"),
    )


def _number(value: Any, name: str) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return number


def _whole(value: Any, name: str) -> int:
    number = _number(value, name)
    if not number.is_integer() or abs(number) > 1 << 53:
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(number)
