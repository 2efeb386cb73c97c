"""Truth as a list of events, written by hand or by a tool.

    start_frame,end_frame,x1,y1,x2,y2
    9,149,0.49,0.73,0.66,0.92
    358,491,,,,

The same as JSON: a list of objects with `start_frame`, `end_frame` and, where known, `box`: [x1, y1, x2, y2]. Both
frames belong to the event; boxes are normalised to [0, 1]. Other columns and keys are ignored, so `events.json` of
`convlstm detect`, corrected by hand, is a truth file.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlstm.errors import DataError
from convlstm.heatmap import Box

_SIDES = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class TruthEvent:
    """Something happens from `start_frame` to `end_frame`, both inclusive; in the normalised `box`, if known."""

    start_frame: int
    end_frame: int
    box: Box | None = None


def read_events(path: Path, num_frames: int) -> list[TruthEvent]:
    """Read and check a CSV or JSON file of events in a source of `num_frames` frames.

    No event at all is fine: nothing happens then. Raises DataError with the place of the first problem.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: truth is a folder of masks, a CSV or a JSON file") from error
    entries = _json_entries(path, text) if path.suffix.lower() == ".json" else _csv_entries(path, text)
    events = []
    for where, entry in entries:
        try:
            event = _parse(entry)
        except ValueError as error:
            raise DataError(f"{path}, {where}: {error}") from error
        if event.start_frame >= num_frames:
            raise DataError(
                f"{path}, {where}: starts at frame {event.start_frame}, but the source has {num_frames}, counted from 0"
            )
        events.append(event)
    return events


def _csv_entries(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        if not {"start_frame", "end_frame"} <= set(names):
            raise DataError(
                f"{path}, line 1: expected start_frame,end_frame[,x1,y1,x2,y2], got {','.join(names)[:200]}"
            )
        reader.fieldnames = names
        for row in reader:
            yield f"line {reader.line_num}", {name: value for name, value in row.items() if name and value}
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _json_entries(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: expected a list of objects with start_frame and end_frame")
    for number, entry in enumerate(entries, start=1):
        box = entry.get("box")
        if box is None:
            yield f"event {number}", entry
        elif isinstance(box, list) and len(box) == len(_SIDES):
            yield f"event {number}", {**entry, **dict(zip(_SIDES, box, strict=True))}
        else:
            raise DataError(f"{path}, event {number}: box must be [x1, y1, x2, y2], got {box!r}")


def _parse(entry: Mapping[str, Any]) -> TruthEvent:
    """Raises ValueError."""
    start, end = (_frame_number(entry, name) for name in ("start_frame", "end_frame"))
    if end < start:
        raise ValueError(f"end_frame {end} lies before start_frame {start}")
    given = [side for side in _SIDES if entry.get(side) is not None]
    if not given:
        return TruthEvent(start, end)
    if len(given) < len(_SIDES):
        raise ValueError(f"a box needs x1, y1, x2 and y2, got {', '.join(given)}")
    x1, y1, x2, y2 = (_side(entry[side], side) for side in _SIDES)
    if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
        raise ValueError(
            f"a box must be 0 <= x1 < x2 <= 1 and so for y, got {x1:g}, {y1:g}, {x2:g}, {y2:g}: "
            "divide pixels by the frame's width and height"
        )
    return TruthEvent(start, end, (x1, y1, x2, y2))


def _frame_number(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name)
    try:
        number = int(value) if not isinstance(value, bool | float) else -1  # type: ignore[arg-type] # None is caught
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise ValueError(f"{name} must be a frame number, counted from 0, got {value!r}")
    return number


def _side(value: Any, name: str) -> float:
    try:
        side = float(value)
    except (TypeError, ValueError):
        side = math.nan
    if isinstance(value, bool) or math.isnan(side):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return side
