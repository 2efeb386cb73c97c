"""Progress of training on the terminal or in the log."""

import logging

from convlstm.evaluation.evaluate import Evaluation, describe_metrics
from convlstm.progress import Progress
from convlstm.utils.callbacks.base import Callback, TrainerState

logger = logging.getLogger(__name__)

LONG_WAIT = 0.25
"""Share of the time from which waiting for data is worth a word."""


class ProgressLog(Callback):
    """A bar per epoch, and a line at its end."""

    only_first_process = True

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._has_hinted = False

    def on_step_start(self, trainer: TrainerState) -> None:
        """Open the bar at an epoch's first step."""
        if self._bar is None:
            name = f"epoch {trainer.epoch + 1}/{trainer.config.epochs}"
            self._bar = Progress(name, trainer.steps_per_epoch, "steps").__enter__()
            num_done = trainer.step - trainer.epoch * trainer.steps_per_epoch  # by the run that this one goes on with
            if num_done > 0:
                self._bar.advance(num_done)

    def on_step_end(self, trainer: TrainerState, loss: float) -> None:
        """Show the loss of the step."""
        if self._bar is not None:
            self._bar.advance(note=f"loss {loss:.4f}")

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        """One line for the epoch, and what validation could not tell, once."""
        self._close()
        shown = {name: value for name, value in row.items() if name not in ("epoch", "lr", "seconds", "data_wait")}
        logger.info(
            "epoch %d/%d: %s (%.1f s)", trainer.epoch, trainer.config.epochs, describe_metrics(shown), row["seconds"]
        )
        if row["data_wait"] > LONG_WAIT and trainer.config.cache == "none" and not self._has_hinted:
            self._has_hinted = True
            logger.warning(
                "training waited for data %.0f %% of the time: set cache to disk or ram, or more num_workers",
                100 * row["data_wait"],
            )
        if len(trainer.history) == 1:
            for note in evaluation.notes():
                logger.warning(note)

    def on_fit_end(self, trainer: TrainerState) -> None:
        """Leave the terminal as it was."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
