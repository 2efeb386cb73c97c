import logging
from types import SimpleNamespace
from typing import Any

import pytest

from convlstm.config import ModelConfig
from convlstm.evaluation.evaluate import Evaluation, Tally
from convlstm.utils.callbacks.early_stopping import EarlyStopping

NO_DATA: Any = None
EVALUATION = Evaluation(ModelConfig(), NO_DATA, 0.5, Tally())


def run(callback: EarlyStopping, losses: list[float]) -> int | None:
    """How many epochs ran before it stopped."""
    trainer: Any = SimpleNamespace(should_stop=False)
    for epoch, loss in enumerate(losses, start=1):
        callback.on_epoch_end(trainer, {"val_loss": loss}, EVALUATION)
        if trainer.should_stop:
            return epoch
    return None


@pytest.mark.parametrize(
    ("patience", "losses", "stops_after"),
    [
        (1, [1.0, 1.0], 2),  # equal is not better
        (2, [3.0, 2.0, 2.5, 2.1, 1.0], 4),
        (2, [3.0, 3.1, 2.9, 3.0, 2.8, 2.9, 2.7], None),  # progress starts the count anew
        (3, [1.0, 2.0, 2.0], None),
        (2, [float("nan")] * 5, 2),  # never better
    ],
)
def test_stops_after_so_many_epochs_without_progress(
    patience: int, losses: list[float], stops_after: int | None
) -> None:
    assert run(EarlyStopping(patience), losses) == stops_after


def test_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(EarlyStopping(2), [0.25, 0.5, 0.5])
    assert caplog.messages == ["stopping early: no better val_loss than 0.25 in 2 epochs"]


def test_state_goes_on_counting() -> None:
    first, second = EarlyStopping(3), EarlyStopping(3)
    assert run(first, [1.0, 2.0, 2.0]) is None
    second.load_state_dict(first.state_dict())
    assert run(second, [1.5]) == 1
