"""`convlstm data generate_data_csv`: the manifest of a root with class folders, with warnings of shortcuts."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from convlstm.atomic import atomic_write_text, remove_leftovers
from convlstm.config.toolkits import GenerateDataCsvConfig
from convlstm.errors import DataError, ManifestError
from convlstm.sources.base import name_some
from convlstm.toolkits.class_folders import FoundSequence, find_sequences
from convlstm.toolkits.data_warnings import ListedSequence, warn_of_data
from convlstm.toolkits.manifest_table import COLUMNS, ManifestTable, key_of, read_table
from convlstm.toolkits.runner import Outcome, ToolResult, run_tasks
from convlstm.toolkits.sequence_facts import SequenceFacts, look_at
from convlstm.toolkits.source_names import source_name
from convlstm.toolkits.split_groups import split_groups
from convlstm.utils.data.manifest import SPLITS, ManifestRow, read_manifest
from convlstm.utils.data.split import given_splits

logger = logging.getLogger(__name__)


def run(config: GenerateDataCsvConfig) -> ToolResult:
    """Look at every sequence, write the manifest, and warn of what a model would learn instead of what moves.

    Raises DataError where class folders are missing or empty or the manifest is there already, ManifestError where it
    cannot be used or the split leaves validation empty.
    """
    assert config.root is not None
    output = config.output or config.root / "data.csv"
    table = _table_there(config, output)
    found = find_sequences(config.root, config.classes)
    sequences, left_out = _look_at_all(config, found.sequences)
    if not sequences:
        raise DataError(f"{config.root}: no usable sequence: {left_out[0]}")
    num_before = len(table.rows)
    _add_rows(table, sequences)
    _fill_splits(config, table)
    text = table.text()
    _check_not_there(config, output, text)
    gone = [row["folder_name"] for row in table.rows if not (config.root / row["folder_name"].strip()).exists()]
    if found.others:
        logger.warning("no folders of classes, left alone: %s: --classes takes them too", name_some(found.others))
    warn_of_data(_listed(table, sequences), compare=config.compare)
    if not config.dry_run and not (output.exists() and _text_of(output) == text):
        output.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(output.parent)
        atomic_write_text(output, text)
    left_out = [*found.left_out, *left_out, *(f"{name}: in the manifest, but gone; its row is kept" for name in gone)]
    return ToolResult(output, _summary(config, table, num_before), tuple(left_out))


def _table_there(config: GenerateDataCsvConfig, output: Path) -> ManifestTable:
    """The manifest to update, checked as training checks it; else an empty one."""
    if not (config.update and output.exists()):
        return ManifestTable(list(COLUMNS))
    assert config.root is not None
    table = read_table(output)
    if table.rows and output.resolve().is_relative_to(config.root.resolve()):
        read_manifest(config.root, str(output.resolve().relative_to(config.root.resolve())), config.classes)
    return table


def _check_not_there(config: GenerateDataCsvConfig, output: Path, text: str) -> None:
    if output.exists() and not (config.update or config.overwrite) and _text_of(output) != text:
        raise DataError(f"{output} is there already and differs: --update adds to it, --overwrite makes it anew")


def _text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _look_at_all(
    config: GenerateDataCsvConfig, found: Sequence[FoundSequence]
) -> tuple[list[ListedSequence], list[str]]:
    assert config.root is not None
    outcomes = run_tasks(
        partial(_look, root=config.root, compare=config.compare),
        found,
        name=lambda sequence: sequence.folder_name,
        workers=config.workers,
        description="looking at",
        unit="sequences",
    )
    looked = [(sequence, outcome.found) for sequence, outcome in zip(found, outcomes, strict=True) if outcome.found]
    left_out = [f"{outcome.name}: {outcome.problem}" for outcome in outcomes if outcome.problem is not None]
    groups = _groups(config, looked)
    return [
        ListedSequence(sequence.folder_name, sequence.kind, group, facts)
        for (sequence, facts), group in zip(looked, groups, strict=True)
    ], left_out


def _look(sequence: FoundSequence, *, root: Path, compare: bool) -> Outcome:
    try:
        return Outcome(sequence.folder_name, found=look_at(root / sequence.folder_name, compare=compare))
    except DataError as error:
        return Outcome(sequence.folder_name, problem=str(error).removeprefix(f"{root / sequence.folder_name}: "))


def _groups(config: GenerateDataCsvConfig, looked: Sequence[tuple[FoundSequence, SequenceFacts]]) -> list[str]:
    """By the regex, where there is one and it is found; else as origin.json says; else by the names of folders."""
    groups, unmatched = [], []
    for sequence, facts in looked:
        match = re.search(config.group_regex, sequence.folder_name) if config.group_regex is not None else None
        by_regex = (match[1] if match.re.groups else match[0]) if match is not None else None
        if config.group_regex is not None and not by_regex:
            unmatched.append(sequence.folder_name)
        groups.append(by_regex or facts.group or source_name(sequence.parts, config.classes))
    if unmatched:
        logger.warning(
            "group_regex names no group in %d of %d paths (%s): their groups come from origin.json and folder names",
            len(unmatched),
            len(looked),
            name_some(unmatched, 3),
        )
    return groups


def _add_rows(table: ManifestTable, sequences: Sequence[ListedSequence]) -> None:
    """New rows at the end, columns that are missing for all; nothing that stands there is changed."""
    known = {key_of(row["folder_name"]): row for row in table.rows}
    cells = {key_of(sequence.folder_name): _cells(sequence) for sequence in sequences}
    had_groups = "group" in table.header
    for column in COLUMNS[2:]:
        table.add_column(column, {key: row[column] for key, row in cells.items()})
    stale = [
        name
        for name, row in known.items()
        if name in cells and row["frames"].strip() not in ("", cells[name]["frames"])
    ]
    if stale:
        logger.warning("the manifest gives another number of frames than there are: %s", name_some(stale))
    renamed = _renamed_groups(known, cells) if had_groups else {}
    for name, row in cells.items():
        if name not in known:
            table.rows.append({**row, "group": renamed.get(row["group"], row["group"])})


def _cells(sequence: ListedSequence) -> dict[str, str]:
    fps = "" if sequence.facts.fps is None else f"{sequence.facts.fps:.6g}"
    values = (sequence.folder_name, sequence.kind, sequence.group, fps, str(sequence.facts.num_frames))
    return dict(zip(COLUMNS, values, strict=True))


def _renamed_groups(known: Mapping[str, Mapping[str, str]], cells: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Groups that the owner has given another name: what is new of the same source belongs to them too."""
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for name, row in known.items():
        if name in cells and row["group"].strip():
            names[cells[name]["group"]][row["group"].strip()] += 1
    split = [group for group, count in names.items() if len(count) > 1]
    if split:
        logger.warning(
            "the manifest parts what seems to be of one source into several groups (%s): new rows join the largest",
            name_some(split),
        )
    return {group: count.most_common(1)[0][0] for group, count in names.items()}


def _rows(table: ManifestTable) -> list[ManifestRow]:
    """As training sees them; a row without a group is one of its own."""
    return [
        ManifestRow(
            folder_name=row["folder_name"],
            type=row["type"].strip(),
            group=row.get("group", "").strip() or key_of(row["folder_name"]),
            fps=None,
            split=row.get("split", "").strip() or None,
            line=line,
        )
        for line, row in enumerate(table.rows, start=2)
    ]


def _fill_splits(config: GenerateDataCsvConfig, table: ManifestTable) -> None:
    """Give each row without a split that of its group, or, with shares, a new one; rows that have one keep it."""
    if not config.split and "split" not in table.header:
        return
    table.add_column("split", {})
    rows = _rows(table)
    splits: dict[str, str] = {group: split for group, split in given_splits(rows).items() if split is not None}
    if config.split:
        types: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            types[row.group].append(row.type)
        splits = split_groups(types, splits, shares=config.split, seed=config.seed)
        _check_split(SPLITS[: len(config.split)], rows, splits)
    for row, cells in zip(rows, table.rows, strict=True):
        if row.split is None:
            cells["split"] = splits.get(row.group, "")
    num_without = sum(not cells["split"].strip() for cells in table.rows)
    if num_without:
        logger.warning("%d rows have no split, others have: --update --split 0.7 0.2 0.1 gives them one", num_without)


def _check_split(names: Sequence[str], rows: Sequence[ManifestRow], splits: Mapping[str, str]) -> None:
    types: dict[str, set[str]] = {split: set() for split in names}
    for row in rows:
        types.setdefault(splits[row.group], set()).add(row.type)
    num_groups = len(splits)
    if not (types["train"] and types["val"]):
        side = "val" if types["train"] else "train"
        raise ManifestError(
            f"the split leaves {side} empty: {len(rows)} sequences are in {num_groups} groups: give --group_regex, "
            "or edit the group column"
        )
    for split in names:
        missing = sorted({row.type for row in rows} - types[split])
        if missing:
            logger.warning(
                "split %s holds no %s: there are too few groups, %d", split, " and no ".join(missing), num_groups
            )


def _listed(table: ManifestTable, sequences: Sequence[ListedSequence]) -> list[ListedSequence]:
    """Sequences as the manifest has them now, its owner's types and groups first."""
    rows = {key_of(row.folder_name): row for row in _rows(table)}
    found = [(sequence, rows[key_of(sequence.folder_name)]) for sequence in sequences]
    return [replace(sequence, kind=row.type, group=row.group) for sequence, row in found]


def _summary(config: GenerateDataCsvConfig, table: ManifestTable, num_before: int) -> str:
    rows = _rows(table)
    types = ", ".join(f"{count:,} {kind}" for kind, count in sorted(Counter(row.type for row in rows).items()))
    words = [f"{len(rows):,} sequences ({types}) in {len({row.group for row in rows}):,} groups"]
    splits = Counter(row.split for row in rows if row.split is not None)
    if splits:
        words.append(", ".join(f"{split} {splits[split]:,}" for split in SPLITS if splits[split]))
    if config.update:
        words.append(f"{len(rows) - num_before:,} new")
    return ("would be " if config.dry_run else "") + "; ".join(words)
