"""Run folders: `runs/train/exp`, `exp2`, ..., each used by one process at a time, and what of them can be resumed."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from convlstm.config import TrainConfig
from convlstm.config_file import config_from_dict, read_yaml
from convlstm.errors import CheckpointError, TrainingError
from convlstm.models.checkpoint import Checkpoint, load_checkpoint
from convlstm.utils.callbacks.checkpoint import LAST, PREVIOUS

logger = logging.getLogger(__name__)

ARGUMENTS = "args.yaml"

SECONDS_TO_WAIT = 20.0
"""A process that was killed may leave others of its run behind for some seconds."""


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


@contextmanager
def hold_run_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run; the system frees it when this process ends, however it does.

    Raises TrainingError where another process goes on using it.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("%s is in use by another process: waiting up to %d s", folder, SECONDS_TO_WAIT)
        try:
            lock.acquire(timeout=SECONDS_TO_WAIT)
        except Timeout:
            raise TrainingError(f"{folder}: another process is training in this run: wait for it or end it") from None
    try:
        yield
    finally:
        lock.release()


def recorded_config(run_folder: Path) -> TrainConfig | None:
    """The settings that the run was last started with; None where it has recorded none.

    Raises ConfigError where they are damaged.
    """
    arguments = run_folder / ARGUMENTS
    if not arguments.is_file():
        return None
    return config_from_dict(TrainConfig, read_yaml(arguments), origin=str(arguments))


def has_checkpoint(run_folder: Path) -> bool:
    """Whether there is anything to resume, damaged or not."""
    return any((run_folder / "weights" / name).exists() for name in (LAST, PREVIOUS))


def last_checkpoint(run_folder: Path) -> Checkpoint:
    """`last.pth`, or the one before where that is damaged; the damage is named.

    Raises TrainingError where there is none, CheckpointError where none is readable.
    """
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
