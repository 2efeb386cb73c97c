"""An evaluation job: labelled footage in, figures with intervals out, beside those of methods without training."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convlstm.allocator import reuse_freed_memory
from convlstm.config import SHIPPED, EvalConfig
from convlstm.errors import ConfigError, DataError
from convlstm.evaluation.comparison import Comparison
from convlstm.evaluation.inputs import EvalInputs, grid_of, open_inputs
from convlstm.evaluation.scoring import MODEL, SequenceScorer, SequenceScores
from convlstm.evaluation.tuning import Tuning, tune
from convlstm.evaluation.worst import WorstWindows
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from convlstm.progress import Progress
from convlstm.region import Region, parse_polygons
from convlstm.report.eval_report import summary_line, write_eval_report
from convlstm.report.eval_results import write_metrics, write_windows
from convlstm.shipped import resolve_weights

logger = logging.getLogger(__name__)

GALLERY_SIZE = 8
"""False alarms, and as many missed windows, that the report shows."""


@dataclass(frozen=True)
class EvalResult:
    """What an evaluation left. `left_out` names every input that could not be used, wholly or in part.

    `summary` is one line; `tuning` says what was changed in `saved_weights`.
    """

    comparison: Comparison
    report: Path
    summary: str
    left_out: tuple[str, ...]
    tuning: tuple[str, ...] = ()
    saved_weights: Path | None = None


def evaluate_weights(weights: str | Path, config: EvalConfig) -> EvalResult:
    """Score weights on labelled footage, write the result files to `config.output`, and tune a copy where asked to.

    `weights` is a weights file, "shipped", or the folder of an export. Raises ConfigError, DataError and
    CheckpointError for what cannot be used at all.
    """
    reuse_freed_memory()
    path = resolve_weights(weights)
    job = _Tuning(weights, config) if config.recall is not None or config.calibrate else None
    predictor = Predictor(
        path, device=config.device, stride=config.stride, engine=config.engine, precision=config.precision
    )
    inputs = open_inputs(config, path, predictor.checkpoint)
    _make_folder(config.output)
    scorer = _scorer(predictor, config, len(inputs.sequences))
    scored, left_out = _score(scorer, inputs)
    comparison = Comparison(
        scored,
        threshold=scorer.threshold,
        at_recall=config.at_recall,
        false_cells=config.false_cells,
        num_resamples=config.resamples,
    )
    tuning = job.run(comparison) if job is not None else None
    facts = {
        "weights": str(weights),
        "digest": predictor.checkpoint.digest,
        "engine": predictor.engine.name,
        "precision": predictor.engine.precision,
        "data": inputs.description,
        "split": inputs.split,
        "tuning": dict(tuning.found) if tuning is not None else {},
        "left_out": left_out,
    }
    changes = tuning.describe() if tuning is not None else []
    _write(config, comparison, scorer, facts, [*changes, *inputs.notes, *(f"left out: {line}" for line in left_out)])
    return EvalResult(
        comparison=comparison,
        report=config.output / "report.html",
        summary=summary_line(comparison) or "no figure is defined: see the notes in the report",
        left_out=tuple(left_out),
        tuning=tuple(changes),
        saved_weights=job.place if job is not None else None,
    )


class _Tuning:
    """Where tuned weights go; whatever forbids it is found before any work is done."""

    def __init__(self, weights: str | Path, config: EvalConfig) -> None:
        self.config = config
        path = resolve_weights(weights)
        if weights == SHIPPED and config.save_weights is None:
            raise ConfigError("the shipped weights stay as they are: name a file with --save_weights")
        if path.is_dir():
            raise ConfigError(f"{path}: an export cannot be changed: tune the weights file, then export it")
        self.checkpoint: Checkpoint = load_checkpoint(path)
        self.place = config.save_weights or path
        if self.place.resolve() == path.resolve() and self.checkpoint.training is not None:
            raise ConfigError(f"{path} holds a training that may go on: name another file with --save_weights")
        if self.place.exists() and not config.overwrite:
            raise ConfigError(
                f"{self.place} is there already: name another file with --save_weights, or --overwrite it"
            )
        if not self.place.parent.is_dir():
            raise ConfigError(f"{self.place.parent}: no such folder for --save_weights")

    def run(self, comparison: Comparison) -> Tuning:
        cells, windows = comparison.cells(MODEL), comparison.windows(MODEL)
        tuning = tune(self.checkpoint, cells, windows, recall=self.config.recall, calibrate=self.config.calibrate)
        save_checkpoint(self.place, tuning.checkpoint)
        return tuning


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to {output}: {error.strerror}") from error


def _scorer(predictor: Predictor, config: EvalConfig, num_sequences: int) -> SequenceScorer:
    weights = predictor.checkpoint
    region = Region(parse_polygons("roi", config.roi), parse_polygons("ignore", config.ignore)).cells(grid_of(weights))
    if config.false_cells > region.sum():
        raise ConfigError(
            f"false_cells must be at most the number of cells that are scored, {region.sum()}, got {config.false_cells}"
        )
    per_sequence = math.ceil(GALLERY_SIZE / num_sequences)
    return SequenceScorer(
        predictor,
        threshold=config.threshold if config.threshold is not None else weights.threshold,
        baselines=config.baseline_names,
        min_share=config.mask_min_share,
        region=region,
        false_cells=config.false_cells,
        pad_short=config.short_sequences == "repeat_last",
        false_alarms=WorstWindows(GALLERY_SIZE, per_sequence),
        missed=WorstWindows(GALLERY_SIZE, per_sequence),
    )


def _score(scorer: SequenceScorer, inputs: EvalInputs) -> tuple[list[SequenceScores], list[str]]:
    """Also returns a line for everything that was left out."""
    scored, left_out = [], list(inputs.left_out)
    counts = [sequence.source.num_frames for sequence in inputs.sequences]
    total = None if None in counts else sum(count or 0 for count in counts)
    with Progress("evaluating", total, "frames") as progress:
        for sequence in inputs.sequences:
            try:
                scores = scorer.score(sequence, progress)
            except DataError as error:
                left_out.append(str(error))
                continue
            left_out += scores.problems
            if len(scores):
                scored.append(scores)
            else:
                length = scorer.predictor.checkpoint.seq_length
                left_out.append(f"{sequence.name}: holds no window of {length} consecutive frames")
    if not scored:
        raise DataError(f"no window could be scored: {left_out[0]}")
    return scored, left_out


def _write(
    config: EvalConfig,
    comparison: Comparison,
    scorer: SequenceScorer,
    facts: Mapping[str, Any],
    notes: Sequence[str],
) -> None:
    write_metrics(config.output / "metrics.json", comparison, facts)
    write_windows(config.output / "windows.csv", comparison)
    number = _counted(len(comparison.sequences), "sequence")
    windows = _counted(comparison.num_windows, "window")
    if facts["tuning"]:
        notes = [*notes, "figures on this page are those of the weights as they were given, before they were changed"]
    write_eval_report(
        config.output / "report.html",
        comparison,
        subtitle=f"{facts['weights']} on {facts['data']}: {number}, {windows}",
        notes=notes,
        false_alarms=scorer.false_alarms.kept,
        missed=scorer.missed.kept,
        settings={name: str(value) for name, value in asdict(config).items() if value not in (None, False)},
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
