"""A training run from configuration to weights: data, model, callbacks, resuming."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml
from lightning_fabric import Fabric

from convlstm.allocator import reuse_freed_memory
from convlstm.atomic import atomic_write_text
from convlstm.config import TrainConfig
from convlstm.config_file import config_from_dict, config_to_dict
from convlstm.errors import ConvLSTMError, DataError, TrainingError
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.training.first_weights import begin_from, first_weights, with_network_of
from convlstm.training.losses import balanced_class_weights
from convlstm.training.optimizers import make_optimizer
from convlstm.training.processes import leave_group_at_exit, start_fabric
from convlstm.training.random_state import seed_everything
from convlstm.training.run_folder import (
    ARGUMENTS,
    has_checkpoint,
    hold_run_folder,
    last_checkpoint,
    make_run_folder,
    recorded_config,
)
from convlstm.training.trainer import Trainer
from convlstm.utils.callbacks.base import Callback
from convlstm.utils.callbacks.checkpoint import BEST, LAST, CheckpointSaver
from convlstm.utils.callbacks.early_stopping import EarlyStopping
from convlstm.utils.callbacks.ema import EMA
from convlstm.utils.callbacks.lr_scheduler import LRScheduler
from convlstm.utils.callbacks.metrics_log import MetricsLog
from convlstm.utils.callbacks.progress import ProgressLog
from convlstm.utils.callbacks.report import ReportWriter
from convlstm.utils.data.dataset import WindowDataset
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.sequences import LabelledSequence, open_sequences
from convlstm.utils.data.split import split_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a run left behind. `left_out` names every input that could not be used; `rank` is this process's place."""

    run_folder: Path
    best: Path
    last: Path
    metrics: Mapping[str, float]
    report: Path | None
    left_out: tuple[str, ...]
    rank: int = 0


@dataclass(frozen=True)
class _Data:
    train: WindowDataset
    val: WindowDataset
    left_out: list[str]


def train(config: TrainConfig, given: Collection[str] = ()) -> TrainResult:
    """Train in a new run folder, from random weights or from `config.weights`, which bring their network along.

    Settings of the network that differ from their defaults, or are named in `given`, must be those of the weights.
    Raises ConfigError, CheckpointError, DataError or TrainingError; what was saved stays on disk.
    """
    fabric = start_fabric(config)
    config, first = first_weights(config, given)
    data = _open_data(config)
    folder = _on_first(fabric, lambda: make_run_folder(config))
    with _held(fabric, folder):
        return _fit(fabric, config, folder, data, first=first)


def resume(run: Path, flags: Mapping[str, Any] | None = None) -> TrainResult:
    """Go on with a run (its folder, or a weights file in it) from its last checkpoint.

    `flags` may change settings, such as `epochs`, but not the model. Raises TrainingError where there is nothing to
    resume, CheckpointError where no checkpoint is readable.
    """
    folder = run.parent.parent if run.is_file() else run
    recorded = recorded_config(folder)
    if recorded is None:
        raise TrainingError(f"{run}: nothing to resume: no run folder with {ARGUMENTS} and weights/{LAST}")
    config = config_from_dict(TrainConfig, {**config_to_dict(recorded), **(flags or {})}, origin="arguments")
    _check_same_start(folder, recorded, config)
    fabric = start_fabric(config)
    with _held(fabric, folder):
        checkpoint = _on_first(fabric, lambda: _resumable(folder, config))
        return _fit(fabric, config, folder, _open_data(config), checkpoint)


def train_or_resume(config: TrainConfig, given: Collection[str] = ()) -> TrainResult:
    """Go on with the run in `project/name`, or start it there: one command for jobs that are stopped and started again.

    A run that is done stays as it is. `given` is as for `train`. Raises as `train` and `resume` do.
    """
    fabric = start_fabric(config)
    folder = config.project / config.name
    recorded = _on_first(fabric, lambda: recorded_config(folder) if has_checkpoint(folder) else None)
    first = None
    if recorded is None:
        config, first = first_weights(config, given)
    else:
        _check_same_start(folder, recorded, config)
        if config.weights is not None:
            config = with_network_of(config, recorded.model_config(), given)
    data = _open_data(config)
    _on_first(fabric, lambda: (folder / "weights").mkdir(parents=True, exist_ok=True))
    with _held(fabric, folder):
        try:
            checkpoint = _on_first(fabric, lambda: _resumable(folder, config) if has_checkpoint(folder) else None)
        except NothingLeftError as done:
            logger.warning("%s", done)
            metrics = last_checkpoint(folder).metrics or {}
            return _result(fabric, folder, metrics, None, ())
        return _fit(fabric, config, folder, data, checkpoint, first)


def _check_same_start(folder: Path, recorded: TrainConfig, config: TrainConfig) -> None:
    """A resumed run never reads the weights that it began from, and goes on with the state of its optimizer."""
    if config.weights != recorded.weights:
        began, asked = (weights or "random weights" for weights in (recorded.weights, config.weights))
        raise TrainingError(f"{folder}: has begun from {began}, asked for {asked}; start a new run")
    if config.optimizer != recorded.optimizer:
        raise TrainingError(
            f"{folder}: has trained with {recorded.optimizer}, asked for {config.optimizer}; start a new run"
        )


class NothingLeftError(TrainingError):
    """The run is done."""


def _resumable(folder: Path, config: TrainConfig) -> Checkpoint:
    checkpoint = last_checkpoint(folder)
    if checkpoint.training is None:
        raise TrainingError(f"{folder}: nothing to resume: weights/{LAST} holds no training state")
    found = (checkpoint.model, checkpoint.seq_length, checkpoint.target_size)
    wanted = (config.model_config(), config.seq_length, config.target_size)
    if found != wanted:
        raise TrainingError(f"{folder}: holds another model: {found}, asked for {wanted}; start a new run")
    stopping = checkpoint.training["callbacks"].get("EarlyStopping", {"num_bad_epochs": 0})
    if 0 < config.early_stopping_patience <= stopping["num_bad_epochs"]:
        raise NothingLeftError(
            f"{folder}: nothing to resume: stopped early after epoch {checkpoint.training['epoch']}; "
            "raise --early_stopping_patience to go on"
        )
    if checkpoint.training["epoch"] >= config.epochs:
        raise NothingLeftError(
            f"{folder}: nothing to resume: all {config.epochs} epochs are done; raise --epochs to go on"
        )
    return checkpoint


def _on_first(fabric: Fabric, act: Callable[[], Any]) -> Any:
    """Act in the first process; all get its result, or its error, so that none waits for one that has failed."""
    result, error = None, None
    if fabric.is_global_zero:
        try:
            result = act()
        except (ConvLSTMError, OSError) as caught:
            error = caught
    if fabric.world_size > 1:
        result, error = fabric.broadcast((result, error))
    if error is not None:
        raise error
    return result


@contextmanager
def _held(fabric: Fabric, folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        _on_first(fabric, lambda: stack.enter_context(hold_run_folder(folder)))
        yield
    leave_group_at_exit()


def _fit(
    fabric: Fabric,
    config: TrainConfig,
    folder: Path,
    data: _Data,
    checkpoint: Checkpoint | None = None,
    first: Checkpoint | None = None,
) -> TrainResult:
    """Train on from `checkpoint`; without one from the weights of `first`, or random ones."""
    reuse_freed_memory()
    if fabric.is_global_zero:
        atomic_write_text(folder / ARGUMENTS, yaml.safe_dump(config_to_dict(config), sort_keys=False))
    seed_everything(config.seed)
    model = TemporalClassifier(config.model_config())
    if first is not None and checkpoint is None:
        begin_from(model, first, str(config.weights))
    model.to(fabric.device)
    if config.compile:
        model.encoder.compile()
    optimizer = make_optimizer(model, config)
    report = ReportWriter(folder / "reports", config.report_interval)
    callbacks = _make_callbacks(config, folder, model, optimizer, report, _usual_fps(data.train.sequences))
    trainer = Trainer(
        fabric,
        config,
        folder,
        model=model,
        optimizer=optimizer,
        train_data=data.train,
        val_data=data.val,
        class_weights=_class_weights(data.train, config),
        callbacks=[callback for callback in callbacks if fabric.is_global_zero or not callback.only_first_process],
    )
    if checkpoint is not None and checkpoint.training is not None:
        trainer.load_training_state(checkpoint.training)
    _describe(trainer, data)
    trainer.fit()
    left_out = (*data.left_out, *sorted(trainer.damaged))
    return _result(fabric, folder, trainer.history[-1], report.latest, left_out)


def _result(
    fabric: Fabric, folder: Path, metrics: Mapping[str, float], report: Path | None, left_out: tuple[str, ...]
) -> TrainResult:
    weights = folder / "weights"
    return TrainResult(folder, weights / BEST, weights / LAST, metrics, report, left_out, fabric.global_rank)


def _open_data(config: TrainConfig) -> _Data:
    if not config.data_root.is_dir():
        raise DataError(f"{config.data_root}: no such folder: set data_root to the folder that holds {config.manifest}")
    rows = read_manifest(config.data_root, config.manifest, config.classes)
    split = split_rows(rows, val_ratio=config.val_ratio, seed=config.seed)
    train_sequences, left_out = open_sequences(split["train"], config)
    val_sequences, left_out_of_val = open_sequences(split["val"], config)
    left_out += left_out_of_val
    for line in left_out:
        logger.warning("left out: %s", line)
    for side, sequences in (("training", train_sequences), ("validation", val_sequences)):
        if not sequences:
            raise DataError(f"no usable sequence is left for {side}: {left_out[0]}")
        for sequence in sequences:
            if gaps := sequence.source.damage.describe(0):
                logger.warning("%s: %s", sequence.row.folder_name, gaps)
    return _Data(WindowDataset(train_sequences, config), WindowDataset(val_sequences, config), left_out)


def _make_callbacks(
    config: TrainConfig,
    run_folder: Path,
    model: TemporalClassifier,
    optimizer: torch.optim.Optimizer,
    report: ReportWriter,
    fps: float,
) -> list[Callback]:
    """In the order in which they act; the checkpoint comes last and so holds what the others have seen."""
    callbacks: list[Callback] = [ProgressLog()]
    if config.ema:
        callbacks.append(EMA(model, config.ema_decay))
    callbacks.append(LRScheduler(optimizer, config))
    if config.early_stopping_patience:
        callbacks.append(EarlyStopping(config.early_stopping_patience))
    callbacks.append(MetricsLog(run_folder, tensorboard=config.tensorboard))
    if config.report_interval:
        callbacks.append(report)
    callbacks.append(CheckpointSaver(run_folder / "weights", fps))
    return callbacks


def _class_weights(data: WindowDataset, config: TrainConfig) -> torch.Tensor | None:
    labels = torch.tensor(data.labels())
    present = set(data.labels())
    if len(present) < len(config.classes):
        names = [name for index, name in enumerate(config.classes) if index not in present]
        logger.warning("no training window of class %s: the model cannot learn it", ", ".join(names))
    return balanced_class_weights(labels, len(config.classes)) if config.class_weighting == "balanced" else None


def _usual_fps(sequences: list[LabelledSequence]) -> float:
    return float(median(sequence.fps for sequence in sequences))


def _describe(trainer: Trainer, data: _Data) -> None:
    if not data.train.has_masks:
        for name, neutral in (("positive_weight", 1), ("hard_cell_weight", 0), ("left_weight", 1)):
            if getattr(trainer.config, name) != neutral:
                logger.warning("%s has no effect: no training sequence has masks", name)
    if trainer.config.left_weight != 1 and not data.train.num_context:
        logger.warning("left_weight has no effect: stem %s looks at no earlier frames", trainer.config.stem)
    num_processes = trainer.fabric.world_size
    logger.info(
        "%s: %d training and %d validation windows of %d and %d sequences%s, on %s%s in %s",
        trainer.run_folder,
        len(data.train),
        len(data.val),
        len(data.train.sequences),
        len(data.val.sequences),
        f", {len(data.left_out)} left out" if data.left_out else "",
        f"{num_processes} x " if num_processes > 1 else "",
        trainer.fabric.device,
        trainer.fabric.strategy.precision.precision,
    )
    if trainer.step:
        logger.info("going on after step %d, in epoch %d", trainer.step, trainer.epoch + 1)
