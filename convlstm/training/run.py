"""A training run from configuration to weights: folders, data, model, callbacks, resuming."""

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml

from convlstm.allocator import reuse_freed_memory
from convlstm.atomic import atomic_write_text
from convlstm.config import TrainConfig, config_from_dict, config_to_dict, read_yaml
from convlstm.errors import CheckpointError, ConfigError, DataError, TrainingError
from convlstm.models.checkpoint import Checkpoint, load_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.training.losses import balanced_class_weights
from convlstm.training.trainer import Trainer
from convlstm.utils.callbacks.base import Callback
from convlstm.utils.callbacks.checkpoint import BEST, LAST, PREVIOUS, CheckpointSaver
from convlstm.utils.callbacks.early_stopping import EarlyStopping
from convlstm.utils.callbacks.ema import EMA
from convlstm.utils.callbacks.lr_scheduler import LRScheduler
from convlstm.utils.callbacks.metrics_log import MetricsLog
from convlstm.utils.callbacks.progress import ProgressLog
from convlstm.utils.callbacks.report import ReportWriter
from convlstm.utils.data.dataset import LabelledSequence, WindowDataset, open_sequences
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.split import split_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """What a run left behind. `left_out` names every input that could not be used."""

    run_folder: Path
    best: Path
    last: Path
    metrics: Mapping[str, float]
    report: Path | None
    left_out: tuple[str, ...]


def train(config: TrainConfig) -> TrainResult:
    """Train from the start in a new run folder.

    Raises ConfigError, DataError or TrainingError; finished epochs stay on disk.
    """
    return _run(config, None, None)


def resume(run: Path, flags: Mapping[str, Any] | None = None) -> TrainResult:
    """Go on with a run (its folder, or a weights file in it) from its last checkpoint.

    `flags` may change settings, such as `epochs`, but not the model. Raises TrainingError where there is nothing to
    resume, CheckpointError where no checkpoint is readable.
    """
    run_folder = run.parent.parent if run.is_file() else run
    arguments = run_folder / "args.yaml"
    if not arguments.is_file():
        raise TrainingError(f"{run}: nothing to resume: no run folder with args.yaml and weights/{LAST}")
    recorded = config_from_dict(TrainConfig, read_yaml(arguments), origin=str(arguments))
    config = config_from_dict(TrainConfig, {**config_to_dict(recorded), **(flags or {})}, origin="arguments")
    checkpoint = _last_checkpoint(run_folder)
    _check_resumable(run_folder, config, checkpoint)
    return _run(config, run_folder, checkpoint)


def _last_checkpoint(run_folder: Path) -> Checkpoint:
    """`last.pth`, or the one before where that is damaged; the damage is named."""
    weights = run_folder / "weights"
    problems = []
    for name in (LAST, PREVIOUS):
        if not (weights / name).exists():
            continue
        try:
            checkpoint = load_checkpoint(weights / name)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            logger.warning("%s; going on from %s", problem, weights / name)
        return checkpoint
    if problems:
        raise CheckpointError(f"nothing to resume: {'; '.join(problems)}")
    raise TrainingError(f"{run_folder}: nothing to resume: no weights/{LAST}; start the training anew")


def _check_resumable(run_folder: Path, config: TrainConfig, checkpoint: Checkpoint) -> None:
    if checkpoint.training is None:
        raise TrainingError(f"{run_folder}: nothing to resume: weights/{LAST} holds no training state")
    found = (checkpoint.model, checkpoint.seq_length, checkpoint.target_size)
    wanted = (config.model_config(), config.seq_length, config.target_size)
    if found != wanted:
        raise TrainingError(f"{run_folder}: holds another model: {found}, asked for {wanted}; start a new run")
    stopping = checkpoint.training["callbacks"].get("EarlyStopping", {"num_bad_epochs": 0})
    if 0 < config.early_stopping_patience <= stopping["num_bad_epochs"]:
        raise TrainingError(
            f"{run_folder}: nothing to resume: stopped early after epoch {checkpoint.training['epoch']}; "
            "raise --early_stopping_patience to go on"
        )
    if checkpoint.training["epoch"] >= config.epochs:
        raise TrainingError(
            f"{run_folder}: nothing to resume: all {config.epochs} epochs are done; raise --epochs to go on"
        )


def _run(config: TrainConfig, run_folder: Path | None, checkpoint: Checkpoint | None) -> TrainResult:
    reuse_freed_memory()
    train_sequences, val_sequences, left_out = _open_data(config)
    train_data, val_data = WindowDataset(train_sequences, config), WindowDataset(val_sequences, config)
    fabric = _make_fabric(config)
    run_folder = run_folder or make_run_folder(config)
    atomic_write_text(run_folder / "args.yaml", yaml.safe_dump(config_to_dict(config), sort_keys=False))
    torch.manual_seed(config.seed)
    model = TemporalClassifier(config.model_config()).to(fabric.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    report = ReportWriter(run_folder / "reports", config.report_interval)
    trainer = Trainer(
        fabric,
        config,
        run_folder,
        model=model,
        optimizer=optimizer,
        train_data=train_data,
        val_data=val_data,
        class_weights=_class_weights(train_data, config),
        callbacks=_make_callbacks(config, run_folder, model, optimizer, report, _usual_fps(train_sequences)),
    )
    if checkpoint is not None and checkpoint.training is not None:
        trainer.load_training_state(checkpoint.training)
    _describe(trainer, train_data, val_data, left_out)
    trainer.fit()
    weights = run_folder / "weights"
    return TrainResult(
        run_folder=run_folder,
        best=weights / BEST,
        last=weights / LAST,
        metrics=trainer.history[-1],
        report=report.latest,
        left_out=(*left_out, *sorted(trainer.damaged)),
    )


def _open_data(config: TrainConfig) -> tuple[list[LabelledSequence], list[LabelledSequence], list[str]]:
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
    return train_sequences, val_sequences, left_out


def make_run_folder(config: TrainConfig) -> Path:
    """`project/name`, or with the first free number; made by this process alone (exclusive mkdir)."""
    config.project.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = config.project / (config.name if number == 1 else f"{config.name}{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        (folder / "weights").mkdir()
        return folder
    raise AssertionError("unreachable")


def _make_fabric(config: TrainConfig) -> Any:
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # importing it has raised the level
    accelerator, _, index = config.device.partition(":")
    try:
        return Fabric(
            accelerator=accelerator,
            devices=[int(index)] if index else 1,
            precision=resolve_precision(config),
        )
    except (ValueError, RuntimeError, ImportError) as error:
        raise ConfigError(f"device {config.device!r} cannot be used: {' '.join(str(error).split())}") from error


def resolve_precision(config: TrainConfig) -> Any:
    """`auto` is bf16 where the hardware multiplies in it, float32 elsewhere."""
    if config.precision != "auto":
        return config.precision
    on_gpu = config.device.startswith(("cuda", "auto")) and torch.cuda.is_available()
    if on_gpu:
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    on_cpu = config.device == "cpu" or not torch.backends.mps.is_available()
    return "bf16-mixed" if on_cpu and torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"


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


def _describe(trainer: Trainer, train_data: WindowDataset, val_data: WindowDataset, left_out: list[str]) -> None:
    if trainer.config.positive_weight != 1 and not train_data.has_masks:
        logger.warning("positive_weight has no effect: no training sequence has masks")
    logger.info(
        "%s: %d training and %d validation windows of %d and %d sequences%s, on %s in %s",
        trainer.run_folder,
        len(train_data),
        len(val_data),
        len(train_data.sequences),
        len(val_data.sequences),
        f", {len(left_out)} left out" if left_out else "",
        trainer.fabric.device,
        trainer.fabric.strategy.precision.precision,
    )
