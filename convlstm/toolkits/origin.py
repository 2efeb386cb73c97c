"""`origin.json` in a folder of frames: which tool made it, from what, with which settings.

A second run tells by it what is finished and what is not; the manifest's `group` and `fps` come from it, so that what
was made from one video stays on one side of a split.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convlstm.atomic import atomic_write_text
from convlstm.errors import DataError

ORIGIN = "origin.json"


@dataclass(frozen=True)
class Origin:
    """Where a folder of frames comes from.

    `settings` are those that decide its pixels; `source_state` is `state_of` the source. `group` names what it was
    filmed as: copies and parts keep the group of what they come from.
    """

    tool: str
    source: str
    source_state: str
    settings: Mapping[str, Any]
    group: str
    num_frames: int
    fps: float | None = None
    problem: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def same_work(self, other: "Origin") -> bool:
        """Whether the same tool made both from the same source with the same settings."""
        return self._identity() == other._identity()

    def _identity(self) -> str:
        return json.dumps([self.tool, self.source_state, self.settings], sort_keys=True, default=str)


def write_origin(folder: Path, origin: Origin) -> None:
    """Write `origin.json` into `folder`."""
    atomic_write_text(folder / ORIGIN, json.dumps(asdict(origin), indent=1, default=str) + "\n")


def read_origin(folder: Path) -> Origin | None:
    """The origin of a folder; None where it has none. Raises DataError where the file is damaged."""
    try:
        return Origin(**json.loads((folder / ORIGIN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, OSError) as error:
        raise DataError(f"{folder / ORIGIN} is damaged: delete it, or make the folder again") from error


def finished(folder: Path, planned: Origin, *, overwrite: bool) -> Origin | None:
    """The origin of `folder` where the planned work is done there already; None where it is to be done.

    Raises DataError where something else stands there; `overwrite` replaces what a tool made, and nothing else.
    """
    if not folder.exists():
        return None
    found = read_origin(folder) if folder.is_dir() else None
    if found is None:
        raise DataError(f"{folder} is in the way and was not made by this tool: name another output")
    if overwrite:
        return None
    if not found.same_work(planned):
        raise DataError(f"{folder} was made from other input or with other settings: --overwrite, or another output")
    return found


def state_of(source: Path) -> str:
    """Changes when a file does, or what is directly in a folder or its masks: counts, sizes, modification times."""
    if not source.is_dir():
        return _state([source])
    masks = source / "masks"
    files = [*source.iterdir(), *(masks.iterdir() if masks.is_dir() else ())]
    return _state([path for path in files if path.is_file() and path.name != ORIGIN])


def _state(files: list[Path]) -> str:
    stats = [path.stat() for path in files]
    newest = max((stat.st_mtime_ns for stat in stats), default=0)
    return f"{len(files)} files, {sum(stat.st_size for stat in stats)} bytes, {newest}"
