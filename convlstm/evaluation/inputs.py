"""What an evaluation is run on: a data set with a manifest, or one source with its truth."""

from dataclasses import dataclass, field
from pathlib import Path

from convlstm.config import EvalConfig, TrainConfig
from convlstm.errors import DataError
from convlstm.evaluation.events_file import read_events
from convlstm.evaluation.held_out import choose_rows
from convlstm.evaluation.scoring import EvalSequence
from convlstm.evaluation.truth import ClassTruth, EventTruth, Grid, MaskTruth, Truth, mask_files
from convlstm.inference.engines.base import Weights
from convlstm.sources.base import SeekableSource
from convlstm.sources.open import open_source
from convlstm.types import CELL_SIZE
from convlstm.utils.data.sequences import LabelledSequence, open_sequences


@dataclass(frozen=True)
class EvalInputs:
    """Opened sequences. `split` is empty for a source; `left_out` names what could not be opened."""

    sequences: list[EvalSequence]
    description: str
    split: str = ""
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def open_inputs(config: EvalConfig, path: Path, weights: Weights) -> EvalInputs:
    """Open what `config` names, for the weights at `path`. Raises DataError where nothing of it can be used."""
    if config.data_root is not None:
        return _open_data_set(config, config.data_root, path, weights)
    assert config.source is not None and config.truth is not None
    source = open_source(config.source, fps=config.fps)
    if not isinstance(source, SeekableSource):
        raise DataError(f"{source.name}: nobody knows the truth of a live source: record it first")
    truth = _truth_of_source(source, config.truth, grid_of(weights))
    sequence = EvalSequence(config.source, source, truth, group=config.source)
    return EvalInputs([sequence], f"{config.source} against {config.truth}", notes=_gaps(sequence))


def grid_of(weights: Weights) -> Grid:
    """Rows and columns of cells."""
    return weights.target_size[0] // CELL_SIZE, weights.target_size[1] // CELL_SIZE


def _truth_of_source(source: SeekableSource, truth: Path, grid: Grid) -> Truth:
    if truth.is_dir():
        return MaskTruth(grid, mask_files(source, truth).get)
    if not truth.exists():
        raise DataError(f"{truth}: no such file or folder: truth is a folder of masks, or a CSV or JSON file of events")
    return EventTruth(grid, read_events(truth, source.runs[-1].stop))


def _open_data_set(config: EvalConfig, data_root: Path, path: Path, weights: Weights) -> EvalInputs:
    if not data_root.is_dir():
        raise DataError(f"{data_root}: no such folder: data_root must be the folder that holds {config.manifest}")
    chosen = choose_rows(
        path,
        weights.model,
        data_root,
        config.manifest,
        split=config.split,
        val_ratio=config.val_ratio,
        seed=config.seed,
    )
    opening = TrainConfig(
        data_root=data_root,
        manifest=config.manifest,
        classes=weights.model.classes,
        seq_length=weights.seq_length,
        target_size=weights.target_size,
        short_sequences=config.short_sequences,
        fps=config.fps,
    )
    opened, left_out = open_sequences(chosen.rows, opening)
    if not opened:
        raise DataError(f"no usable sequence is left for evaluation: {left_out[0]}")
    sequences = [_labelled(sequence, weights) for sequence in opened]
    notes = [chosen.note] if chosen.note else []
    notes += [line for sequence in sequences for line in _gaps(sequence)]
    return EvalInputs(sequences, f"{data_root}, split {chosen.split}", chosen.split, left_out, notes)


def _labelled(sequence: LabelledSequence, weights: Weights) -> EvalSequence:
    grid, row = grid_of(weights), sequence.row
    is_dynamic = weights.model.is_dynamic(sequence.class_index)
    truth: Truth = ClassTruth(grid, is_dynamic=is_dynamic)
    if sequence.masks is not None:
        truth = MaskTruth(grid, sequence.mask_file)
    return EvalSequence(row.folder_name, sequence.source, truth, row.extra.get("kind", ""), row.group, is_dynamic)


def _gaps(sequence: EvalSequence) -> list[str]:
    gaps = sequence.source.damage.describe(0)
    return [f"{sequence.name}: {gaps}"] if gaps else []
