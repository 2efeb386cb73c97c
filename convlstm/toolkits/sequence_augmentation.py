"""Changed copies of sequences, whose rows keep the group of their original."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from convlstm.atomic import atomic_folder, atomic_write_text, remove_leftovers
from convlstm.config.toolkits import CHANGES, SequenceAugmentationConfig
from convlstm.errors import ConfigError, DataError
from convlstm.toolkits.contact_sheet import write_contact_sheet
from convlstm.toolkits.frame_files import MASKS, Encoding
from convlstm.toolkits.frame_folders import CONTACT_SHEET
from convlstm.toolkits.origin import Origin, finished, read_origin, state_of, write_origin
from convlstm.toolkits.runner import Outcome, ToolResult, result_of, run_tasks
from convlstm.toolkits.sequence_copy import draw_for, open_original, write_copy
from convlstm.toolkits.sequence_inputs import FoundSequences, SequenceInput, find_sequences, with_rows

logger = logging.getLogger(__name__)

TOOL = "sequence_augmentation"
DEFAULT_FPS = 25.0
"""Of sequences for which nothing tells another."""

_DECIDE_PIXELS = (*CHANGES, "smooth", "format", "quality", "seed")


@dataclass(frozen=True)
class Copy:
    """One copy of a sequence; `number` counts from 1."""

    original: SequenceInput
    number: int
    folder: Path

    @property
    def name(self) -> str:
        """Of the folder, relative to the output."""
        return f"{self.original.name}_aug{self.number}"


def run(config: SequenceAugmentationConfig) -> ToolResult:
    """Make the copies, their rows in the manifest, and the contact sheet.

    Raises DataError where there are no sequences, ConfigError where the output is one of them.
    """
    assert config.source is not None and config.output is not None
    output = config.output
    found = find_sequences(config.source, config.manifest, made_by=TOOL)
    _check_output(found.sequences, output)
    chosen = _chosen(found, config)
    _tell_of_geometry(chosen, config)
    copies = [
        Copy(sequence, number, output / f"{sequence.name}_aug{number}")
        for sequence in chosen
        for number in range(1, config.copies + 1)
    ]
    if not config.dry_run:
        for folder in {copy.folder.parent for copy in copies}:
            remove_leftovers(folder)
    outcomes = run_tasks(
        partial(_make_copy, config),
        copies,
        name=lambda copy: copy.name,
        workers=1 if config.dry_run else config.workers,
        description="augmenting",
        unit="copies",
    )
    if not config.dry_run:
        made = [copy for copy, outcome in zip(copies, outcomes, strict=True) if outcome.counts]
        if found.columns and made:
            rows = [_row(copy) for copy in made]
            columns = (*found.columns, "group")
            atomic_write_text(output / config.manifest, with_rows(output / config.manifest, columns, rows))
        if made:
            write_contact_sheet(output / CONTACT_SHEET, [(copy.original.path, copy.folder) for copy in made])
    return result_of(output, outcomes)


def _check_output(sequences: Sequence[SequenceInput], output: Path) -> None:
    inner = output.resolve()
    for sequence in sequences:
        if inner.is_relative_to(sequence.path.resolve()):
            raise ConfigError(f"output {output} lies in the sequence {sequence.path}: name another folder")


def _chosen(found: FoundSequences, config: SequenceAugmentationConfig) -> list[SequenceInput]:
    """Without a manifest all; else those of the splits asked for, and those without a split."""
    chosen = [s for s in found.sequences if s.split is None or s.split in config.splits]
    if not chosen:
        raise DataError(f"no sequence is of split {' or '.join(config.splits)}: see --splits")
    num_left = len(found.sequences) - len(chosen)
    if num_left:
        logger.info("%d sequences of other splits are not copied", num_left)
    num_open = sum(1 for s in chosen if s.split is None)
    if found.columns and num_open:
        logger.warning(
            "%d of %d sequences have no split: what training draws for validation will hold copies too; give them "
            "splits first (generate_data_csv --split)",
            num_open,
            len(chosen),
        )
    return chosen


def _tell_of_geometry(chosen: Sequence[SequenceInput], config: SequenceAugmentationConfig) -> None:
    num_unknown = sum(1 for s in chosen if s.type != "static" and not (s.path / MASKS).is_dir())
    if num_unknown and (config.crop or config.rotation):
        logger.info(
            "%d of %d sequences have no masks and are not known to be static: they are not cropped or rotated, which "
            "could cut away what their label is about",
            num_unknown,
            len(chosen),
        )


def _row(copy: Copy) -> dict[str, str]:
    """The original's row, with the copy's folder and number of frames."""
    cells = {**copy.original.cells, "folder_name": copy.name, "group": copy.original.group}
    origin = read_origin(copy.folder)
    if origin is not None and "frames" in cells:
        cells["frames"] = str(origin.num_frames)
    return cells


def _make_copy(config: SequenceAugmentationConfig, copy: Copy) -> Outcome:
    original = copy.original
    settings = {key: value for key, value in asdict(config).items() if key in _DECIDE_PIXELS}
    settings |= {"copy": copy.number, "static": original.type == "static"}
    plan = Origin(TOOL, str(original.path), state_of(original.path), settings, original.group, 0, original.fps)
    done = finished(copy.folder, plan, overwrite=config.overwrite)
    if done is not None:
        return Outcome(copy.name, {"copies finished before": 1}, done.problem)
    sequence = open_original(original.path, fps=original.fps or DEFAULT_FPS, is_static=original.type == "static")
    change = draw_for(config, sequence, copy.name)
    if config.dry_run:
        logger.info("%s to %s: %s", original.path, copy.folder, change.describe())
        return Outcome(copy.name, {"copies to make": 1})
    with atomic_folder(copy.folder) as new:
        num_frames = write_copy(new, sequence, change, Encoding(config.format, config.quality))
        problem = sequence.source.damage.describe(num_frames) if sequence.source.damage.is_incomplete else None
        extra = {"changes": change.describe(), "type": original.type}
        write_origin(new, replace(plan, num_frames=num_frames, problem=problem, extra=extra))
    return Outcome(copy.name, {"copies": 1, "frames": num_frames}, problem)
