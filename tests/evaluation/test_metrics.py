import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    jaccard_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from convlstm.evaluation.metrics import (
    BINS_PER_UNIT,
    LOGIT_LIMIT,
    NUM_BINS,
    BinaryScores,
    average_precision,
    bin_of,
    bin_probabilities,
    calibration_error,
    f1_score,
    intersection_over_union,
    precision_at_recall,
    roc_auc,
    threshold_of_bin,
)

pytestmark = pytest.mark.pure

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Data = tuple[Floats, Bools]

# A grid coarser than the bins: what ties here ties there.
grid = st.integers(0, 200).map(lambda step: step / 200)


def arrays(pairs: list[tuple[float, bool]]) -> Data:
    return np.array([p for p, _ in pairs]), np.array([t for _, t in pairs], dtype=bool)


data = st.lists(st.tuples(grid, st.booleans()), max_size=60).map(arrays)
both_kinds = data.filter(lambda pair: bool(pair[1].any()) and not pair[1].all())


def calibrated(num: int, seed: int = 0) -> Data:
    generator = np.random.RandomState(seed)
    probabilities = 1 / (1 + np.exp(-3 * generator.randn(num)))
    return probabilities, generator.rand(num) < probabilities


@given(both_kinds)
def test_ranking_scores_are_those_of_sklearn(pair: Data) -> None:
    probabilities, truth = pair
    scores = BinaryScores.of(probabilities, truth)
    assert scores.average_precision() == pytest.approx(average_precision_score(truth, probabilities), abs=1e-9)
    assert scores.auc() == pytest.approx(roc_auc_score(truth, probabilities), abs=1e-9)


@given(both_kinds, st.sampled_from([0.3, 0.5, 0.7, 0.905]))
def test_decisions_are_those_of_sklearn(pair: Data, threshold: float) -> None:
    probabilities, truth = pair
    scores = BinaryScores.of(probabilities, truth)
    predicted = probabilities >= threshold
    np.testing.assert_array_equal(scores.confusion(threshold), confusion_matrix(truth, predicted, labels=[False, True]))
    assert scores.f1(threshold) == pytest.approx(sklearn_metrics.f1_score(truth, predicted, zero_division=0), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_large_continuous_data_agrees_to_a_thousandth(seed: int) -> None:
    probabilities, truth = calibrated(20_000, seed)
    scores = BinaryScores.of(probabilities.astype(np.float32), truth)
    assert scores.average_precision() == pytest.approx(average_precision_score(truth, probabilities), abs=1e-3)
    assert scores.auc() == pytest.approx(roc_auc_score(truth, probabilities), abs=1e-3)
    for threshold in (0.1, 0.3, 0.5, 0.77, 0.95):
        assert scores.f1(threshold) == pytest.approx(
            sklearn_metrics.f1_score(truth, probabilities >= threshold), abs=1e-3
        )


@given(both_kinds)
def test_the_curve_is_that_of_sklearn(pair: Data) -> None:
    probabilities, truth = pair
    precision, recall = BinaryScores.of(probabilities, truth).precision_recall()
    expected_precision, expected_recall, _ = precision_recall_curve(truth, probabilities)
    np.testing.assert_allclose(precision[::-1], expected_precision[:-1])
    np.testing.assert_allclose(recall[::-1], expected_recall[:-1])


@given(data, data)
def test_a_sum_is_the_scores_of_all_data(first: Data, second: Data) -> None:
    joined = BinaryScores.of(np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]]))
    total = BinaryScores.of(*first) + BinaryScores.of(*second)
    np.testing.assert_array_equal(total.positives, joined.positives)
    np.testing.assert_array_equal(total.negatives, joined.negatives)
    assert total.num_positives + total.num_negatives == len(first[0]) + len(second[0])


def test_empty_scores_add_nothing() -> None:
    scores = BinaryScores.of(*calibrated(50))
    assert (BinaryScores() + scores).auc() == scores.auc()


def test_shapes_do_not_matter() -> None:
    probabilities, truth = calibrated(24)
    shaped = BinaryScores.of(probabilities.reshape(2, 3, 4), truth.reshape(2, 3, 4))
    np.testing.assert_array_equal(shaped.positives, BinaryScores.of(probabilities, truth).positives)


@pytest.mark.parametrize("truth", [[True, True], [False, False], []])
def test_ranking_one_kind_is_undefined(truth: list[bool]) -> None:
    scores = BinaryScores.of([0.2, 0.9][: len(truth)], truth)
    assert not scores.is_defined
    assert math.isnan(scores.average_precision()) and math.isnan(scores.auc())
    assert math.isnan(scores.f1(0.5)) == (True not in truth)


def test_f1_is_zero_where_nothing_is_found() -> None:
    assert BinaryScores.of([0.1, 0.9], [True, False]).f1(0.5) == 0.0


@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.7, 0.1, 0.9, 0.25, 0.75, 0.05, 0.95])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_probability_at_the_threshold_counts_as_dynamic(threshold: float, kind: type[np.floating]) -> None:
    scores = BinaryScores.of(np.array([threshold, threshold - 0.02], dtype=kind), [True, True])
    assert scores.confusion(threshold).tolist() == [[0, 0], [1, 1]]


@given(st.integers(-256, 256))
def test_float32_does_not_push_a_probability_below_its_threshold(edge: int) -> None:
    """Thresholds on the edge of a bin, the worst case."""
    threshold = 1 / (1 + math.exp(-edge / BINS_PER_UNIT))
    assert BinaryScores.of(np.array([threshold], dtype=np.float32), [True]).confusion(threshold).tolist() == [
        [0, 0],
        [0, 1],
    ]


def test_a_bin_ends_at_one_half() -> None:
    half_a_bin_below = 1 / (1 + math.exp(0.5 / BINS_PER_UNIT))
    scores = BinaryScores.of([0.5, half_a_bin_below], [True, True])
    assert scores.confusion(0.5).tolist() == [[0, 0], [1, 1]]


def test_certain_probabilities_are_counted_in_the_outermost_bins() -> None:
    scores = BinaryScores.of([0.0, 1.0, 1e-30, 1 - 1e-16], [False, True, True, False])
    assert scores.negatives[0] == scores.negatives[-1] == scores.positives[0] == scores.positives[-1] == 1
    assert len(scores.positives) == NUM_BINS == 2 * LOGIT_LIMIT * BINS_PER_UNIT
    assert scores.auc() == pytest.approx(0.5)
    mean, share, count = scores.reliability()
    assert mean[[0, 9]] == pytest.approx([0, 1], abs=1e-6)
    assert share[[0, 9]].tolist() == [0.5, 0.5] and count.tolist() == [2, *[0] * 8, 2]
    assert scores.calibration_error() == pytest.approx(0.5, abs=1e-6)


def plain_reliability(probabilities: Floats, truth: Bools, num_bins: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    group = np.minimum((probabilities * num_bins).astype(int), num_bins - 1)
    counts = np.array([(group == i).sum() for i in range(num_bins)])
    mean = np.array([probabilities[group == i].mean() if counts[i] else np.nan for i in range(num_bins)])
    share = np.array([truth[group == i].mean() if counts[i] else np.nan for i in range(num_bins)])
    return mean, share, counts


# Away from the edges of reliability bins, where a histogram may put a sample on the other side.
off_edges = st.lists(
    st.tuples(st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda p: (10 * p[0] + p[1]) / 100), st.booleans()),
    min_size=1,
).map(arrays)


@given(off_edges)
def test_reliability_is_that_of_a_plain_computation(pair: Data) -> None:
    probabilities, truth = pair
    scores = BinaryScores.of(probabilities, truth)
    mean, share, count = scores.reliability(10)
    expected_mean, expected_share, expected_count = plain_reliability(probabilities, truth, 10)
    np.testing.assert_array_equal(count, expected_count)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-3)
    np.testing.assert_allclose(share, expected_share)
    error = np.nansum(np.abs(expected_mean - expected_share) * expected_count) / expected_count.sum()
    assert scores.calibration_error() == pytest.approx(error, abs=1e-3)


def test_calibration_error_tells_honest_from_overconfident() -> None:
    probabilities, truth = calibrated(20_000)
    honest = BinaryScores.of(probabilities, truth).calibration_error()
    overconfident = BinaryScores.of(probabilities**3 / (probabilities**3 + (1 - probabilities) ** 3), truth)
    assert honest < 0.015
    assert overconfident.calibration_error() > 0.08
    assert math.isnan(BinaryScores().calibration_error())


def test_repr_counts() -> None:
    assert repr(BinaryScores.of([0.1, 0.2, 0.3], [True, False, False])) == "BinaryScores(1 positives, 2 negatives)"


recalls = st.floats(0.01, 1.0)


@given(both_kinds, recalls)
def test_precision_at_recall_is_that_of_the_highest_threshold_that_finds_enough(pair: Data, recall: float) -> None:
    probabilities, truth = pair
    scores = BinaryScores.of(probabilities, truth)
    precision, found, _ = precision_recall_curve(truth, probabilities)
    expected = precision[np.flatnonzero(found >= recall - 1e-12)[-1]]
    assert scores.precision_at_recall(recall) == pytest.approx(expected)


@given(both_kinds, recalls)
def test_the_threshold_for_a_recall_finds_enough_and_no_higher_one_does(pair: Data, recall: float) -> None:
    probabilities, truth = pair
    scores = BinaryScores.of(probabilities, truth)
    threshold = scores.threshold_at_recall(recall)
    positives = probabilities[truth]
    assert (positives >= threshold).mean() >= recall - 1e-12
    higher = positives[positives >= threshold].min() + 1e-3
    assert (positives >= higher).mean() < recall
    if threshold:
        (_, _), (missed, found) = scores.confusion(threshold).tolist()
        assert (missed, found) == ((positives < threshold).sum(), (positives >= threshold).sum())


def test_a_recall_that_only_all_bins_reach_has_threshold_0() -> None:
    scores = BinaryScores.of([0.0, 0.9, 0.5], [True, True, False])
    assert scores.threshold_at_recall(0.5) == pytest.approx(0.9, abs=1e-3)
    assert scores.threshold_at_recall(1.0) == 0
    assert math.isnan(BinaryScores.of([0.5], [False]).threshold_at_recall(0.5))


@given(st.integers(1, NUM_BINS - 1))
def test_a_threshold_of_a_bin_is_its_lower_edge(edge: int) -> None:
    threshold = threshold_of_bin(edge)
    assert bin_of(threshold) == edge
    logit = math.log(threshold / (1 - threshold))
    assert bin_of(1 / (1 + math.exp(0.5 / BINS_PER_UNIT - logit))) == edge - 1


@given(both_kinds, st.sampled_from([0.3, 0.5, 0.7]))
def test_iou_is_that_of_sklearn(pair: Data, threshold: float) -> None:
    probabilities, truth = pair
    expected = jaccard_score(truth, probabilities >= threshold, zero_division=0)
    assert BinaryScores.of(probabilities, truth).iou(threshold) == pytest.approx(expected)


@given(both_kinds)
def test_the_roc_curve_is_that_of_sklearn(pair: Data) -> None:
    probabilities, truth = pair
    false_rate, true_rate = BinaryScores.of(probabilities, truth).roc()
    expected_false, expected_true, _ = roc_curve(truth, probabilities, drop_intermediate=False)
    np.testing.assert_allclose(false_rate, expected_false[1:])
    np.testing.assert_allclose(true_rate, expected_true[1:])


@given(st.lists(data, min_size=1, max_size=4))
def test_figures_of_many_histograms_at_once_are_those_of_each(pairs: list[Data]) -> None:
    scores = [BinaryScores.of(*pair) for pair in pairs]
    positives, negatives = np.stack([s.positives for s in scores]), np.stack([s.negatives for s in scores])
    edge, centres = bin_of(0.5), bin_probabilities()
    for found, expected in (
        (average_precision(positives, negatives), [s.average_precision() for s in scores]),
        (roc_auc(positives, negatives), [s.auc() for s in scores]),
        (precision_at_recall(positives, negatives, 0.8), [s.precision_at_recall(0.8) for s in scores]),
        (f1_score(positives, negatives, edge), [s.f1(0.5) for s in scores]),
        (intersection_over_union(positives, negatives, edge), [s.iou(0.5) for s in scores]),
        (calibration_error(positives, negatives, centres), [s.calibration_error() for s in scores]),
    ):
        np.testing.assert_allclose(found, expected)
        assert found.shape == (len(scores),)
