import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.metrics import confusion_matrix

from knee_i2m2.evaluation.statistics.decision import net_benefit, treat_all

PROBABILITIES = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])


def drawn(seed: int, samples: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Returns truth and log-odds, many of which lie on a threshold."""
    random = np.random.default_rng(seed)
    on, off = logit(random.choice(PROBABILITIES, size=samples)), random.normal(0, 2, size=samples)
    return random.integers(2, size=samples), np.where(random.random(samples) < 0.5, on, off)


def once(truth: np.ndarray) -> np.ndarray:
    return np.ones((len(truth), 1))


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000))
def test_it_is_what_the_table_of_sklearn_is_worth_at_every_threshold_and_weight(seed: int) -> None:
    truth, score = drawn(seed)
    weights = np.random.default_rng(seed).random((40, 3))
    found = net_benefit(truth, score, PROBABILITIES, weights)
    for row, p in zip(found, PROBABILITIES, strict=True):
        for one, w in zip(row, weights.T, strict=True):
            table = confusion_matrix(truth, score >= logit(p), labels=[0, 1], sample_weight=w)
            false, true = table[:, 1] / w.sum()
            assert one == pytest.approx(true - false * p / (1 - p), abs=1e-12)


def test_a_probability_that_just_reaches_the_threshold_is_acted_on() -> None:
    half = np.array([0.5])
    assert net_benefit(np.array([1]), np.array([0.0]), half, np.ones((1, 1))).tolist() == [[1]]
    below = np.nextafter(np.array([0.0]), -1)
    assert net_benefit(np.array([1]), below, half, np.ones((1, 1))).tolist() == [[0]]


def test_acting_on_everybody_is_worth_the_prevalence_less_the_false_alarms() -> None:
    truth, _ = drawn(1)
    prevalence, odds = truth.mean(), PROBABILITIES / (1 - PROBABILITIES)
    found = treat_all(truth, PROBABILITIES, once(truth))[:, 0]
    np.testing.assert_allclose(found, prevalence - (1 - prevalence) * odds, atol=1e-12)
    at_prevalence = treat_all(truth, np.array([prevalence]), once(truth))
    assert at_prevalence.item() == pytest.approx(0, abs=1e-12)  # where acting on everybody is as good as on nobody


def test_who_is_called_by_all_or_by_none_is_worth_that() -> None:
    truth, _ = drawn(2)
    everybody = net_benefit(truth, np.full(40, 50.0), PROBABILITIES, once(truth))
    np.testing.assert_array_equal(everybody, treat_all(truth, PROBABILITIES, once(truth)))
    assert (net_benefit(truth, np.full(40, -50.0), PROBABILITIES, once(truth)) == 0).all()


def test_to_know_the_truth_is_worth_the_prevalence_and_nothing_is_worth_more() -> None:
    truth, score = drawn(3)
    known = net_benefit(truth, 50.0 * (2 * truth - 1), PROBABILITIES, once(truth))
    np.testing.assert_allclose(known, truth.mean(), atol=1e-12)
    assert (net_benefit(truth, score, PROBABILITIES, once(truth)) <= truth.mean()).all()


def test_a_calibrated_score_is_never_worth_less_than_treating_all_or_none() -> None:
    levels = np.array([0.1, 0.3, 0.5, 0.9])
    truth = np.concatenate([np.arange(10) < 10 * level for level in levels]).astype(int)  # the very shares it says
    score, p = logit(np.repeat(levels, 10)), np.linspace(0.005, 0.995, 100)
    found = net_benefit(truth, score, p, once(truth))
    everybody = treat_all(truth, p, once(truth))
    assert (found >= np.maximum(everybody, 0) - 1e-12).all()
    assert (found > np.maximum(everybody, 0) + 1e-12).any()
    surer = net_benefit(truth, 5 * score + 3, p, once(truth))
    assert (surer < np.maximum(everybody, 0) - 1e-12).any()  # that of another may do harm


def test_a_weight_is_a_repetition() -> None:
    truth, score = drawn(4)
    weights = np.random.default_rng(0).integers(4, size=(40, 1)).astype(np.int8)
    again, said = (np.repeat(x, weights[:, 0]) for x in (truth, score))
    np.testing.assert_allclose(
        net_benefit(truth, score, PROBABILITIES, weights),
        net_benefit(again, said, PROBABILITIES, once(again)),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        treat_all(truth, PROBABILITIES, weights),
        treat_all(again, PROBABILITIES, once(again)),
        atol=1e-12,
    )


def test_unknown_truth_is_ignored() -> None:
    truth, score = drawn(5)
    half, weights = np.where(np.arange(40) < 25, truth, -1), np.random.default_rng(0).random((40, 3))
    np.testing.assert_allclose(
        net_benefit(half, score, PROBABILITIES, weights),
        net_benefit(truth[:25], score[:25], PROBABILITIES, weights[:25]),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        treat_all(half, PROBABILITIES, weights),
        treat_all(truth[:25], PROBABILITIES, weights[:25]),
        atol=1e-12,
    )


def test_nobody_counted_is_not_estimable() -> None:
    truth, score = drawn(6)
    none = np.outer(np.ones(40), [1, 0])
    for found in (
        net_benefit(truth, score, PROBABILITIES, none),
        treat_all(truth, PROBABILITIES, none),
    ):
        assert np.isnan(found[:, 1]).all() and not np.isnan(found[:, 0]).any()
    assert np.isnan(net_benefit(np.full(40, -1), score, PROBABILITIES, none)).all()
    assert np.isnan(treat_all(np.empty(0, dtype=int), PROBABILITIES, np.empty((0, 2)))).all()
