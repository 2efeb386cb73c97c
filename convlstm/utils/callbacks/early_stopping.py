"""Stop when validation gets no better."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from convlstm.evaluation.evaluate import Evaluation
from convlstm.utils.callbacks.base import Callback, TrainerState

logger = logging.getLogger(__name__)


class EarlyStopping(Callback):
    """Ends the run after `patience` epochs without a lower val_loss."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best = math.inf
        self.num_bad_epochs = 0

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        """Count epochs without progress."""
        if row["val_loss"] < self.best:
            self.best = row["val_loss"]
            self.num_bad_epochs = 0
            return
        self.num_bad_epochs += 1
        if self.num_bad_epochs >= self.patience:
            trainer.should_stop = True
            logger.info("stopping early: no better val_loss than %.4g in %d epochs", self.best, self.patience)

    def state_dict(self) -> dict[str, Any]:
        """Best value and count."""
        return {"best": self.best, "num_bad_epochs": self.num_bad_epochs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self.best = state["best"]
        self.num_bad_epochs = state["num_bad_epochs"]
