"""`best.pth` and `last.pth`."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convlstm.atomic import remove_leftovers
from convlstm.evaluation.evaluate import Evaluation
from convlstm.models.checkpoint import Checkpoint, save_checkpoint
from convlstm.utils.callbacks.base import Callback, TrainerState

BEST, LAST, PREVIOUS = "best.pth", "last.pth", "last.previous.pth"

NOT_REPRODUCIBLE = ("epoch", "seconds", "data_wait")
"""Columns that are left out of checkpoints' metrics, so that equal training gives equal digests."""


class CheckpointSaver(Callback):
    """`best.pth` has the lowest val_loss, `last.pth` all that resuming needs.

    `last.pth` is saved at the start, after every epoch, every `checkpoint_steps` steps, after `checkpoint_minutes`, and
    when the run is interrupted. The one before is kept as `last.previous.pth`.
    """

    only_first_process = True

    def __init__(self, folder: Path, fps: float) -> None:
        self.folder = folder
        self.fps = fps
        self.best = math.inf
        self._saved_at = time.monotonic()

    def on_fit_start(self, trainer: TrainerState) -> None:
        """From here on the run can be resumed."""
        remove_leftovers(self.folder)
        if not (self.folder / LAST).exists() and not (self.folder / PREVIOUS).exists():
            self._save_last(trainer, trainer.training_state())

    def on_step_end(self, trainer: TrainerState, loss: float) -> None:
        """Save when it is due."""
        steps, minutes = trainer.config.checkpoint_steps, trainer.config.checkpoint_minutes
        is_time = minutes and time.monotonic() - self._saved_at >= 60 * minutes
        if is_time or (steps and trainer.step % steps == 0):
            self._save_last(trainer, trainer.training_state())

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        """Write both, the best first: a kill between leaves a `last.pth` that does the epoch's end again."""
        if row["val_loss"] < self.best:
            self.best = row["val_loss"]
            save_checkpoint(self.folder / BEST, self._checkpoint(trainer, trainer.history))
        self._save_last(trainer, trainer.training_state())

    def on_interrupt(self, trainer: TrainerState) -> None:
        """Save what the last step left."""
        self._save_last(trainer, trainer.resumable_state())

    def state_dict(self) -> dict[str, Any]:
        """The lowest val_loss so far."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.best = state["best"]

    def _checkpoint(self, trainer: TrainerState, history: Sequence[Mapping[str, float]]) -> Checkpoint:
        metrics = history[-1] if history else {}
        return Checkpoint(
            weights=trainer.inference_model.state_dict(),
            model=trainer.model.config,
            seq_length=trainer.config.seq_length,
            target_size=trainer.config.target_size,
            threshold=trainer.config.threshold,
            fps=self.fps,
            metrics={name: value for name, value in metrics.items() if name not in NOT_REPRODUCIBLE},
        )

    def _save_last(self, trainer: TrainerState, state: Mapping[str, Any]) -> None:
        checkpoint = replace(self._checkpoint(trainer, state["history"]), training=state)
        save_checkpoint(self.folder / LAST, checkpoint, keep_previous=self.folder / PREVIOUS)
        self._saved_at = time.monotonic()
