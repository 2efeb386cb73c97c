"""Result files of cameras: NAME/results.jsonl and NAME/events.jsonl grow by whole lines, status.json says how all do.

Nothing is kept in memory, whatever the days; a restart goes on appending. `time` is local time with its offset.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from convlstm.atomic import atomic_write_text
from convlstm.errors import DataError
from convlstm.report.results import event_to_dict, window_to_dict
from convlstm.types import Event, Heatmap

STATUS_NAME = "status.json"


class LiveResults:
    """Files of one camera in `folder`. Times in seconds become times of day through `started`, seconds since 1970."""

    def __init__(self, folder: Path, camera: str) -> None:
        self.folder = folder
        self.camera = camera
        self.started = 0.0
        make_folder(folder)
        for name in ("results.jsonl", "events.jsonl"):
            _end_torn_line(folder / name)

    def add_window(self, heatmap: Heatmap, *, probability: float, num_hot: int) -> None:
        """Append a line to results.jsonl."""
        line = window_to_dict(self.camera, heatmap, probability=probability, num_hot=num_hot)
        self._append("results.jsonl", [{**line, "time": clock_time(self.started + heatmap.end_seconds)}])

    def add_events(self, events: Sequence[Event]) -> None:
        """Append finished events to events.jsonl."""
        self._append(
            "events.jsonl",
            [
                {
                    **event_to_dict(self.camera, event),
                    "start_time": clock_time(self.started + event.start_seconds),
                    "end_time": clock_time(self.started + event.end_seconds),
                }
                for event in events
            ],
        )

    def _append(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        if lines:
            with (self.folder / name).open("ab") as file:
                file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def write_status(folder: Path, cameras: Mapping[str, Mapping[str, Any]], *, now: float) -> None:
    """Rewrite status.json in one step; `now` in seconds since 1970."""
    text = json.dumps({"time": clock_time(now), "cameras": cameras}, indent=1)
    atomic_write_text(folder / STATUS_NAME, text + "\n")


def make_folder(folder: Path) -> None:
    """Make a folder for results. Raises DataError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror}") from error


def clock_time(seconds: float) -> str:
    """ISO 8601 with milliseconds and the offset of the local zone."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


def _end_torn_line(path: Path) -> None:
    """Take off the half line that a kill, or a full disk, left at the end, so that every line stays whole."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 65536))
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            file.truncate(end - len(tail) + tail.rfind(b"\n") + 1)
