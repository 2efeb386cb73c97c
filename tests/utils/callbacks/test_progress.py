import logging
from types import SimpleNamespace
from typing import Any

import pytest

from convlstm.config import ModelConfig
from convlstm.evaluation.evaluate import Evaluation, Tally
from convlstm.utils.callbacks.progress import ProgressLog

SCORES = {"epoch": 1.0, "train_loss": 0.5, "val_loss": 0.25, "cell_ap": float("nan"), "lr": 1e-4}
ROW = {**SCORES, "seconds": 3.14, "data_wait": 0.1}


def make_trainer() -> Any:
    config = SimpleNamespace(epochs=3, cache="none")
    return SimpleNamespace(config=config, epoch=0, step=0, steps_per_epoch=2, history=[])


NO_DATA: Any = None


def run_epoch(callback: ProgressLog, trainer: Any, evaluation: Evaluation) -> None:
    for _ in range(trainer.steps_per_epoch):
        callback.on_step_start(trainer)
        callback.on_step_end(trainer, 0.5)
    trainer.epoch += 1
    trainer.history.append(ROW)
    callback.on_epoch_end(trainer, ROW, evaluation)


def test_one_line_an_epoch_and_notes_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    evaluation = Evaluation(ModelConfig(), NO_DATA, 0.5, Tally(damaged=["cam1: frame 3 does not decode"]))
    callback, trainer = ProgressLog(), make_trainer()
    for _ in range(2):
        run_epoch(callback, trainer, evaluation)
    callback.on_fit_end(trainer)
    assert [message for message in caplog.messages if message.startswith("epoch")] == [
        "epoch 1/3: train_loss 0.5, val_loss 0.25 (3.1 s)",
        "epoch 2/3: train_loss 0.5, val_loss 0.25 (3.1 s)",
    ]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == evaluation.notes() and warnings[-1] == "left out: cam1: frame 3 does not decode"


def test_long_epochs_show_the_loss_on_the_way(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convlstm.progress.SECONDS_BETWEEN_LINES", 0.0)
    caplog.set_level(logging.INFO)
    run_epoch(ProgressLog(), make_trainer(), Evaluation(ModelConfig(), NO_DATA, 0.5, Tally()))
    assert caplog.messages[:2] == ["epoch 1/3 loss 0.5000: 1/2 steps", "epoch 1/3 loss 0.5000: 2/2 steps"]


def test_a_run_that_goes_on_within_an_epoch_counts_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convlstm.progress.SECONDS_BETWEEN_LINES", 0.0)
    caplog.set_level(logging.INFO)
    callback, trainer = ProgressLog(), make_trainer()
    trainer.epoch, trainer.step = 1, 3
    callback.on_step_start(trainer)
    callback.on_step_end(trainer, 0.5)
    assert caplog.messages[-1] == "epoch 2/3 loss 0.5000: 2/2 steps"


@pytest.mark.parametrize(
    ("cache", "wait", "is_said"), [("none", 0.4, True), ("none", 0.2, False), ("disk", 0.4, False)]
)
def test_long_waits_for_data_are_worth_one_word(
    caplog: pytest.LogCaptureFixture, cache: str, wait: float, is_said: bool
) -> None:
    callback, trainer = ProgressLog(), make_trainer()
    trainer.config.cache = cache
    evaluation = Evaluation(ModelConfig(), NO_DATA, 0.5, Tally())
    trainer.history = [ROW, ROW]
    for _ in range(2):
        callback.on_epoch_end(trainer, {**ROW, "data_wait": wait}, evaluation)
    hint = "training waited for data 40 % of the time: set cache to disk or ram, or more num_workers"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ([hint] if is_said else [])


def test_a_bar_on_a_terminal_is_closed_after_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    callback, trainer = ProgressLog(), make_trainer()
    callback.on_step_start(trainer)
    callback.on_step_end(trainer, 0.5)
    assert callback._bar is not None
    bar = callback._bar._bar
    on_screen = [bar.live.is_started]
    callback.on_fit_end(trainer)
    on_screen.append(bar.live.is_started)
    assert on_screen == [True, False]
    callback.on_fit_end(trainer)
    assert capsys.readouterr().out == ""
