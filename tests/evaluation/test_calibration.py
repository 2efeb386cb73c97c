import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.errors import DataError
from convlstm.evaluation.calibration import Calibration, fit_calibration
from convlstm.evaluation.metrics import BinaryScores, bin_logits
from convlstm.models.temporal_classifier import TemporalClassifier


def scores_of(temperature: float, offset: float, num: int = 40_000, seed: int = 0) -> BinaryScores:
    """Scores that logit / temperature + offset would make honest."""
    generator = np.random.RandomState(seed)
    logits = generator.normal(0, 2.5, num)
    honest = logits / temperature + offset
    return BinaryScores.of(1 / (1 + np.exp(-logits)), generator.rand(num) < 1 / (1 + np.exp(-honest)))


def likelihood(scores: BinaryScores, scale: float, offset: float) -> float:
    logits = scale * bin_logits() + offset
    high = (scores.num_positives + 1) / (scores.num_positives + 2)
    low = 1 / (scores.num_negatives + 2)
    counts = scores.positives + scores.negatives
    target = high * scores.positives + low * scores.negatives
    return float((counts * np.logaddexp(0, logits) - target * logits).sum())


@pytest.mark.pure
@pytest.mark.parametrize(("temperature", "offset"), [(1.0, 0.0), (2.5, 0.7), (0.4, -1.5), (3.0, -2.0)])
def test_what_was_distorted_is_found_and_mended(temperature: float, offset: float) -> None:
    scores = scores_of(temperature, offset)
    found = fit_calibration(scores)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.offset == pytest.approx(offset, abs=0.06)
    mended = found.apply(scores)
    assert mended.calibration_error() < 0.012
    assert (mended.num_positives, mended.num_negatives) == (scores.num_positives, scores.num_negatives)
    if temperature > 1:
        assert scores.calibration_error() > 0.05


@pytest.mark.pure
@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=4, max_size=40), st.booleans())
def test_no_neighbour_is_likelier(pairs: list[tuple[int, bool]], with_offset: bool) -> None:
    scores = BinaryScores.of([p / 100 for p, _ in pairs], [t for _, t in pairs])
    try:
        found = fit_calibration(scores, with_offset=with_offset)
    except DataError:
        return
    best = likelihood(scores, 1 / found.temperature, found.offset)
    shifts = (-0.01, 0.0, 0.01)
    for shift in shifts:
        for step in shifts if with_offset else (0.0,):
            assert likelihood(scores, 1 / found.temperature + shift, found.offset + step) >= best - 1e-7
    assert with_offset or found.offset == 0


@pytest.mark.pure
def test_perfect_separation_has_a_finite_answer() -> None:
    found = fit_calibration(BinaryScores.of([0.9] * 20 + [0.1] * 200, [True] * 20 + [False] * 200))
    assert 0.1 < found.temperature < 1 and math.isfinite(found.offset)


@pytest.mark.pure
@pytest.mark.parametrize(
    ("probabilities", "truth", "message"),
    [
        ([0.2, 0.3], [False, False], "add sequences with masks"),
        ([0.9, 0.9, 0.9, 0.1, 0.1, 0.1], [False, False, False, True, True, True], "score no higher"),
    ],
)
def test_what_cannot_be_calibrated_says_why(probabilities: list[float], truth: list[bool], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_calibration(BinaryScores.of(probabilities, truth))


@pytest.mark.pure
def test_a_threshold_moves_with_its_probability() -> None:
    calibration = Calibration(2.0, -1.0)
    before = 0.8
    logit = math.log(before / (1 - before))
    assert calibration.threshold(before) == pytest.approx(1 / (1 + math.exp(-(logit / 2 - 1))))
    scores = BinaryScores.of([0.7, 0.79, 0.81, 0.9], [True] * 4)
    moved = calibration.apply(scores).confusion(calibration.threshold(before))
    np.testing.assert_array_equal(moved, scores.confusion(before))


def test_folding_gives_the_network_calibrated_logits() -> None:
    torch.manual_seed(0)
    model, folded = TemporalClassifier(), TemporalClassifier()
    weights = model.state_dict()
    before = {name: tensor.clone() for name, tensor in weights.items()}
    folded.load_state_dict(Calibration(1.7, -0.4).fold(weights))
    clips = torch.rand(2, 3, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(folded.logits(clips), model.logits(clips) / 1.7 - 0.4)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
