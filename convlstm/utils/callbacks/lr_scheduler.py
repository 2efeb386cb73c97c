"""Learning rate: a linear warm-up by steps, then a schedule: plateau by epochs, cosine by steps."""

import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from convlstm.config import TrainConfig
from convlstm.evaluation.evaluate import Evaluation
from convlstm.utils.callbacks.base import Callback, TrainerState

PLATEAU_FACTOR = 0.5
PLATEAU_PATIENCE = 3


class LRScheduler(Callback):
    """Warm-up over `warmup_epochs`; then plateau (halved after 3 epochs without a better val_loss), cosine, or none."""

    def __init__(self, optimizer: Optimizer, config: TrainConfig) -> None:
        self.optimizer = optimizer
        self.config = config
        self.plateau: ReduceLROnPlateau | None = None
        if config.scheduler == "plateau":
            self.plateau = ReduceLROnPlateau(optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE)

    def on_step_start(self, trainer: TrainerState) -> None:
        """Raise the rate while the warm-up lasts; then lower it where it follows a cosine."""
        num_warmup_steps = round(self.config.warmup_epochs * trainer.steps_per_epoch)
        if trainer.step < num_warmup_steps:
            self._set_rate(trainer, self.config.lr * (trainer.step + 1) / num_warmup_steps)
        elif self.config.scheduler == "cosine":
            num_steps = self.config.epochs * trainer.steps_per_epoch - num_warmup_steps
            share_done = min(1.0, (trainer.step - num_warmup_steps) / max(1, num_steps))
            self._set_rate(trainer, self.config.lr * (1 + math.cos(math.pi * share_done)) / 2)
        elif trainer.step == num_warmup_steps:
            self._set_rate(trainer, self.config.lr)

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        """Let the schedule see the epoch, once the warm-up is over."""
        if self.plateau is not None and trainer.epoch > self.config.warmup_epochs:
            self.plateau.step(row["val_loss"])

    def state_dict(self) -> dict[str, Any]:
        """The rate it started from, and the plateau's own state; cosine needs none."""
        return {"lr": self.config.lr, "plateau": self.plateau.state_dict() if self.plateau is not None else None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the schedule; where `lr` was changed for the resumed run, from the changed rate in proportion."""
        if self.plateau is not None and state["plateau"] is not None:
            self.plateau.load_state_dict(dict(state["plateau"]))
        for group in self.optimizer.param_groups:
            group["lr"] *= self.config.lr / state["lr"]

    def _set_rate(self, trainer: TrainerState, rate: float) -> None:
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate
