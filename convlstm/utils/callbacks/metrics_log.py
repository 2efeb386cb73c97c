"""`results.csv`, `results.png` and TensorBoard events."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convlstm.atomic import atomic_write, atomic_write_text
from convlstm.evaluation.evaluate import Evaluation
from convlstm.report.plots import training_curves
from convlstm.utils.callbacks.base import Callback, TrainerState

logger = logging.getLogger(__name__)


class MetricsLog(Callback):
    """A row per epoch, appended and flushed; the picture is drawn anew after every epoch."""

    only_first_process = True

    def __init__(self, folder: Path, *, tensorboard: bool) -> None:
        self.path = folder / "results.csv"
        self.picture = folder / "results.png"
        self.tensorboard = tensorboard
        self._writer: Any = None

    def on_fit_start(self, trainer: TrainerState) -> None:
        """Bring results.csv to the state of the checkpoint: a killed run may have written a row more."""
        if trainer.history:
            atomic_write_text(self.path, _csv_text(trainer.history))
        if self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.path.parent), purge_step=trainer.epoch + 1)

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        """Append the row, draw the curves, log the scalars."""
        is_new = not self.path.exists()
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_csv_text([row]) if is_new else _csv_text([row]).partition("\n")[2])
        with atomic_write(self.picture) as file:
            file.write(training_curves(trainer.history))
        if self._writer is not None:
            for name, value in row.items():
                if name != "epoch" and not math.isnan(value):
                    self._writer.add_scalar(name, value, trainer.epoch)
            self._writer.flush()

    def on_fit_end(self, trainer: TrainerState) -> None:
        """Close the event file."""
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as error:  # what ended the run is said elsewhere, and must not be hidden by this
                logger.warning("TensorBoard events are incomplete: %s", error.strerror)


def _csv_text(rows: Sequence[dict[str, float]]) -> str:
    lines = [",".join(rows[0])]
    lines += [",".join(_cell(value) for value in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
