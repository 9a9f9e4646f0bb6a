import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score

from knee_i2m2.evaluation.statistics.accuracy import accuracy

random = np.random.default_rng(0)
TRUTH = random.integers(10, size=300)
LOGP = log_softmax(random.standard_normal((300, 10)) + 2 * np.eye(10)[TRUTH], axis=-1)


def test_accuracy_equals_sklearn() -> None:
    weight = random.random(300)
    answer = LOGP.argmax(axis=1)
    assert accuracy(TRUTH, LOGP) == pytest.approx(accuracy_score(TRUTH, answer), abs=1e-12)
    assert accuracy(TRUTH, LOGP, weight) == pytest.approx(
        accuracy_score(TRUTH, answer, sample_weight=weight), abs=1e-12
    )


def test_unknown_truth_is_ignored_and_nothing_known_is_not_estimable() -> None:
    half = np.where(np.arange(300) < 150, TRUTH, -1)
    assert accuracy(half, LOGP) == accuracy(TRUTH[:150], LOGP[:150])
    assert np.isnan(accuracy(np.full(300, -1), LOGP))


def test_a_replicate_weighs_the_samples() -> None:
    weights = np.stack([np.ones(300, dtype=int), np.arange(300) % 2], axis=1)
    np.testing.assert_allclose(
        accuracy(TRUTH, LOGP, weights), [accuracy(TRUTH, LOGP), accuracy(TRUTH[1::2], LOGP[1::2])]
    )
