"""Exponential moving average of the weights."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.utils.callbacks.base import Callback, TrainerState


class EMA(Callback):
    """Averages the weights after every step; validation and `best.pth` use the average.

    The decay rises with the steps, (1 + n) / (10 + n) at first, so that the random start is soon forgotten.
    """

    def __init__(self, model: TemporalClassifier, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
            count = int(num_averaged)
            return averaged.lerp(current, 1 - min(decay, (1 + count) / (10 + count)))

        self.averaged = AveragedModel(model, avg_fn=average)

    @property
    def model(self) -> TemporalClassifier:
        """The network with averaged weights."""
        assert isinstance(self.averaged.module, TemporalClassifier)
        return self.averaged.module

    def on_fit_start(self, trainer: TrainerState) -> None:
        """From here on the average is what validation runs."""
        trainer.inference_model = self.model

    def on_step_end(self, trainer: TrainerState, loss: float) -> None:
        """Take the new weights in."""
        self.averaged.update_parameters(trainer.model)

    def state_dict(self) -> dict[str, Any]:
        """Averaged weights and their count."""
        return dict(self.averaged.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on averaging."""
        self.averaged.load_state_dict(dict(state))
