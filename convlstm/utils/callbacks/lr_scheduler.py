"""Learning rate: a linear warm-up by steps, then a schedule by epochs."""

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from convlstm.config import TrainConfig
from convlstm.evaluation.evaluate import Evaluation
from convlstm.utils.callbacks.base import Callback, TrainerState

PLATEAU_FACTOR = 0.5
PLATEAU_PATIENCE = 3


class LRScheduler(Callback):
    """Warm-up over `warmup_epochs`; then plateau (halved after 3 epochs without a better val_loss), cosine, or none."""

    def __init__(self, optimizer: Optimizer, config: TrainConfig) -> None:
        self.config = config
        self.scheduler: ReduceLROnPlateau | CosineAnnealingLR | None = None
        if config.scheduler == "plateau":
            self.scheduler = ReduceLROnPlateau(optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE)
        elif config.scheduler == "cosine":
            self.scheduler = CosineAnnealingLR(optimizer, T_max=config.epochs)

    def on_step_start(self, trainer: TrainerState) -> None:
        """Raise the rate while the warm-up lasts."""
        num_warmup_steps = round(self.config.warmup_epochs * trainer.steps_per_epoch)
        if trainer.step < num_warmup_steps:
            self._set_rate(trainer, self.config.lr * (trainer.step + 1) / num_warmup_steps)
        elif trainer.step == num_warmup_steps:
            self._set_rate(trainer, self.config.lr)

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        """Let the schedule see the epoch, once the warm-up is over."""
        if trainer.epoch <= self.config.warmup_epochs:
            return
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(row["val_loss"])
        elif self.scheduler is not None:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """The schedule's own state."""
        return dict(self.scheduler.state_dict()) if self.scheduler is not None else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the schedule."""
        if self.scheduler is not None:
            self.scheduler.load_state_dict(dict(state))

    def _set_rate(self, trainer: TrainerState, rate: float) -> None:
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate
