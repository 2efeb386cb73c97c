from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convlstm.config import TrainConfig
from convlstm.evaluation.evaluate import Evaluation
from convlstm.models.checkpoint import load_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.utils.callbacks.checkpoint import BEST, LAST, PREVIOUS, CheckpointSaver

EVALUATION = Evaluation(("static", "dynamic"), 0.5)


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
            training_state=lambda: {"epoch": self.trainer.epoch, "weights": self.model.state_dict()},
        )

    def epoch(self, val_loss: float) -> None:
        self.trainer.epoch += 1
        with torch.no_grad():
            for model, value in ((self.model, self.trainer.epoch), (self.average, -self.trainer.epoch)):
                assert model.final_classifier.bias is not None
                model.final_classifier.bias.fill_(value)
        row = {"epoch": float(self.trainer.epoch), "val_loss": val_loss, "cell_ap": 0.5, "seconds": 3.0}
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
