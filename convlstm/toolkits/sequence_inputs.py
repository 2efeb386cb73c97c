"""The sequences that are to be copied: rows of a manifest, or folders of frames and videos; copies are left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from convlstm.errors import DataError
from convlstm.sources.open import find_sources
from convlstm.toolkits.frame_folders import walk_frame_folders
from convlstm.toolkits.manifest_table import ManifestTable, key_of, read_table
from convlstm.toolkits.origin import read_origin
from convlstm.utils.data.manifest import read_manifest


@dataclass(frozen=True)
class SequenceInput:
    """A sequence: its place, and what a manifest, `origin.json` or the folders' names say of it.

    `name` is relative to the data root, with "/"; `cells` are those of its row in the manifest, by column.
    """

    path: Path
    name: str
    group: str
    fps: float | None = None
    type: str | None = None
    cells: dict[str, str] = field(default_factory=dict)

    @property
    def split(self) -> str | None:
        """Of the manifest, where it gives one."""
        return self.cells.get("split", "").strip() or None


@dataclass(frozen=True)
class FoundSequences:
    """What was found; `columns` are those of the manifest, empty where there was none."""

    sequences: tuple[SequenceInput, ...]
    columns: tuple[str, ...] = ()


def find_sequences(sources: Sequence[str], manifest: str, *, made_by: str) -> FoundSequences:
    """All sequences that `sources` name, without those that the tool `made_by` made, in the order of their names.

    Raises DataError where there is none, or where two would have the same name.
    """
    roots = [Path(source) for source in sources if (Path(source) / manifest).is_file()]
    if roots and len(sources) > 1:
        raise DataError(f"{roots[0]} holds a manifest: give it alone, one data set at a time")
    if roots:
        found = _of_manifest(roots[0], manifest)
    else:
        found = FoundSequences(tuple(s for source in sources for s in _of_source(source)))
    originals = [s for s in found.sequences if _maker(s.path) != made_by]
    if not originals:
        raise DataError(f"{' '.join(sources)}: no sequences there: folders of frames, videos, or a {manifest}")
    names: dict[str, SequenceInput] = {}
    for sequence in sorted(originals, key=lambda s: s.name):
        other = names.setdefault(sequence.name.casefold(), sequence)
        if other is not sequence:
            raise DataError(f"{other.path} and {sequence.path} have the same name: give the folder that holds both")
    return FoundSequences(tuple(names.values()), found.columns)


def with_rows(path: Path, header: Sequence[str], rows: Sequence[dict[str, str]]) -> str:
    """The text of the manifest `path` with these rows, in place of those of the same folders; all else is kept."""
    table = read_table(path) if path.is_file() else ManifestTable(list(header))
    for name in header:
        table.add_column(name, {})
    new = {key_of(row["folder_name"]): row for row in rows}
    table.rows = [new.pop(key_of(row["folder_name"]), row) for row in table.rows] + list(new.values())
    return table.text()


def _of_manifest(root: Path, manifest: str) -> FoundSequences:
    table = read_table(root / manifest)
    rows = read_manifest(root, manifest, sorted({row["type"].strip() for row in table.rows} - {""}))
    by_folder = {key_of(row["folder_name"]): row for row in table.rows}
    sequences = [
        SequenceInput(
            path=root / row.folder_name,
            name=str(PurePosixPath(row.folder_name)),
            group=row.group,
            fps=row.fps,
            type=row.type,
            cells=by_folder[key_of(row.folder_name)],
        )
        for row in rows
    ]
    return FoundSequences(tuple(sequences), tuple(table.header))


def _of_source(source: str) -> list[SequenceInput]:
    path = Path(source)
    if not path.is_dir():
        return [_sequence(found.path, found.path.name) for found in find_sources(source) if not found.files]
    found = []
    for folder in walk_frame_folders(path):
        relative = folder.path.relative_to(path)
        if folder.images and not folder.is_masks and folder.path != path:
            found.append(_sequence(folder.path, relative.as_posix()))
        elif folder.images and folder.path == path:
            found.append(_sequence(path, path.resolve().name))
        found += [_sequence(folder.path / name, (relative / name).as_posix()) for name in folder.videos]
    return found


def _sequence(path: Path, name: str) -> SequenceInput:
    origin = read_origin(path) if path.is_dir() else None
    stem = name if path.is_dir() else str(PurePosixPath(name).with_suffix(""))
    kind = "static" if path.resolve().parent.name == "static" else None
    if origin is None:
        return SequenceInput(path, stem, group=stem, type=kind)
    return SequenceInput(path, stem, origin.group, origin.fps, origin.extra.get("type", kind))


def _maker(path: Path) -> str | None:
    try:
        origin = read_origin(path) if path.is_dir() else None
    except DataError:
        return None  # named when the sequence is opened
    return None if origin is None else origin.tool
