import csv
import json
import math
from pathlib import Path

import pytest

from convlstm.evaluation.comparison import METRICS, Comparison
from convlstm.evaluation.metrics import BinaryScores
from convlstm.evaluation.scoring import MODEL, MethodScores, SequenceScores
from convlstm.report.eval_results import WINDOW_COLUMNS, write_metrics, write_windows

pytestmark = pytest.mark.pure


def sequence(name: str, truth: bool | None, *, onset: float | None = None) -> SequenceScores:
    model = MethodScores(BinaryScores.of([0.2, 0.9], [False, True]), [0.9, 0.1], [4, 0], [False, False])
    knn = MethodScores(BinaryScores.of([0.0, 0.5], [False, True]), [0.5, 0.0], [1, 0], [True, False])
    return SequenceScores(
        name, "rain", name, truth, {MODEL: model, "knn": knn}, [0, 3], [9, 12], [0.4, 0.5], [truth, truth], onset
    )


@pytest.fixture
def comparison() -> Comparison:
    sequences = [sequence("=still", False), sequence("fire", True, onset=0.0), sequence("maybe", None)]
    return Comparison(sequences, threshold=0.5, at_recall=0.9, false_cells=3, num_resamples=50)


def test_every_figure_is_there_with_its_interval(comparison: Comparison, tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.json", comparison, {"weights": "best.pth", "left_out": ["x"]})
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["weights"] == "best.pth" and content["left_out"] == ["x"]
    assert (content["num_sequences"], content["num_groups"], content["num_windows"]) == (3, 3, 6)
    assert (content["at_recall"], content["false_cells"], content["confidence"]) == (0.9, 3, 0.95)
    assert list(content["methods"]) == [MODEL, "knn"]
    for method, figures in content["methods"].items():
        assert set(figures) == {"threshold", "by_kind", *METRICS}
        assert figures["threshold"] == comparison.thresholds[method]
        for name in METRICS:
            estimate = comparison.estimates[method][name]
            for key, value in (("value", estimate.value), ("low", estimate.low), ("high", estimate.high)):
                plain = None if math.isnan(value) else "never" if math.isinf(value) else pytest.approx(value, abs=1e-6)
                assert figures[name][key] == plain
    model = content["methods"][MODEL]
    assert model["seconds_to_detection"]["value"] == "never"
    assert content["methods"]["knn"]["seconds_to_detection"]["value"] == 0.4
    assert model["false_windows"]["value"] == 0.5
    assert model["by_kind"]["rain"]["num_static"] == 2 and model["by_kind"]["rain"]["num_dynamic"] == 2
    assert model["by_kind"]["rain"]["false_windows"]["value"] == 0.5
    assert content["methods"]["knn"]["by_kind"]["rain"]["found_windows"]["value"] == 0.5
    assert model["by_kind"]["rain"]["cell_recall"]["value"] == 1
    assert model["by_kind"]["rain"]["cell_false_positive_rate"]["value"] == 0


def test_every_window_is_there_for_every_method(comparison: Comparison, tmp_path: Path) -> None:
    write_windows(tmp_path / "windows.csv", comparison)
    rows = list(csv.reader((tmp_path / "windows.csv").read_text().splitlines()))
    assert tuple(rows[0]) == WINDOW_COLUMNS
    assert rows[1:5] == [
        ["'=still", "rain", "0", "9", "static", "model", "0.9", "4", "1"],
        ["'=still", "rain", "0", "9", "static", "knn", "0.5", "1", "0"],
        ["'=still", "rain", "3", "12", "static", "model", "0.1", "0", "0"],
        ["'=still", "rain", "3", "12", "static", "knn", "0.0", "0", "0"],
    ]
    assert [row[4] for row in rows[5:]] == ["dynamic"] * 4 + ["unknown"] * 4
    assert {row[8] for row in rows[5:]} == {"0"}
