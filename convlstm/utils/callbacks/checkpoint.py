"""`best.pth` and `last.pth`."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convlstm.evaluation.evaluate import Evaluation
from convlstm.models.checkpoint import Checkpoint, save_checkpoint
from convlstm.utils.callbacks.base import Callback, TrainerState

BEST, LAST, PREVIOUS = "best.pth", "last.pth", "last.previous.pth"


class CheckpointSaver(Callback):
    """Saves after every epoch; `best.pth` has the lowest val_loss, `last.pth` all that resuming needs.

    The `last.pth` before is kept as `last.previous.pth`.
    """

    def __init__(self, folder: Path, fps: float) -> None:
        self.folder = folder
        self.fps = fps
        self.best = math.inf

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        """Write both, the best first: a kill between leaves a `last.pth` that does the epoch again."""
        metrics = {name: value for name, value in row.items() if name not in ("epoch", "seconds")}
        checkpoint = Checkpoint(
            weights=trainer.inference_model.state_dict(),
            model=trainer.model.config,
            seq_length=trainer.config.seq_length,
            target_size=trainer.config.target_size,
            threshold=trainer.config.threshold,
            fps=self.fps,
            metrics=metrics,
        )
        if row["val_loss"] < self.best:
            self.best = row["val_loss"]
            save_checkpoint(self.folder / BEST, checkpoint)
        save_checkpoint(
            self.folder / LAST,
            Checkpoint(**{**vars(checkpoint), "training": trainer.training_state()}),
            keep_previous=self.folder / PREVIOUS,
        )

    def state_dict(self) -> dict[str, Any]:
        """The lowest val_loss so far."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.best = state["best"]
