import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convlstm.config import ModelConfig, TrainConfig
from convlstm.evaluation.evaluate import Evaluation, Tally
from convlstm.models.checkpoint import load_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.utils.callbacks.checkpoint import BEST, LAST, PREVIOUS, CheckpointSaver

NO_DATA: Any = None
EVALUATION = Evaluation(ModelConfig(), NO_DATA, 0.5, Tally())


class Run:
    """A trainer whose weights say which epoch they are of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model, self.average = TemporalClassifier(stem="motion"), TemporalClassifier(stem="motion")
        self.saver = CheckpointSaver(folder, fps=12.5)
        self.trainer: Any = SimpleNamespace(
            config=TrainConfig(seq_length=7, target_size=(64, 96), threshold=0.3),
            model=self.model,
            inference_model=self.average,
            epoch=0,
            step=0,
            history=[],
            training_state=self.state,
            resumable_state=self.state,
        )

    def state(self) -> dict[str, Any]:
        return {
            "epoch": self.trainer.epoch,
            "step": self.trainer.step,
            "weights": self.model.state_dict(),
            "history": list(self.trainer.history),
        }

    def epoch(self, val_loss: float) -> None:
        self.trainer.epoch += 1
        with torch.no_grad():
            for model, value in ((self.model, self.trainer.epoch), (self.average, -self.trainer.epoch)):
                assert model.final_classifier.bias is not None
                model.final_classifier.bias.fill_(value)
        row = {"epoch": float(self.trainer.epoch), "val_loss": val_loss, "cell_ap": 0.5, "seconds": 3.0}
        self.trainer.history.append(row)
        self.saver.on_epoch_end(self.trainer, row, EVALUATION)

    def epochs_on_disk(self) -> dict[str, int]:
        return {
            path.name: -int(load_checkpoint(path).weights["final_classifier.bias"].item())
            for path in self.folder.glob("*.pth")
        }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_best_has_the_lowest_loss_and_last_is_the_last(run: Run) -> None:
    run.epoch(0.5)
    assert run.epochs_on_disk() == {BEST: 1, LAST: 1}
    run.epoch(0.4)
    assert run.epochs_on_disk() == {BEST: 2, LAST: 2, PREVIOUS: 1}
    run.epoch(0.4)  # equal is not better
    run.epoch(0.6)
    assert run.epochs_on_disk() == {BEST: 2, LAST: 4, PREVIOUS: 3}


def test_best_is_for_detection_and_last_for_resuming(run: Run) -> None:
    run.epoch(0.5)
    best, last = load_checkpoint(run.folder / BEST), load_checkpoint(run.folder / LAST)
    assert best.training is None
    assert last.training is not None and last.training["epoch"] == 1
    assert last.training["weights"]["final_classifier.bias"].item() == 1  # trained weights, beside their average
    for checkpoint in (best, last):
        assert checkpoint.weights["final_classifier.bias"].item() == -1
        assert (checkpoint.seq_length, checkpoint.target_size, checkpoint.threshold) == (7, (64, 96), 0.3)
        assert (checkpoint.fps, checkpoint.model.stem) == (12.5, "motion")
        assert checkpoint.metrics == {"val_loss": 0.5, "cell_ap": 0.5}


def test_state_remembers_the_best(run: Run) -> None:
    run.epoch(0.3)
    resumed = CheckpointSaver(run.folder, fps=25)
    resumed.load_state_dict(run.saver.state_dict())
    run.saver = resumed
    run.epoch(0.4)
    assert run.epochs_on_disk() == {BEST: 1, LAST: 2, PREVIOUS: 1}


def test_a_loss_that_is_not_a_number_is_never_best(run: Run) -> None:
    run.epoch(float("nan"))
    run.epoch(0.9)
    run.epoch(float("nan"))
    assert run.epochs_on_disk() == {BEST: 2, LAST: 3, PREVIOUS: 2}


def test_a_full_disk_leaves_what_was_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.epoch(0.5)
    before = run.epochs_on_disk()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        run.epoch(0.4)
    monkeypatch.undo()
    assert run.epochs_on_disk() == before
    assert sorted(path.name for path in run.folder.iterdir()) == [BEST, LAST]


def settings(run: Run, **changes: Any) -> None:
    run.trainer.config = replace(run.trainer.config, **changes)


def step(run: Run) -> None:
    run.trainer.step += 1
    run.saver.on_step_end(run.trainer, 0.1)


def saved_step(run: Run) -> int:
    training = load_checkpoint(run.folder / LAST).training
    assert training is not None
    return int(training["step"])


def test_a_run_can_be_resumed_from_its_very_start(run: Run) -> None:
    leftover = run.folder / f".{LAST}.{2**22 + 1}.tmp"  # of a process that is no more: Linux counts to 2**22
    leftover.write_bytes(b"half")
    run.saver.on_fit_start(run.trainer)
    assert saved_step(run) == 0 and not leftover.exists()
    run.trainer.step = 7
    run.saver.on_fit_start(run.trainer)
    assert saved_step(run) == 0  # what is there is not written over


def test_last_is_saved_every_so_many_steps(run: Run) -> None:
    settings(run, checkpoint_steps=3, checkpoint_minutes=0)
    found = []
    for _ in range(7):
        step(run)
        found.append(saved_step(run) if (run.folder / LAST).exists() else 0)
    assert found == [0, 0, 3, 3, 3, 6, 6]
    assert run.saver.best == math.inf and not (run.folder / BEST).exists()


def test_last_is_saved_after_so_many_minutes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    run.saver = CheckpointSaver(run.folder, fps=25)
    settings(run, checkpoint_minutes=2.0)
    step(run)
    assert not (run.folder / LAST).exists()
    now += 120
    step(run)
    assert saved_step(run) == 2
    now += 119
    step(run)
    assert saved_step(run) == 2
    settings(run, checkpoint_minutes=0.0)
    now += 10_000
    step(run)
    assert saved_step(run) == 2


def test_an_interrupted_epoch_end_is_saved_as_it_was_before(run: Run) -> None:
    run.trainer.resumable_state = lambda: {**run.state(), "step": 41}
    run.saver.on_interrupt(run.trainer)
    assert saved_step(run) == 41
