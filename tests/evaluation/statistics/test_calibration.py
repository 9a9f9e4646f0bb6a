from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from knee_i2m2.evaluation.statistics.calibration import (
    Temperature,
    brier,
    brier_skill,
    calibration_line,
    ece,
    fit_expert_weights,
    fit_temperature,
    prior_shift,
    reliability_bins,
)

ONE_NUMBER = [brier, brier_skill, ece]
random = np.random.default_rng(0)


def drawn(seed: int, samples: int = 60, levels: float = 2) -> tuple[np.ndarray, np.ndarray]:
    """Returns truth of both classes and log-odds with ties."""
    random = np.random.default_rng(seed)
    truth = random.integers(2, size=samples)
    truth[:2] = [0, 1]
    return truth, np.round((truth - 0.3 + random.standard_normal(samples)) * levels) / levels


def once(truth: np.ndarray) -> np.ndarray:
    return np.ones((len(truth), 1))


def regression(truth: np.ndarray, log_odds: np.ndarray, weight: np.ndarray | None = None) -> tuple[float, float]:
    """Returns sklearn's slope, and the intercept at which as many are expected as there are."""
    weight = np.ones(len(truth)) if weight is None else weight
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    fitted.fit(log_odds[:, None], truth, sample_weight=weight)
    return fitted.coef_.item(), brentq(lambda a: weight @ (truth - expit(log_odds + a)), -50, 50, xtol=1e-13)


def simulate(samples: int, slope: float = 1.0, intercept: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Returns truths that are drawn with log-odds intercept + slope * z, and z."""
    random = np.random.default_rng(samples)
    z = random.normal(-0.5, 1.5, size=samples)
    return (random.random(samples) < expit(intercept + slope * z)).astype(int), z


# Brier score


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([1, 1000]))
def test_the_brier_score_equals_sklearn_under_every_column_of_weights(seed: int, levels: int) -> None:
    truth, log_odds = drawn(seed, 30, levels)
    weights = np.random.default_rng(seed).random((30, 4))
    theirs = [brier_score_loss(truth, expit(log_odds), sample_weight=w) for w in weights.T]
    np.testing.assert_allclose(brier(truth, log_odds, weights), theirs, atol=1e-12)
    shares = [np.average(truth, weights=w) for w in weights.T]
    guessed = [brier_score_loss(truth, np.full(30, s), sample_weight=w) for s, w in zip(shares, weights.T, strict=True)]
    skill = brier_skill(truth, log_odds, weights)
    np.testing.assert_allclose(skill, 1 - np.divide(theirs, guessed), atol=1e-12)


def test_telling_the_prevalence_has_no_skill_and_knowing_the_truth_has_all() -> None:
    truth, _ = drawn(1)
    prevalence = logit(np.full(60, truth.mean()))
    assert brier_skill(truth, prevalence, once(truth)) == pytest.approx([0], abs=1e-12)
    assert brier_skill(truth, np.where(truth == 1, 800.0, -800.0), once(truth)).tolist() == [1]


# Reliability and the expected calibration error


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 1000]), st.sampled_from([2, 5, 15]))
def test_the_bins_are_those_of_sklearn(seed: int, levels: int, bins: int) -> None:
    truth, log_odds = drawn(seed, levels=levels)
    said, seen, held = reliability_bins(truth, log_odds, once(truth), bins)
    share, mean = calibration_curve(truth, expit(log_odds), n_bins=bins, strategy="quantile")
    np.testing.assert_allclose(said[:, 0], mean, atol=1e-12)
    np.testing.assert_allclose(seen[:, 0], share, atol=1e-12)
    assert held.sum() == 60


def test_the_error_is_a_loop_over_bins_of_equal_counts_under_every_column_of_weights() -> None:
    truth, log_odds = random.integers(2, size=150), random.standard_normal(150)
    weights = random.multinomial(150, np.full(150, 1 / 150), size=20).T
    bins = np.array_split(np.argsort(log_odds), 15)  # ten a bin
    apart = [[abs(w[b] @ (expit(log_odds[b]) - truth[b])) for b in bins] for w in weights.T]
    np.testing.assert_allclose(ece(truth, log_odds, weights), np.sum(apart, axis=1) / 150, atol=1e-12)
    held = reliability_bins(truth, log_odds, weights)[2]
    np.testing.assert_array_equal(held, [weights[b].sum(axis=0) for b in bins])


def test_what_scores_the_same_shares_a_bin() -> None:
    truth, log_odds = random.integers(2, size=300), np.tile([-1.0, 0.0, 2.0], 100)
    said, seen, held = reliability_bins(truth, log_odds, once(truth))
    np.testing.assert_allclose(said[:, 0], expit([-1, 0, 2]))
    np.testing.assert_allclose(seen[:, 0], pd.Series(truth).groupby(log_odds).mean())
    assert held.ravel().tolist() == [100, 100, 100]


def test_saying_always_the_same_is_as_wrong_as_it_is_far_from_the_prevalence() -> None:
    truth, _ = drawn(2)
    weights = random.integers(1, 4, size=(60, 5))
    shares = np.average(np.tile(truth, (5, 1)).T, axis=0, weights=weights)
    np.testing.assert_allclose(ece(truth, np.full(60, 0.7), weights), abs(expit(0.7) - shares), atol=1e-12)


def test_the_error_of_the_calibrated_is_nothing_but_for_small_samples() -> None:
    small, large = (ece(*simulate(n), np.ones((n, 1))).item() for n in (100, 100_000))
    assert large < 0.01 < small


def test_a_bin_that_a_replicate_leaves_empty_has_no_share_and_no_say() -> None:
    truth, log_odds = np.array([0, 1, 0, 1]), np.array([-1.0, -1.0, 2.0, 2.0])
    said, seen, held = reliability_bins(truth, log_odds, np.array([[1], [1], [0], [0]]), bins=2)
    assert np.isnan([said[1, 0], seen[1, 0]]).all() and held[1, 0] == 0
    error = ece(truth, log_odds, np.array([[1], [1], [0], [0]]), bins=2)
    assert error == pytest.approx([0.5 - expit(-1)])


# Slope and intercept


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([2, 1000]))
def test_slope_and_intercept_are_the_logistic_regressions_of_sklearn(seed: int, levels: int) -> None:
    truth, log_odds = drawn(seed, levels=levels)
    weights = np.random.default_rng(seed).integers(1, 5, size=(60, 1))
    found = np.concatenate(calibration_line(truth, log_odds, weights))
    assert found == pytest.approx(regression(truth, log_odds, weights[:, 0]), abs=1e-6)


def test_a_weight_is_a_repetition() -> None:
    truth, log_odds = drawn(3)
    weights = random.integers(4, size=(60, 1))
    again = [np.repeat(x, weights[:, 0]) for x in (truth, log_odds)]
    for measure in (calibration_line, brier, brier_skill):
        repeated = measure(*again, once(again[0]))
        np.testing.assert_allclose(measure(truth, log_odds, weights), repeated, atol=1e-10)


@pytest.mark.parametrize(("n", "spread"), [(40, 6.0), (500, 2.0)])
def test_every_replicate_is_refitted(n: int, spread: float) -> None:
    """As much is told of few and very sure answers, of which one Newton step from the sample would be far off."""
    random = np.random.default_rng(n)
    log_odds = spread * random.standard_normal(n)
    truth = (random.random(n) < expit(0.9 * log_odds / spread - 0.3)).astype(int)
    weights = np.concatenate([once(truth), random.multinomial(n, np.full(n, 1 / n), size=60).T], axis=1)
    ours = np.array(calibration_line(truth, log_odds, weights))
    for column, w in zip(ours.T, weights.T, strict=True):
        np.testing.assert_allclose(column, regression(truth, log_odds, w), rtol=2e-4, atol=2e-4)


def test_where_many_replicates_are_separated_none_is_told() -> None:
    """What is left of them would end where the interval does not."""
    truth, log_odds = np.array([0, 0, 0, 1, 0, 1, 1, 1]), np.arange(8.0) - 3.5  # one pair out of order
    weights = np.concatenate([once(truth), np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=99).T], 1)
    slope, intercept = calibration_line(truth, log_odds, weights)
    assert np.isfinite([slope[0], intercept[0]]).all()
    assert np.isnan(slope[1:]).all() and np.isnan(intercept[1:]).all()


def test_a_replicate_that_counts_all_alike_is_the_sample_as_it_is() -> None:
    truth, log_odds = drawn(4)
    slope, intercept = calibration_line(truth, log_odds, np.outer(np.ones(60), [1, 1, 3, 0.5]))
    np.testing.assert_allclose(slope, slope[0], atol=1e-9)
    np.testing.assert_allclose(intercept, intercept[0], atol=1e-9)


def test_a_replicate_without_spread_does_the_others_no_harm() -> None:
    truth, log_odds = np.array([0, 1, 0, 1, 0, 1]), np.array([2.0, 2.0, 0.0, 1.0, 1.0, 3.0])
    weights = np.array([[1, 1, 1], [1, 1, 2], [1, 0, 1], [1, 0, 0], [1, 0, 1], [1, 0, 1]])  # the second holds one score
    found = np.array(calibration_line(truth, log_odds, weights))
    np.testing.assert_allclose(found[:, [0, 2]], calibration_line(truth, log_odds, weights[:, [0, 2]]))


def test_what_is_drawn_from_its_probabilities_has_slope_one_and_intercept_nothing() -> None:
    truth, log_odds = simulate(100_000)
    slope, intercept = calibration_line(truth, log_odds, once(truth))
    assert (slope.item(), intercept.item()) == pytest.approx((1, 0), abs=0.03)
    surer = calibration_line(truth, 2 * log_odds, once(truth))[0]
    assert surer == pytest.approx(slope / 2, abs=1e-9)  # over-confident: below 1


def test_a_shift_moves_the_intercept_alone_and_a_reflection_turns_the_slope() -> None:
    truth, log_odds = drawn(5)
    slope, intercept = calibration_line(truth, log_odds, once(truth))
    shifted = calibration_line(truth, log_odds + 0.8, once(truth))
    assert (shifted[0].item(), shifted[1].item()) == pytest.approx((slope.item(), intercept.item() - 0.8), abs=1e-9)
    assert calibration_line(truth, -log_odds, once(truth))[0] == pytest.approx(-slope, abs=1e-9)
    swapped = calibration_line(1 - truth, -log_odds, once(truth))
    assert (swapped[0].item(), swapped[1].item()) == pytest.approx((slope.item(), -intercept.item()), abs=1e-9)


@pytest.mark.parametrize("log_odds", [[-2, -1, 1, 2], [2, 1, -1, -2], [-1, 0, 0, 1], [0, 0, 0, 0]])
def test_where_a_threshold_divides_the_classes_no_slope_is_the_best(log_odds: list[float]) -> None:
    found = calibration_line(np.array([0, 0, 1, 1]), np.array(log_odds, dtype=float), np.ones((4, 3)))
    assert np.isnan(found).all() and np.shape(found) == (2, 3)


# What all have in common


def test_unknown_truth_is_ignored() -> None:
    truth, log_odds = drawn(6)
    half, weights = np.where(np.arange(60) < 40, truth, -1), random.integers(1, 4, size=(60, 3))
    known = truth[:40], log_odds[:40], weights[:40]
    for measure in (*ONE_NUMBER, calibration_line, reliability_bins):
        np.testing.assert_allclose(measure(half, log_odds, weights), measure(*known), atol=1e-12)


def test_the_order_of_samples_is_nothing() -> None:
    truth, log_odds = drawn(7)
    weights, order = random.integers(1, 4, size=(60, 3)), random.permutation(60)
    for measure in (*ONE_NUMBER, calibration_line, reliability_bins):
        mixed = measure(truth[order], log_odds[order], weights[order])
        np.testing.assert_allclose(mixed, measure(truth, log_odds, weights), atol=1e-9)


def test_nothing_known_and_nothing_counted_are_not_estimable() -> None:
    truth, log_odds = drawn(8)
    for measure in ONE_NUMBER:
        assert np.isnan(measure(np.full(60, -1), log_odds, once(truth))).all()
        assert np.isnan(measure(np.empty(0, dtype=int), np.empty(0), np.empty((0, 2)))).tolist() == [True, True]
        assert np.isnan(measure(truth, log_odds, np.outer(np.ones(60), [1, 0]))).tolist() == [False, True]
    assert np.isnan(calibration_line(np.full(60, -1), log_odds, once(truth))).all()


def test_of_one_class_neither_skill_nor_slope_is_estimable() -> None:
    truth, log_odds = drawn(9)
    for side in (0, 1):
        alone = np.where(truth == side, truth, -1)
        assert np.isnan(calibration_line(alone, log_odds, once(truth))).all()
        assert np.isnan(brier_skill(alone, log_odds, once(truth))).all()
        weights = np.stack([np.ones(60), truth == side], axis=1)
        assert np.isnan(brier_skill(truth, log_odds, weights)).tolist() == [False, True]


# Temperature


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 1, 5]))
def test_temperature_and_intercept_are_the_logistic_regression_of_sklearn(seed: int, scale: float) -> None:
    truth, log_odds = drawn(seed, 200)
    fitted = fit_temperature(truth, scale * log_odds, "val")
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(scale * log_odds[:, None], truth)
    assert 1 / fitted.temperature == pytest.approx(theirs.coef_.item(), rel=1e-3, abs=1e-4)  # but for the tiny ridge
    assert fitted.intercept == pytest.approx(theirs.intercept_.item(), rel=1e-3, abs=1e-4)


def test_a_planted_temperature_is_recovered() -> None:
    truth, right = simulate(50_000)
    for temperature, intercept in ((0.4, 0.0), (1.0, -1.0), (3.0, 0.7)):
        fitted = fit_temperature(truth, (right - intercept) * temperature, "val")
        assert fitted.temperature == pytest.approx(temperature, rel=0.05)
        assert fitted.intercept == pytest.approx(intercept, abs=0.05)
        np.testing.assert_allclose(fitted((right - intercept) * temperature), right, atol=0.3)


def test_what_was_fitted_is_calibrated_and_keeps_its_order() -> None:
    truth, log_odds = drawn(10, 200)
    after = fit_temperature(truth, 7 * log_odds + 2, "val")(7 * log_odds + 2)
    found = np.concatenate(calibration_line(truth, after, once(truth)))
    assert found == pytest.approx([1, 0], abs=1e-3)
    assert roc_auc_score(truth, after) == roc_auc_score(truth, log_odds)
    assert log_loss(truth, expit(after)) < log_loss(truth, expit(7 * log_odds + 2))


def test_the_temperature_stays_within_its_bounds() -> None:
    truth = np.tile([0, 1], 50)
    sure = fit_temperature(truth, 0.01 * (2 * truth - 1), "val")
    assert sure.temperature == pytest.approx(0.01)  # separated: ever surer
    against = fit_temperature(truth, 1.0 - 2 * truth, "val")
    assert against.temperature == pytest.approx(100)  # never turned round
    ignorant = fit_temperature(truth, np.repeat([-5.0, 5.0], 50), "val")
    assert ignorant.temperature == pytest.approx(100)
    separated = fit_temperature(truth, 4.0 * (2 * truth - 1), "val")
    assert 0.01 < separated.temperature < 1


def test_of_scores_that_tell_nothing_the_prevalence_is_left() -> None:
    truth = np.tile([0, 0, 0, 1], 25)
    fitted = fit_temperature(truth, np.repeat(random.standard_normal(25), 4), "val")
    assert fitted.temperature == pytest.approx(100)
    assert fitted.intercept == pytest.approx(logit(0.25), abs=0.02)


def test_where_a_class_is_absent_answers_stay_as_they_are() -> None:
    log_odds = random.standard_normal(5)
    for truth in (np.ones(5, dtype=int), np.zeros(5, dtype=int), np.full(5, -1), np.array([-1, 1, -1, 1, -1])):
        assert fit_temperature(truth, log_odds, "val") == Temperature(1.0, 0.0, "val")
        fitted = fit_expert_weights(truth, {"a": log_odds, "b": log_odds}, "val")
        assert (fitted.weights, fitted.intercept, fitted.fitted_on) == ({"a": 1.0, "b": 1.0}, 0.0, "val")


def test_fits_ignore_unknown_truth() -> None:
    truth, log_odds = drawn(11)
    half = np.where(np.arange(60) < 40, truth, -1)
    assert fit_temperature(half, log_odds, "val") == fit_temperature(truth[:40], log_odds[:40], "val")
    ours, theirs = (fit_expert_weights(y, {"a": z}, "val") for y, z in ((half, log_odds), (truth[:40], log_odds[:40])))
    assert ours == theirs


# Weights of experts


def opinions(samples: int, weights: dict[str, float], intercept: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns truths that are drawn with the weighted sum of what the experts say."""
    random = np.random.default_rng(samples)
    said = {expert: random.standard_normal(samples) for expert in weights}
    z = sum(weight * said[expert] for expert, weight in weights.items()) + intercept
    return (random.random(samples) < expit(z)).astype(int), said


def test_planted_weights_are_recovered() -> None:
    planted = {"magnitude": 1.5, "phase": 0.0, "magnitude+phase": 0.6}
    truth, said = opinions(50_000, planted, -0.5)
    fitted = fit_expert_weights(truth, said, "val")
    assert fitted.weights == pytest.approx(planted, abs=0.05)
    assert fitted.intercept == pytest.approx(-0.5, abs=0.05)
    combined = sum(weight * said[expert] for expert, weight in fitted.weights.items()) + fitted.intercept
    np.testing.assert_allclose(fitted(said), combined, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_weights_are_those_of_sklearn_for_the_experts_that_have_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.append([0, 1], random.integers(2, size=198))
    said = {e: random.choice([-1, 0, 0.5, 1]) * truth + random.standard_normal(200) for e in "abc"}
    fitted = fit_expert_weights(truth, said, "val")
    assert min(fitted.weights.values()) >= 0
    heard = [expert for expert, weight in fitted.weights.items() if weight > 0]
    z = np.stack([said[e] for e in heard] or [np.zeros(200)], axis=1)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(z, truth)
    assert fitted.intercept == pytest.approx(theirs.intercept_.item(), abs=1e-3)
    assert [fitted.weights[e] for e in heard] == pytest.approx(theirs.coef_[0, : len(heard)].tolist(), abs=1e-3)
    left = truth - expit(fitted(said))
    assert all(said[e] @ left / 200 < 1e-4 for e in set(said) - set(heard))  # a weight would only cost


def test_an_expert_that_is_always_wrong_is_silenced() -> None:
    truth, said = opinions(500, {"right": 1.0, "wrong": -1.0}, 0.0)
    fitted = fit_expert_weights(truth, said, "val")
    alone = fit_expert_weights(truth, {"right": said["right"]}, "val")
    assert fitted.weights["wrong"] == 0
    assert fitted.weights["right"] == pytest.approx(alone.weights["right"], abs=1e-4)


def test_twins_share_their_weight_and_one_expert_has_a_temperature() -> None:
    truth, log_odds = drawn(12, 200)
    alone, twins = (fit_expert_weights(truth, dict.fromkeys(names, log_odds), "val") for names in ("a", "ab"))
    assert twins.weights["a"] == pytest.approx(twins.weights["b"], rel=1e-4)
    assert sum(twins.weights.values()) == pytest.approx(alone.weights["a"], rel=1e-3)
    temperature = fit_temperature(truth, log_odds, "val")
    assert (alone.weights["a"], alone.intercept) == pytest.approx((1 / temperature.temperature, temperature.intercept))


# The prior


@pytest.mark.parametrize("prevalence", [0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_the_corrected_product_of_conditionally_independent_modalities_is_the_exact_posterior(
    prevalence: float, modalities: int
) -> None:
    given_class = random.dirichlet(np.ones(4), size=(modalities, 2))  # modality, class, what is seen: one of four
    prior = np.array([1 - prevalence, prevalence])
    for seen in product(range(4), repeat=modalities):
        likelihood = np.array([given_class[k, :, x] for k, x in enumerate(seen)])
        joint, each = prior * likelihood.prod(axis=0), prior * likelihood
        shifted = np.log(each[:, 1] / each[:, 0]).sum() + prior_shift(prevalence, modalities)
        assert shifted == pytest.approx(np.log(joint[1] / joint[0]), abs=1e-12)


def test_without_a_prior_or_a_product_there_is_no_shift() -> None:
    assert prior_shift(0.5, 3) == 0
    assert prior_shift(0.2, 1) == 0
    assert [prior_shift(nothing, 3) for nothing in (0.0, 1.0, float("nan"))] == [0, 0, 0]
    assert prior_shift(0.2, 3) == pytest.approx(-prior_shift(0.8, 3))


@pytest.mark.parametrize("size", [5, 6, 8, 10, 30])
def test_the_surest_have_an_intercept_too(size: float) -> None:
    truth = np.repeat([0, 1], 20)
    log_odds = size * (2.0 * truth - 1)
    log_odds[[0, 20, 21, 22]] *= -1  # one false alarm, three missed
    intercept = calibration_line(truth, log_odds, np.ones((40, 1)))[1].item()
    assert intercept == pytest.approx(brentq(lambda a: np.sum(truth - expit(log_odds + a)), -100, 100), abs=1e-6)


def test_a_replicate_without_a_class_has_neither_slope_nor_intercept() -> None:
    truth, log_odds = np.array([0, 1, 0, 1, 0, 1]), np.array([0.0, 1.0, 2.0, 1.5, -1.0, -0.5])
    weight = np.stack([np.ones(6), truth == 1, truth == 0, np.zeros(6)], axis=1)
    found = calibration_line(truth, log_odds, weight)
    assert np.isnan(found).tolist() == [[False, True, True, True]] * 2
