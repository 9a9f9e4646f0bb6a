import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from knee_i2m2.evaluation.roc import area, mean_roc

random = np.random.default_rng(0)
TRUTH = random.integers(2, size=80)


def test_one_seed_is_the_curve_of_sklearn() -> None:
    score = random.integers(9, size=80) + 2 * TRUTH
    false, true = mean_roc(TRUTH, [score])
    expected = roc_curve(TRUTH, score, drop_intermediate=False)[:2]
    assert set(zip(false, true, strict=True)) <= set(zip(*expected, strict=True))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert area((false, true)) == pytest.approx(roc_auc_score(TRUTH, score), abs=1e-12)


def test_the_area_is_the_mean_over_seeds_even_with_ties() -> None:
    scores = [random.standard_normal(80) + TRUTH, random.integers(4, size=80) + TRUTH, 0.0 * TRUTH]
    mean = np.mean([roc_auc_score(TRUTH, score) for score in scores])
    assert area(mean_roc(TRUTH, scores)) == pytest.approx(mean, abs=1e-12)


def test_unknown_truth_is_dropped_and_one_class_has_no_curve() -> None:
    score = random.standard_normal(80)
    half = np.where(np.arange(80) < 40, TRUTH, -1)
    assert area(mean_roc(half, [score])) == pytest.approx(roc_auc_score(TRUTH[:40], score[:40]))
    assert mean_roc(np.ones(80, dtype=int), [score]) is None
