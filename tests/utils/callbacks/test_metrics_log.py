import csv
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from convlstm.config import ModelConfig
from convlstm.evaluation.evaluate import Evaluation, Tally
from convlstm.utils.callbacks.metrics_log import MetricsLog

NO_DATA: Any = None
EVALUATION = Evaluation(ModelConfig(), NO_DATA, 0.5, Tally())


def make_row(epoch: int) -> dict[str, float]:
    return {
        "epoch": float(epoch),
        "train_loss": 0.5 / epoch,
        "val_loss": 0.6 / epoch,
        "cell_ap": math.nan,
        "lr": 1e-4,
        "seconds": 1.5,
    }


def run(folder: Path, epochs: range, *, tensorboard: bool = False, history: int | None = None) -> None:
    """A process that starts with a checkpoint of `history` epochs and does `epochs`."""
    done = epochs.start - 1 if history is None else history
    trainer: Any = SimpleNamespace(history=[make_row(epoch) for epoch in range(1, done + 1)], epoch=done)
    log = MetricsLog(folder, tensorboard=tensorboard)
    log.on_fit_start(trainer)
    for epoch in epochs:
        trainer.epoch = epoch
        trainer.history.append(make_row(epoch))
        log.on_epoch_end(trainer, trainer.history[-1], EVALUATION)
    log.on_fit_end(trainer)


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convlstm.utils.callbacks.metrics_log.training_curves", lambda history: b"picture")


@pytest.mark.usefixtures("no_picture")
def test_a_row_per_epoch_with_empty_cells_for_what_is_undefined(tmp_path: Path) -> None:
    run(tmp_path, range(1, 4))
    text = (tmp_path / "results.csv").read_text()
    assert text.splitlines()[:2] == ["epoch,train_loss,val_loss,cell_ap,lr,seconds", "1,0.5,0.6,,0.0001,1.5"]
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[2]["val_loss"] == "0.2" and rows[2]["train_loss"] == "0.166667"
    assert text.endswith("\n")


@pytest.mark.usefixtures("no_picture")
def test_rows_are_on_disk_after_each_epoch(tmp_path: Path) -> None:
    trainer: Any = SimpleNamespace(history=[], epoch=0)
    log = MetricsLog(tmp_path, tensorboard=False)
    log.on_fit_start(trainer)
    assert not (tmp_path / "results.csv").exists()
    for epoch in (1, 2):
        log.on_epoch_end(trainer, make_row(epoch), EVALUATION)
        assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + epoch


@pytest.mark.usefixtures("no_picture")
def test_resuming_takes_back_rows_that_the_checkpoint_does_not_know(tmp_path: Path) -> None:
    for name in ("stopped", "whole"):
        (tmp_path / name).mkdir()
    run(tmp_path / "stopped", range(1, 4))
    with (tmp_path / "stopped" / "results.csv").open("a") as file:
        file.write("4,0.1")  # torn by a kill
    run(tmp_path / "stopped", range(3, 6))
    run(tmp_path / "whole", range(1, 6))
    assert (tmp_path / "stopped" / "results.csv").read_text() == (tmp_path / "whole" / "results.csv").read_text()


def test_the_picture_is_a_png_and_drawn_anew(tmp_path: Path) -> None:
    run(tmp_path, range(1, 2))
    first = (tmp_path / "results.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    run(tmp_path, range(2, 4))
    assert (tmp_path / "results.png").read_bytes() != first


@pytest.mark.usefixtures("no_picture")
def test_tensorboard_reads_every_defined_scalar_once(tmp_path: Path) -> None:
    run(tmp_path, range(1, 4), tensorboard=True)
    run(tmp_path, range(3, 5), tensorboard=True)  # epoch 3 was lost and is done again
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["lr", "seconds", "train_loss", "val_loss"]
    scalars = events.Scalars("val_loss")
    assert [scalar.step for scalar in scalars] == [1, 2, 3, 4]
    assert [scalar.value for scalar in scalars] == pytest.approx([0.6, 0.3, 0.2, 0.15])


@pytest.mark.usefixtures("no_picture")
def test_no_tensorboard_no_events(tmp_path: Path) -> None:
    run(tmp_path, range(1, 2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.png"]
