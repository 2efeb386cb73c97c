"""The demo with few and small sequences: what it does in which order, and what it leaves behind."""

import csv
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from convlstm import demo
from convlstm.demo import DemoResult, demo_config, run_demo
from convlstm.models.checkpoint import load_checkpoint
from convlstm.shipped import shipped_weights

pytestmark = pytest.mark.slow

NUM_TEST = 4


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoResult, Path, list[str]]:
    """The result, its folder, and what was logged."""
    output = tmp_path_factory.mktemp("demo")
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("convlstm")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    with pytest.MonkeyPatch.context() as patch:
        changes = {"target_size": (64, 64), "epochs": 1, "batch_size": 2, "lr": 0.02, "num_workers": 0, "device": "cpu"}
        small = replace(demo_config(output), **changes)  # type: ignore[arg-type]
        patch.setattr(demo, "demo_config", lambda output: small)
        patch.setattr(demo, "SIZE", (64, 64))
        patch.setattr(demo, "NUM_SEQUENCES", {"train": 4, "val": 2, "test": NUM_TEST})
        patch.setattr(demo, "NUM_FRAMES", 20)
        try:
            return run_demo(output), output, lines
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)


def figures(auc: float, average_precision: float) -> str:
    return f"sequence AUC {auc:.3f}, cell average precision {average_precision:.3f}"


def test_the_shipped_weights_are_shown_first_and_then_fine_tuned(
    finished: tuple[DemoResult, Path, list[str]],
) -> None:
    result, _, lines = finished
    before = f"shipped weights: {figures(result.shipped_sequence_auc, result.shipped_cell_ap)}"
    after = f"after fine-tuning: {figures(result.sequence_auc, result.cell_ap)}"
    begins = next(line for line in lines if line.startswith("first weights: shipped ("))
    assert lines.index(before) < lines.index(begins) < lines.index(after)
    for value in (result.sequence_auc, result.cell_ap, result.shipped_sequence_auc, result.shipped_cell_ap):
        assert 0 <= value <= 1
    assert load_checkpoint(result.weights).model == load_checkpoint(shipped_weights()).model
    assert load_checkpoint(result.weights).digest != load_checkpoint(shipped_weights()).digest


def test_both_leave_pictures_and_tables(finished: tuple[DemoResult, Path, list[str]]) -> None:
    result, output, _ = finished
    assert result.pictures == output / "results"
    probabilities = []
    for folder in (output / "results_shipped", result.pictures):
        assert len(list(folder.glob("*_result.png"))) == len(list(folder.glob("*_heatmaps.npz"))) == NUM_TEST
        with (folder / "results.csv").open(newline="") as file:
            probabilities.append([row["probability"] for row in csv.DictReader(file)])
    assert len(probabilities[0]) == NUM_TEST and probabilities[0] != probabilities[1]


def test_the_report_names_the_figures_before(finished: tuple[DemoResult, Path, list[str]]) -> None:
    result, output, _ = finished
    assert result.report == output / "report" / "report.html"
    text = result.report.read_text()
    assert f"shipped weights before fine-tuning: {figures(result.shipped_sequence_auc, result.shipped_cell_ap)}" in text
    assert f"{result.cell_ap:.4g}" in text


def test_it_is_a_short_fine_tuning_of_the_shipped_weights(tmp_path: Path) -> None:
    config = demo_config(tmp_path)
    assert (config.weights, config.epochs, config.target_size) == ("shipped", 3, demo.SIZE)
