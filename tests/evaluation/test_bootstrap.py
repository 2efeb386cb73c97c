import math
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlstm.evaluation.bootstrap import Bootstrap, Estimate
from convlstm.evaluation.metrics import BinaryScores, average_precision, bin_of, bin_probabilities, f1_score

pytestmark = pytest.mark.pure

MEASURES = {"ap": lambda positives, negatives, bins: average_precision(positives, negatives)}


def names(count: int) -> list[str]:
    return [f"s{number}" for number in range(count)]


def some_scores(count: int, seed: int = 0) -> list[BinaryScores]:
    generator = np.random.RandomState(seed)
    return [BinaryScores.of(generator.rand(50), generator.rand(50) < 0.2 + 0.1 * (i % 5)) for i in range(count)]


@given(st.integers(1, 12), st.integers(1, 40))
def test_as_many_groups_are_drawn_as_there_are(count: int, num_resamples: int) -> None:
    weights = Bootstrap(names(count), num_resamples).weights
    assert weights.shape == (num_resamples, count)
    assert (weights.sum(axis=1) == count).all()


def test_sequences_of_a_group_are_drawn_together() -> None:
    weights = Bootstrap(["a", "b", "a", "c"], 200).weights
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()
    assert (weights[:, 0] != weights[:, 1]).any()


def test_all_draws_are_the_same_again() -> None:
    np.testing.assert_array_equal(Bootstrap(names(9), 50).weights, Bootstrap(names(9), 50).weights)


def test_scores_are_those_of_drawing_and_adding_by_hand() -> None:
    scores, bootstrap = some_scores(7), Bootstrap(names(7), 300)
    found = bootstrap.scores(scores, MEASURES)["ap"]
    resampled = []
    for weights in bootstrap.weights:
        total = BinaryScores()
        for weight, item in zip(weights, scores, strict=True):
            for _ in range(weight):
                total += item
        resampled.append(total.average_precision())
    total = reduce(add, scores)
    assert found.value == pytest.approx(total.average_precision())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(resampled, (0.025, 0.975))), abs=2e-3)


def test_measures_get_the_bins_that_places_stand_for() -> None:
    scores, edge = some_scores(4), bin_of(0.6)
    measures = {
        "f1": lambda positives, negatives, bins: f1_score(positives, negatives, int(np.searchsorted(bins, edge))),
        "mean": lambda positives, negatives, bins: (
            (positives * bin_probabilities()[bins]).sum(axis=-1) / positives.sum(axis=-1)
        ),
    }
    found = Bootstrap(names(4), 20).scores(scores, measures)
    total = reduce(add, scores)
    assert found["f1"].value == pytest.approx(total.f1(0.6))
    centres = bin_probabilities()
    assert found["mean"].value == pytest.approx((total.positives * centres).sum() / total.num_positives)


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    generator, hits = np.random.RandomState(1), 0
    for _ in range(200):
        sample = generator.rand(40) < 0.3
        estimate = Bootstrap(names(40), 400).share(sample, np.ones(40))
        hits += estimate.low <= 0.3 <= estimate.high
    assert 0.88 <= hits / 200 <= 1.0


def test_more_sequences_make_the_interval_narrower() -> None:
    few, many = (Bootstrap(names(n), 500).share([1, 0] * (n // 2), np.ones(n)) for n in (10, 200))
    assert few.value == many.value == 0.5
    assert many.high - many.low < 0.5 * (few.high - few.low)


@pytest.mark.parametrize(
    ("groups", "wholes"), [(["a"], [4]), (["a", "a"], [4, 4]), (["a", "b"], [4, 0])], ids=["one", "one group", "empty"]
)
def test_one_group_has_no_interval(groups: list[str], wholes: list[int]) -> None:
    estimate = Bootstrap(groups, 100).share([1] + [0] * (len(groups) - 1), wholes)
    assert estimate.value == 1 / sum(wholes)
    assert not estimate.has_interval and math.isnan(estimate.high)


def test_what_is_undefined_stays_so() -> None:
    bootstrap = Bootstrap(["a", "b"], 100)
    assert math.isnan(bootstrap.share([0, 0], [0, 0]).value)
    assert math.isnan(bootstrap.median([math.nan, math.nan]).value)
    assert math.isnan(bootstrap.scores([BinaryScores(), BinaryScores()], MEASURES)["ap"].value)
    assert not Estimate(0.5).has_interval


def test_resamples_in_which_nothing_counts_are_left_out() -> None:
    estimate = Bootstrap(names(3), 500).share([1, 0, 0], [2, 2, 0])
    assert (estimate.low, estimate.value, estimate.high) == (0.0, 0.25, 0.5)


@given(st.lists(st.integers(0, 9) | st.just(math.inf), min_size=1, max_size=9))
def test_the_median_is_that_of_numpy(values: list[float]) -> None:
    estimate = Bootstrap(names(len(values)), 30).median(values)
    assert estimate.value == np.median(values)


def test_medians_are_resampled_and_may_be_infinite() -> None:
    estimate = Bootstrap(names(6), 500).median([1, 2, 3, math.inf, math.nan, math.nan])
    assert estimate.value == 2.5
    assert estimate.low == 1 and estimate.high == math.inf
    assert Bootstrap(names(3), 50).median([1, math.inf, math.inf]).value == math.inf
