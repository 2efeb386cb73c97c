"""Tables for people, JSON files for programs."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
Column = tuple[str, Callable[[Figures], str]]


def number(value: float | None, form: str) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else format(value, form)


def aligned(rows: Sequence[Figures], columns: Sequence[Column], text_columns: Sequence[str]) -> list[str]:
    """A heading and a line for each row; columns of text to the left, others to the right."""
    cells = [[head, *(show(row) for row in rows)] for head, show in columns]
    padded = []
    for column in cells:
        width = max(len(cell) for cell in column)
        is_text = column[0] in text_columns
        padded.append([cell.ljust(width) if is_text else cell.rjust(width) for cell in column])
    return ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]


def json_text(report: Mapping[str, Any]) -> str:
    """As it stands in files."""
    return json.dumps(report, indent=2) + "\n"


def save_report(report: Mapping[str, Any], folder: Path, machine: Mapping[str, Any]) -> Path:
    """Write `<machine>_<date>.json`, with a number where there is one from the same day."""
    folder.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"[^a-z0-9]+", "-", (machine["gpu"] or machine["cpu"]).lower()).strip("-")
    for attempt in count(1):
        path = folder / f"{slug}_{report['date']}{f'_{attempt}' if attempt > 1 else ''}.json"
        if not path.exists():
            break
    path.write_text(json_text(report), encoding="utf-8")
    return path
