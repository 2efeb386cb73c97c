"""Result files of detection: results.csv, results.jsonl, events.json, NAME_heatmaps.npz.

Each source's rows are written when they are done; a killed job leaves whole lines, and a second run takes out what
belongs to unfinished sources and does only those.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from convlstm.atomic import atomic_write, atomic_write_text
from convlstm.errors import DataError, printable
from convlstm.types import Event, Heatmap

STATE_NAME = ".detect-state.json"
MAX_NAME_BYTES = 120  # of the 255 that file systems take, most of the rest for what is appended


@dataclass(frozen=True)
class SourceResult:
    """A row of results.csv; numbers are None where the source could not be used.

    `error` names what was wrong; with `is_incomplete` a part of the source was left out, and a second run tries again.
    """

    source: str
    prediction: str = ""
    probability: float | None = None
    windows: int | None = None
    frames: int | None = None
    first_dynamic_s: float | None = None
    error: str = ""
    is_incomplete: bool = False


COLUMNS = [field.name for field in fields(SourceResult) if field.name != "is_incomplete"]


def csv_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula, on one line."""
    line = printable(text)
    return f"'{line}" if line.lstrip().startswith(("=", "+", "-", "@")) else line


def csv_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A CSV file as text; cells of text are made harmless, None is empty."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if cell is None else csv_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return buffer.getvalue()


class ResultsFolder:
    """The output folder of detection, which knows what it already holds.

    `fingerprint` stands for weights, settings and the source's files: a source is complete when its results were made
    with an equal one and without an error.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._state: dict[str, Any] = {} if overwrite else self._read_state()
            self._drop_unfinished()
        except OSError as error:
            raise DataError(f"cannot write to {folder}: {error.strerror}") from error

    def is_complete(self, source: str, fingerprint: str) -> bool:
        """Whether nothing is left to do for `source`."""
        entry = self._state.get(source)
        return entry is not None and entry.get("fingerprint") == fingerprint and not entry["row"]["is_incomplete"]

    def begin(self, source: str) -> None:
        """Forget what an earlier run found for `source`."""
        if self._state.pop(source, None) is not None:
            self._drop_unfinished()

    def add_window(self, source: str, heatmap: Heatmap, *, probability: float, num_hot: int) -> None:
        """Append a line to results.jsonl, in one write."""
        line = window_to_dict(source, heatmap, probability=probability, num_hot=num_hot)
        with (self.folder / "results.jsonl").open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")

    def finish(
        self,
        result: SourceResult,
        events: Sequence[Event],
        fingerprint: str,
        details: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Record a source as done, with its events and, for each, further entries of events.json (`details`).

        Rewrites results.csv and events.json in one step each.
        """
        found = [event_to_dict(result.source, event) for event in events]
        for event, more in zip(found, details, strict=bool(details)):
            event.update(more)
        self._state[result.source] = {
            "fingerprint": fingerprint,
            "row": asdict(result),
            "events": found,
        }
        self._write_tables()

    def heatmaps_path(self, name: str) -> Path:
        """Where the heatmaps of a source are kept."""
        return self.folder / f"{name}_heatmaps.npz"

    def events(self, source: str) -> list[dict[str, Any]]:
        """What events.json holds of `source`."""
        entry = self._state.get(source)
        return list(entry["events"]) if entry is not None else []

    def rows(self) -> list[SourceResult]:
        """What results.csv holds."""
        return [SourceResult(**entry["row"]) for entry in self._state.values()]

    def _read_state(self) -> dict[str, Any]:
        path = self.folder / STATE_NAME
        if not path.exists():
            return {}
        try:
            state = json.loads(path.read_bytes())
            return {name: entry for name, entry in state.items() if _is_entry(name, entry)}
        except (ValueError, AttributeError, RecursionError):
            return {}  # not ours, or damaged: everything is done again

    def _drop_unfinished(self) -> None:
        path = self.folder / "results.jsonl"
        if path.exists():
            with path.open("rb") as lines, atomic_write(path) as file:
                for line in lines:  # one by one: after days they are many
                    if _source_of(line) in self._state:
                        file.write(line.rstrip(b"\r\n") + b"\n")
        self._write_tables()

    def _write_tables(self) -> None:
        rows = [[_rounded(entry["row"][name]) for name in COLUMNS] for entry in self._state.values()]
        atomic_write_text(self.folder / "results.csv", csv_text(COLUMNS, rows))
        events = [event for entry in self._state.values() for event in entry["events"]]
        atomic_write_text(self.folder / "events.json", json.dumps(events, indent=1) + "\n")
        atomic_write_text(self.folder / STATE_NAME, json.dumps(self._state))


def window_to_dict(source: str, heatmap: Heatmap, *, probability: float, num_hot: int) -> dict[str, Any]:
    """A window as results.jsonl holds it."""
    return {
        "source": source,
        "first_frame": heatmap.first_frame,
        "last_frame": heatmap.last_frame,
        "start_s": round(heatmap.start_seconds, 6),
        "end_s": round(heatmap.end_seconds, 6),
        "probability": round(probability, 6),
        "cells": num_hot,
    }


def event_to_dict(source: str, event: Event) -> dict[str, Any]:
    """An event as events.json holds it; the box is normalised x1 y1 x2 y2."""
    return {
        "source": source,
        "start_s": round(event.start_seconds, 6),
        "end_s": round(event.end_seconds, 6),
        "start_frame": event.start_frame,
        "end_frame": event.end_frame,
        "peak_probability": round(event.peak_probability, 6),
        "box": [round(side, 6) for side in event.box],
    }


def _is_entry(name: str, entry: Any) -> bool:
    """Whether an entry of the state is of the form that `finish` writes."""
    if not isinstance(entry, dict) or not isinstance(entry.get("row"), dict):
        return False
    known = {field.name for field in fields(SourceResult)}
    return set(entry["row"]) == known and entry["row"]["source"] == name and isinstance(entry.get("events"), list)


def _rounded(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value


def _source_of(line: bytes) -> str | None:
    try:
        parsed = json.loads(line)
    except ValueError:
        return None  # a line cut off by a kill
    source = parsed.get("source") if isinstance(parsed, dict) else None
    return source if isinstance(source, str) else None


def file_name(source: str, taken: set[str]) -> str:
    """A file name stem for the results of `source` that is safe on any system and not in `taken`.

    `taken` holds names without regard to case, as some file systems do, and gets the new one.
    """
    parts = Path(source).parts
    stem = _safe(Path(source).stem if parts else "source")
    if stem.casefold() in taken and len(parts) > 1:
        stem = _safe(f"{Path(source).parent.name}_{stem}")
    candidate, number = stem, 2
    while candidate.casefold() in taken:
        candidate, number = f"{stem}_{number}", number + 1
    taken.add(candidate.casefold())
    return candidate


def _safe(text: str) -> str:
    kept = "".join(character if character.isalnum() or character in "-_." else "_" for character in text)
    return kept.strip(".").encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "source"
