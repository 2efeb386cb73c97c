from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from convlstm.config import ModelConfig, TrainConfig
from convlstm.evaluation.evaluate import Evaluation, Tally
from convlstm.utils.callbacks.report import ReportWriter

NO_DATA: Any = None
EVALUATION = Evaluation(ModelConfig(), NO_DATA, 0.5, Tally())


class Data(list[int]):
    """Validation windows, as many as the list is long, of two sequences."""

    sequences = ("a", "b")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each report was asked for, in place of writing it."""
    calls: list[dict[str, Any]] = []

    def write(folder: Path, evaluation: Evaluation, data: Data, **options: Any) -> Path:
        calls.append({"folder": folder.name, "evaluation": evaluation, "data": data, **options})
        return folder / "report.html"

    monkeypatch.setattr("convlstm.utils.callbacks.report.write_report", write)
    return calls


def run(writer: ReportWriter, epochs: int, *, stop_after: int | None = None) -> None:
    trainer: Any = SimpleNamespace(
        config=TrainConfig(epochs=epochs, name="exp", lr=0.25),
        run_folder=Path("runs/exp3"),
        val_data=Data(range(6)),
        history=[],
        should_stop=False,
    )
    for epoch in range(1, (stop_after or epochs) + 1):
        trainer.epoch = epoch
        trainer.history.append({"epoch": float(epoch)})
        trainer.should_stop = epoch == stop_after
        writer.on_epoch_end(trainer, trainer.history[-1], EVALUATION)


@pytest.mark.parametrize(
    ("interval", "epochs", "due"),
    [(1, 3, [1, 2, 3]), (5, 12, [5, 10, 12]), (5, 10, [5, 10]), (5, 3, [3])],
)
def test_every_interval_and_at_the_end(
    written: list[dict[str, Any]], interval: int, epochs: int, due: list[int]
) -> None:
    writer = ReportWriter(Path("reports"), interval)
    assert writer.latest is None
    run(writer, epochs)
    assert [call["folder"] for call in written] == [f"epoch_{epoch:03d}" for epoch in due]
    assert writer.latest == Path(f"reports/epoch_{due[-1]:03d}/report.html")


def test_early_stopping_is_an_end_too(written: list[dict[str, Any]]) -> None:
    run(ReportWriter(Path("reports"), 5), 20, stop_after=7)
    assert [call["folder"] for call in written] == ["epoch_005", "epoch_007"]


def test_what_the_report_is_told(written: list[dict[str, Any]]) -> None:
    run(ReportWriter(Path("reports"), 2), 2)
    [call] = written
    assert call["evaluation"] is EVALUATION and len(call["data"]) == 6
    assert call["title"] == "exp3, epoch 2"
    assert call["subtitle"] == "6 validation windows of 2 sequences"
    assert [row["epoch"] for row in call["history"]] == [1.0, 2.0]
    assert call["settings"]["lr"] == "0.25" and call["settings"]["target_size"] == "[640, 640]"
