"""`data.csv`: which sequences there are and what they show.

    folder_name,type,group,fps,split
    sequence_001,dynamic,kitchen,25,train
    clips/poster.mp4,static,kitchen,,

`group`, `fps` and `split` are optional; other columns are kept in `extra`. A row names a folder of frames or a video
file inside data_root, and nothing outside data_root is ever opened.
"""

import csv
import io
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from convlstm.errors import ManifestError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ManifestRow:
    """One sequence. `group` defaults to the folder's name; `fps` and `split` are None where not given."""

    folder_name: str
    type: str
    group: str
    fps: float | None
    split: str | None
    line: int
    extra: dict[str, str] = field(default_factory=dict)


def read_manifest(data_root: Path, name: str, classes: Sequence[str]) -> list[ManifestRow]:
    """Read and check all rows. Raises ManifestError with the line of the first problem and how many there are."""
    path = path_inside(data_root, name, "the manifest")
    rows, problems = [], []
    seen: dict[str, int] = {}
    for line, values in _csv_rows(path):
        try:
            row = _parse_row(data_root, line, values, classes)
            key = str(PurePosixPath(row.folder_name))
            if key in seen:
                raise ManifestError(f"folder_name {row.folder_name!r} stands in line {seen[key]} already")
            seen[key] = line
            rows.append(row)
        except ManifestError as error:
            problems.append(f"line {line}: {error}")
    if problems:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise ManifestError(f"{path}, {problems[0]}{more}")
    if not rows:
        raise ManifestError(f"{path}: no sequences: add rows folder_name,type below the header")
    return rows


def _csv_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    text = _read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _checked_header(path, [cell.strip() for cell in cells])
            else:
                rows.append((reader.line_num, _pair_up(path, reader.line_num, header, cells)))
    except csv.Error as error:
        raise ManifestError(f"{path}, line {reader.line_num}: {error}") from error
    if header is None:
        raise ManifestError(f"{path}: empty file: the first line must be folder_name,type")
    return rows


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ManifestError(f"{path}, line 1: UTF-16 text: save the file as CSV UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1  # without the BOM, as `start` is
        raise ManifestError(f"{path}, line {line}: not UTF-8: save the file as CSV UTF-8") from error
    if "\0" in text:
        raise ManifestError(f"{path}, line {text[: text.index(chr(0))].count(chr(10)) + 1}: holds a NUL character")
    return text


def _checked_header(path: Path, header: list[str]) -> list[str]:
    while header and not header[-1]:  # spreadsheets leave commas behind deleted columns
        header = header[:-1]
    missing = [name for name in ("folder_name", "type") if name not in header]
    if missing:
        hint = ": separate columns by commas" if len(header) == 1 and ";" in header[0] else ""
        raise ManifestError(f"{path}, line 1: no column {' and '.join(missing)} in {','.join(header)[:200]}{hint}")
    if len(set(header)) != len(header):
        raise ManifestError(f"{path}, line 1: a column stands twice in {','.join(header)[:200]}")
    return header


def _pair_up(path: Path, line: int, header: list[str], cells: list[str]) -> dict[str, str]:
    if any(cell.strip() for cell in cells[len(header) :]):
        raise ManifestError(f"{path}, line {line}: {len(cells)} values for {len(header)} columns: quote commas")
    cells = cells[: len(header)] + [""] * (len(header) - len(cells))
    return {name: cell.strip() for name, cell in zip(header, cells, strict=True)}


def _parse_row(data_root: Path, line: int, values: dict[str, str], classes: Sequence[str]) -> ManifestRow:
    folder_name, kind = values["folder_name"], values["type"]
    path_inside(data_root, folder_name, "folder_name")
    if kind not in classes:
        raise ManifestError(f"unknown type {kind!r}: known are {', '.join(classes)}")
    split = values.get("split") or None
    if split is not None and split not in SPLITS:
        raise ManifestError(f"unknown split {split!r}: known are {', '.join(SPLITS)}, or nothing")
    own = ("folder_name", "type", "group", "fps", "split")
    return ManifestRow(
        folder_name=folder_name,
        type=kind,
        group=values.get("group") or str(PurePosixPath(folder_name)),
        fps=_parse_fps(values.get("fps", "")),
        split=split,
        line=line,
        extra={name: value for name, value in values.items() if name not in own},
    )


def _parse_fps(text: str) -> float | None:
    if not text:
        return None
    try:
        fps = float(text)
    except ValueError:
        fps = math.nan
    if not 0 < fps < math.inf:
        raise ManifestError(f"fps must be a number greater than 0, got {text!r}")
    return fps


def path_inside(data_root: Path, name: str, what: str) -> Path:
    """The path of `name` in data_root. Raises ManifestError where it leads elsewhere, also through links."""
    if not name:
        raise ManifestError(f"{what} is empty")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") for character in name):
        raise ManifestError(f"{what} {name!r} holds control characters")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or PureWindowsPath(name).root:
        raise ManifestError(f"{what} {name!r} is an absolute path: give it relative to data_root")
    if ".." in PurePosixPath(name).parts or ".." in PureWindowsPath(name).parts:
        raise ManifestError(f"{what} {name!r} leaves data_root by '..'")
    path = data_root / name
    try:
        leaves = not path.resolve().is_relative_to(data_root.resolve())
    except (OSError, RuntimeError) as error:
        raise ManifestError(f"{what} {name!r} cannot be resolved: {error}") from error
    if leaves:
        raise ManifestError(f"{what} {name!r} is a link that leaves data_root")
    return path
