import math

import numpy as np
import pytest
import torch

from convlstm.errors import DataError
from convlstm.evaluation.metrics import BinaryScores
from convlstm.evaluation.tuning import tune
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier


def checkpoint(*classes: str, **metrics: float) -> Checkpoint:
    torch.manual_seed(0)
    model = TemporalClassifier(classes=classes or ("static", "dynamic"))
    return Checkpoint(
        model.state_dict(), model.config, 4, (64, 64), 0.5, 25, metrics=metrics or None, training={"epoch": 3}
    )


def overconfident(num: int = 30_000) -> BinaryScores:
    """Scores whose logits are twice what they should be, less a half."""
    generator = np.random.RandomState(0)
    logits = generator.normal(-1, 2, num)
    return BinaryScores.of(1 / (1 + np.exp(-2 * (logits + 0.25))), generator.rand(num) < 1 / (1 + np.exp(-logits)))


NO_SCORES = BinaryScores()


def test_recall_stores_the_threshold_that_finds_so_much() -> None:
    cells = overconfident()
    tuned = tune(checkpoint(val_loss=0.3), cells, NO_SCORES, recall=0.9)
    (_, false), (missed, found) = cells.confusion(tuned.checkpoint.threshold).tolist()
    assert 0.9 <= found / (found + missed) < 0.91
    assert tuned.found == {"threshold_recall": 0.9, "threshold_precision": pytest.approx(found / (found + false))}
    assert tuned.checkpoint.metrics == {"val_loss": 0.3, **tuned.found}
    assert tuned.checkpoint.training is None
    before = checkpoint().weights
    assert all(torch.equal(tensor, before[name]) for name, tensor in tuned.checkpoint.weights.items())
    (line,) = tuned.describe()
    assert "finds 90.0% of what is dynamic" in line


def test_calibration_is_folded_in_and_noted() -> None:
    cells, given = overconfident(), checkpoint()
    tuned = tune(given, cells, NO_SCORES, calibrate=True)
    assert tuned.found["temperature"] == pytest.approx(2, rel=0.05)
    assert tuned.found["offset"] == pytest.approx(-0.25, abs=0.05)
    assert tuned.found["ece_before"] == pytest.approx(cells.calibration_error())
    assert tuned.found["ece_after"] < 0.01 and tuned.found["ece_before"] > 0.05
    assert tuned.checkpoint.metrics == tuned.found
    assert tuned.checkpoint.threshold == 0.5
    clips = torch.rand(1, 3, 3, 64, 64)
    with torch.inference_mode():
        expected = given.build_model().logits(clips) / tuned.found["temperature"] + tuned.found["offset"]
        torch.testing.assert_close(tuned.checkpoint.build_model().logits(clips), expected)
    assert tuned.describe()[0].startswith("calibrated: temperature")


def test_both_together_find_the_same_cells_on_the_new_scale() -> None:
    cells = overconfident()
    alone = tune(checkpoint(), cells, NO_SCORES, recall=0.8).checkpoint.threshold
    both = tune(checkpoint(), cells, NO_SCORES, recall=0.8, calibrate=True)
    logit = math.log(alone / (1 - alone)) / both.found["temperature"] + both.found["offset"]
    assert both.checkpoint.threshold == pytest.approx(1 / (1 + math.exp(-logit)))
    assert len(both.describe()) == 2 and {"temperature", "threshold_recall"} <= both.found.keys()


def test_a_threshold_chosen_before_moves_along() -> None:
    moved = tune(checkpoint(threshold_recall=0.9), overconfident(), NO_SCORES, calibrate=True)
    assert moved.checkpoint.threshold == pytest.approx(1 / (1 + math.exp(-moved.found["offset"])))


def test_more_classes_get_the_temperature_alone() -> None:
    tuned = tune(checkpoint("static", "dynamic", "negative"), overconfident(), NO_SCORES, calibrate=True)
    assert tuned.found["offset"] == 0
    bias = tuned.checkpoint.weights["final_classifier.bias"]
    expected = checkpoint("static", "dynamic", "negative").weights["final_classifier.bias"]
    torch.testing.assert_close(bias, expected / tuned.found["temperature"])


def test_windows_decide_where_no_cell_is_known() -> None:
    windows = BinaryScores.of([0.2, 0.6, 0.7, 0.8], [False, True, True, True])
    assert tune(checkpoint(), NO_SCORES, windows, recall=0.6).checkpoint.threshold == pytest.approx(0.7, abs=1e-3)
    static_cells = BinaryScores.of([0.1], [False])
    assert tune(checkpoint(), static_cells, windows, recall=0.6).checkpoint.threshold == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (NO_SCORES, "nothing in the validation data is dynamic"),
        (BinaryScores.of([0.0, 0.9], [True, False]), "no threshold finds 95.0%"),
    ],
)
def test_a_threshold_that_cannot_be_chosen_says_why(scores: BinaryScores, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tune(checkpoint(), scores, scores, recall=0.95)
