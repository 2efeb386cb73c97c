"""What a callback sees of the trainer, and the moments at which it is called."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch.optim import Optimizer

from convlstm.config import TrainConfig
from convlstm.evaluation.evaluate import Evaluation
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.utils.data.dataset import WindowDataset


class TrainerState(Protocol):
    """The trainer as callbacks know it.

    `epoch` counts finished epochs, `step` finished steps; `inference_model` is what validation runs and `best.pth`
    holds; setting `should_stop` ends the run after this epoch.
    """

    config: TrainConfig
    run_folder: Path
    model: TemporalClassifier
    inference_model: TemporalClassifier
    optimizer: Optimizer
    val_data: WindowDataset
    epoch: int
    step: int
    steps_per_epoch: int
    should_stop: bool
    history: list[dict[str, float]]

    def training_state(self) -> dict[str, Any]:
        """All that a resumed run needs, as tensors and plain values."""

    def resumable_state(self) -> dict[str, Any]:
        """The same, also while an epoch is being finished: then from before that began."""


class Callback:
    """Does nothing at every moment; override what you need.

    `state_dict` goes into `last.pth` under the class's name and comes back before `on_fit_start` of a resumed run.
    `only_first_process` is for callbacks that write files or to the terminal.
    """

    only_first_process = False

    def on_fit_start(self, trainer: TrainerState) -> None:
        """Before the first epoch of this process."""

    def on_step_start(self, trainer: TrainerState) -> None:
        """Before a batch."""

    def on_step_end(self, trainer: TrainerState, loss: float) -> None:
        """After an optimizer step; `trainer.step` counts it already."""

    def on_epoch_end(self, trainer: TrainerState, row: dict[str, float], evaluation: Evaluation) -> None:
        """After validation; `row` is the epoch's line in results.csv, `trainer.epoch` counts the epoch already."""

    def on_interrupt(self, trainer: TrainerState) -> None:
        """A signal, a lack of memory or a dead loader process ends the run, at any moment between two steps."""

    def on_fit_end(self, trainer: TrainerState) -> None:
        """After the last epoch, or early stopping, or an error."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values only."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
