"""What is known of files that were checked: the next run looks only at those that have changed since."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from uuid import uuid4

from convlstm.atomic import atomic_write_text
from convlstm.toolkits.image_check import ImageCheck

_RECORDS = "checked.jsonl"
_PARTS = "checked"


def read_records(output: Path) -> dict[str, ImageCheck]:
    """All records in `output`, by path, those of a run that was killed included; a line that is torn is left out."""
    return _read([output / _RECORDS]) | read_parts(output)


def read_parts(output: Path) -> dict[str, ImageCheck]:
    """What tasks have found since `write_records`, by path."""
    return _read(_parts(output))


def _read(files: Sequence[Path]) -> dict[str, ImageCheck]:
    records: dict[str, ImageCheck] = {}
    for file in files:
        if file.is_file():
            for line in file.read_text(encoding="ascii", errors="replace").splitlines():
                _add(records, line)
    return records


def _add(records: dict[str, ImageCheck], line: str) -> None:
    try:
        record = ImageCheck(*json.loads(line))
    except (ValueError, TypeError):
        return
    records[record.path] = record


def write_part(output: Path, records: Sequence[ImageCheck]) -> None:
    """Keep what a task has found, from any process, until `write_records` puts all together."""
    (output / _PARTS).mkdir(parents=True, exist_ok=True)
    atomic_write_text(output / _PARTS / f"{uuid4().hex}.jsonl", _lines(records))


def write_records(output: Path, records: Mapping[str, ImageCheck]) -> None:
    """Write all records to one file, and delete the parts."""
    atomic_write_text(output / _RECORDS, _lines(records.values()))
    for part in _parts(output):
        part.unlink()


def _parts(output: Path) -> list[Path]:
    return sorted((output / _PARTS).glob("*.jsonl"), key=lambda part: part.stat().st_mtime_ns)


def _lines(records: Iterable[ImageCheck]) -> str:
    # ASCII: names that are no UTF-8 stay what they are
    return "".join(f"{json.dumps(astuple(record))}\n" for record in records)


def is_unchanged(record: ImageCheck, path: Path) -> bool:
    """Whether a file has the size and the time of change that it had when it was checked."""
    try:
        state = path.stat()
    except OSError:
        return False
    return (state.st_size, state.st_mtime_ns) == (record.size, record.modified_ns)
