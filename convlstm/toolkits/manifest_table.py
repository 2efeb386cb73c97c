"""`data.csv` as a table of text that is written back as it was: columns, order and edits of its owner stay."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from convlstm.errors import ManifestError

COLUMNS = ("folder_name", "type", "group", "fps", "frames")
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


@dataclass
class ManifestTable:
    """`header` and, by its names, the cells of each row; `start` is a BOM or nothing, `line_end` ends the lines."""

    header: list[str]
    rows: list[dict[str, str]] = field(default_factory=list)
    start: str = ""
    line_end: str = "\n"

    def text(self) -> str:
        """The whole file."""
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator=self.line_end)
        writer.writerow(self.header)
        writer.writerows([row.get(name, "") for name in self.header] for row in self.rows)
        return self.start + buffer.getvalue()

    def add_column(self, name: str, values: Mapping[str, str]) -> None:
        """A column that is not there yet; `values` by `key_of` the rows."""
        if name not in self.header:
            self.header.append(name)
            for row in self.rows:
                row[name] = values.get(key_of(row["folder_name"]), "")


def key_of(folder_name: str) -> str:
    """The same for all ways of writing a path: ./a/ and a are one folder."""
    return str(PurePosixPath(folder_name.strip()))


def read_table(path: Path) -> ManifestTable:
    """Read a manifest that `read_manifest` takes, or that needs only its columns to be told apart.

    Raises ManifestError where it has no table.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8: save the file as CSV UTF-8") from error
    start = _BOM if text.startswith(_BOM) else ""
    lines = csv.reader(io.StringIO(text.removeprefix(_BOM), newline=""), strict=True)
    try:
        cells = [row for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ManifestError(f"{path}, line {lines.line_num}: {error}") from error
    if not cells:
        raise ManifestError(f"{path}: empty file: delete it, or --overwrite")
    header = [name.strip() for name in cells[0]]
    while header and not header[-1]:
        header.pop()
    if "folder_name" not in header or "type" not in header:
        raise ManifestError(f"{path}, line 1: no columns folder_name and type: --overwrite makes the file anew")
    rows = [dict(zip(header, _filled(row, len(header)), strict=False)) for row in cells[1:]]
    return ManifestTable(header, rows, start, "\r\n" if "\r\n" in text else "\n")


def _filled(cells: Sequence[str], length: int) -> list[str]:
    return [*cells, *([""] * (length - len(cells)))]
