"""What a check has found, as a table for people, CSV for spreadsheets, JSON for programs."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convlstm.atomic import atomic_write_text
from convlstm.errors import printable
from convlstm.report.results import csv_text
from convlstm.toolkits.folder_check import Problem
from convlstm.toolkits.frame_folders import FrameFolder

_MOST_ROWS = 30
_EXAMPLE_WIDTH = 100

CANNOT_SEE = (
    "a JPEG whose picture data was changed so that it still decodes (of one changed byte, about three in four; "
    "--overwrite finds them by their content where it was whole when it was checked before)",
    "frames that were swapped, or are missing at a folder's start or end, or were spoilt before they were saved",
    "videos: video_frame_extractor names their damage",
)
"""Said in every report, so that nobody takes "no problems" for more than it is."""


@dataclass(frozen=True)
class Report:
    """Of one run: `num_checked` images were read, `num_known` were unchanged since they were; `moved` is where from."""

    folders: Sequence[FrameFolder]
    problems: Sequence[Problem]
    moved: Sequence[Path]
    num_checked: int
    num_known: int

    @property
    def counts(self) -> dict[str, int]:
        """Problems by kind, the most common one first."""
        return dict(Counter(problem.kind for problem in self.problems).most_common())

    @property
    def num_videos(self) -> int:
        """Videos that were not looked at."""
        return sum(len(folder.videos) for folder in self.folders)


def write_report(output: Path, report: Report) -> None:
    """Write problems.csv and report.json."""
    moved = set(report.moved)
    rows = [
        (str(problem.path), problem.kind, problem.detail, "yes" if problem.file and problem.path in moved else "")
        for problem in report.problems
    ]
    atomic_write_text(output / "problems.csv", csv_text(["path", "kind", "detail", "moved"], rows))
    atomic_write_text(output / "report.json", json.dumps(_as_dict(report), indent=1) + "\n")


def _as_dict(report: Report) -> dict[str, Any]:
    return {
        "images": report.num_checked + report.num_known,
        "checked_now": report.num_checked,
        "unchanged_since_checked": report.num_known,
        "folders": len(report.folders),
        "videos_not_checked": report.num_videos,
        "counts": report.counts,
        "problems": [
            {"folder": str(problem.folder), "file": problem.file, "kind": problem.kind, "detail": problem.detail}
            for problem in report.problems
        ],
        "moved": [str(path) for path in report.moved],
        "cannot_see": list(CANNOT_SEE),
    }


def table_of(report: Report) -> str:
    """A line that counts, a row for each folder with problems, and what cannot be seen."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.items())
    unchanged = f" ({report.num_known:,} unchanged since they were checked)" if report.num_known else ""
    images = f"{report.num_checked + report.num_known:,} images in {len(report.folders):,} folders{unchanged}"
    lines = [f"{images}: {counts or 'no problems'}", *_rows(report)]
    if report.moved:
        lines.append(f"moved {len(report.moved):,} files to the quarantine; --undo takes them back")
    if report.num_videos:
        lines.append(f"{report.num_videos:,} videos were not looked at")
    lines.append(f"cannot be seen: {'; '.join(CANNOT_SEE)}")
    return "\n".join(lines)


def _rows(report: Report) -> list[str]:
    by_folder: dict[Path, list[Problem]] = defaultdict(list)
    for problem in report.problems:
        by_folder[problem.folder].append(problem)
    num_images = {folder.path: len(folder.images) for folder in report.folders}
    cells = [("folder", "images", "problems", "for example")] if by_folder else []
    for folder, problems in list(by_folder.items())[:_MOST_ROWS]:
        counts = Counter(problem.kind for problem in problems)
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        example = printable(f"{problems[0].file}: {problems[0].detail}".removeprefix(": "))
        cells.append((printable(str(folder)), str(num_images[folder]), kinds, example[:_EXAMPLE_WIDTH]))
    widths = [max(len(row[column]) for row in cells) for column in range(3)] if cells else []
    rows = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in cells]
    more = len(by_folder) - _MOST_ROWS
    return [*rows, f"and {more:,} more folders: see problems.csv"] if more > 0 else rows
