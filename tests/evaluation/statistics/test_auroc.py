import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from knee_i2m2.evaluation.statistics.auroc import auroc

random = np.random.default_rng(0)
TRUTH = random.integers(2, size=200)
TIED = random.integers(6, size=200) + TRUTH


def test_auroc_equals_sklearn_with_ties_and_weights() -> None:
    weight = random.random(200)
    assert auroc(TRUTH, TIED) == pytest.approx(roc_auc_score(TRUTH, TIED), abs=1e-12)
    assert auroc(TRUTH, TIED, weight) == pytest.approx(roc_auc_score(TRUTH, TIED, sample_weight=weight), abs=1e-12)


def test_auroc_is_the_share_of_pairs_that_the_positive_wins() -> None:
    positive, negative = TIED[TRUTH == 1][:, None], TIED[TRUTH == 0][None]
    pairs = (positive > negative) + 0.5 * (positive == negative)
    assert auroc(TRUTH, TIED) == pytest.approx(pairs.mean(), abs=1e-12)


def test_every_column_of_weights_is_a_replicate_of_its_own() -> None:
    weights = random.multinomial(200, np.full(200, 1 / 200), size=130).T  # more than one block
    looped = [roc_auc_score(np.repeat(TRUTH, w), np.repeat(TIED, w)) for w in weights.T]
    np.testing.assert_allclose(auroc(TRUTH, TIED, weights), looped, atol=1e-12)


def test_small_integer_weights_do_not_overflow() -> None:
    truth, score = np.repeat([0, 1], 50_000), np.repeat([0, 1], 50_000)
    weights = np.full((100_000, 1), 3, dtype=np.int8)
    assert auroc(truth, score, weights) == pytest.approx([1.0])


def test_one_class_is_not_estimable() -> None:
    assert np.isnan(auroc(np.ones(5, dtype=int), np.arange(5)))
    assert np.isnan(auroc(np.array([0, 1]), np.arange(2), np.array([1, 0])))  # its only positive has no weight
    assert np.isnan(auroc(np.empty(0, dtype=int), np.empty(0)))


def test_unknown_truth_is_ignored() -> None:
    with_unknown = np.concatenate([TRUTH, np.full(20, -1)])
    assert auroc(with_unknown, np.concatenate([TIED, random.integers(9, size=20)])) == auroc(TRUTH, TIED)


def test_only_the_order_of_scores_matters() -> None:
    assert auroc(TRUTH, np.exp(TIED / 3)) == auroc(TRUTH, TIED)
    assert auroc(TRUTH, -TIED) == pytest.approx(1 - auroc(TRUTH, TIED), abs=1e-12)


def test_a_matrix_of_weights_gives_one_auroc_per_replicate() -> None:
    random = np.random.default_rng(5)
    truth, score, weights = random.integers(0, 2, 30), random.normal(size=30), random.integers(0, 3, (30, 4))
    np.testing.assert_allclose(auroc(truth, score, weights), [auroc(truth, score, column) for column in weights.T])
