import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from knee_i2m2.evaluation.statistics.precision_recall import average_precision

random = np.random.default_rng(0)
TRUTH = random.integers(2, size=200)
TIED = random.integers(6, size=200) + TRUTH


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 6, 10_000]))
def test_average_precision_equals_sklearn_with_ties_and_weights(seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    truth, score, weight = random.integers(2, size=40), random.integers(levels, size=40), random.random(40)
    truth[:2] = [0, 1]
    assert average_precision(truth, score) == pytest.approx(average_precision_score(truth, score), abs=1e-12)
    theirs = average_precision_score(truth, score, sample_weight=weight)
    assert average_precision(truth, score, weight) == pytest.approx(theirs, abs=1e-12)


def test_it_is_the_mean_precision_of_the_positives() -> None:
    precision = [TRUTH[score <= TIED].mean() for score in TIED[TRUTH == 1]]
    assert average_precision(TRUTH, TIED) == pytest.approx(np.mean(precision), abs=1e-12)


def test_every_column_of_weights_is_a_replicate_of_its_own() -> None:
    weights = random.multinomial(200, np.full(200, 1 / 200), size=130).T  # more than one block
    looped = [average_precision_score(np.repeat(TRUTH, w), np.repeat(TIED, w)) for w in weights.T]
    np.testing.assert_allclose(average_precision(TRUTH, TIED, weights), looped, atol=1e-12)


def test_a_perfect_score_has_one_and_a_constant_one_the_prevalence() -> None:
    assert average_precision(TRUTH, TRUTH) == 1
    assert average_precision(TRUTH, np.zeros(200)) == pytest.approx(TRUTH.mean())


def test_small_or_unsigned_integers_do_not_overflow() -> None:
    truth, score = np.repeat([0, 1], 50_000), np.repeat([0, 1], 50_000).astype(np.uint8)
    weights = np.full((100_000, 1), 3, dtype=np.int8)
    assert average_precision(truth, score, weights) == pytest.approx([1.0])


def test_one_class_is_not_estimable() -> None:
    assert np.isnan(average_precision(np.ones(5, dtype=int), np.arange(5)))
    assert np.isnan(average_precision(np.zeros(5, dtype=int), np.arange(5)))
    assert np.isnan(average_precision(np.array([0, 1]), np.arange(2), np.array([1, 0])))
    assert np.isnan(average_precision(np.array([0, 1]), np.arange(2), np.array([0, 1])))
    assert np.isnan(average_precision(np.empty(0, dtype=int), np.empty(0)))


def test_unknown_truth_is_ignored() -> None:
    with_unknown = np.concatenate([TRUTH, np.full(20, -1)])
    score = np.concatenate([TIED, random.integers(9, size=20)])
    assert average_precision(with_unknown, score) == average_precision(TRUTH, TIED)


def test_only_the_order_of_scores_matters_and_not_that_of_samples() -> None:
    assert average_precision(TRUTH, np.exp(TIED / 3)) == average_precision(TRUTH, TIED)
    order = random.permutation(200)
    assert average_precision(TRUTH[order], TIED[order]) == pytest.approx(average_precision(TRUTH, TIED), abs=1e-12)
