import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, precision_score, recall_score

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.statistics.operating_point import (
    Confusion,
    Threshold,
    confusion,
    fit_threshold,
    rates,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)


def drawn(seed: int, samples: int = 30, levels: float = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns truth of both classes and scores with ties."""
    random = np.random.default_rng(seed)
    truth = random.integers(2, size=samples)
    truth[:2] = [0, 1]
    return truth, np.round((random.choice([-1, 0, 1]) * truth + random.standard_normal(samples)) * levels) / levels


def midpoints(score: np.ndarray) -> np.ndarray:
    """Returns all that lies midway between two neighbouring scores, and the highest, above which there is nobody."""
    levels = np.unique(score)
    return np.append((levels[1:] + levels[:-1]) / 2, levels[-1])


def once(truth: np.ndarray) -> np.ndarray:
    return np.ones((len(truth), 1))


# Fitting a threshold


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 1000]))
def test_of_all_midpoints_it_is_the_best_and_of_the_best_the_highest(seed: int, levels: int) -> None:
    truth, score = drawn(seed, levels=levels)
    reached = [balanced_accuracy_score(truth, score > t) for t in midpoints(score)]
    best = max(t for t, r in zip(midpoints(score), reached, strict=True) if r > max(reached) - 1e-9)
    assert fit_threshold(truth, score, "val").value == pytest.approx(best, abs=1e-12)


def test_classes_that_are_apart_are_divided_midway() -> None:
    assert fit_threshold(np.array([1, 0, 1, 0]), np.array([5.0, -2.0, 8.0, 1.0]), "val").value == 3


def test_of_equals_the_one_that_calls_the_fewest_is_taken() -> None:
    truth, score = np.array([0, 1, 0, 1]), np.array([0.0, 1.0, 2.0, 3.0])
    assert fit_threshold(truth, score, "val").value == 2.5  # .5 is as good


def test_rounding_does_not_make_one_of_equals_the_better() -> None:
    truth = np.array([0, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0])  # from the top, ten of each
    assert 0.4 - 0.3 > 0.3 - 0.2  # though the fifth place is as good as the seventh
    assert fit_threshold(truth, np.arange(20.0)[::-1], "val").value == 14.5


@pytest.mark.parametrize("score", [[2.0, 2.0, 2.0, 2.0], [4.0, 3.0, 2.0, 1.0]])
def test_a_score_that_is_of_no_use_calls_nobody(score: list[float]) -> None:
    truth, score = np.array([0, 0, 1, 1]), np.array(score)
    table = confusion(truth, score, fit_threshold(truth, score, "val"), once(truth), "test")
    assert table.true_positives + table.false_positives == 0


def test_a_threshold_goes_with_its_scores() -> None:
    truth, score = drawn(1)
    order = np.random.default_rng(0).permutation(30)
    value = fit_threshold(truth, score, "val").value
    assert fit_threshold(truth, 2 * score - 7, "val").value == pytest.approx(2 * value - 7)
    assert fit_threshold(truth[order], score[order], "val").value == value
    assert fit_threshold(truth, score.astype(int), "val") == fit_threshold(truth, score.astype(int) * 1.0, "val")


def test_unknown_truth_has_no_threshold_to_say() -> None:
    truth, score = drawn(2)
    half = np.where(np.arange(30) < 20, truth, -1)
    assert fit_threshold(half, score, "val") == fit_threshold(truth[:20], score[:20], "val")


def test_one_class_has_no_threshold_and_what_it_would_decide_is_not_estimable() -> None:
    for truth in (np.ones(3, dtype=int), np.zeros(3, dtype=int), np.array([1, -1, 1]), np.full(3, -1)):
        fitted = fit_threshold(truth, np.arange(3.0), "val")
        assert np.isnan(fitted.value) and fitted.fitted_on == "val"
    assert np.isnan(fit_threshold(np.empty(0, dtype=int), np.empty(0), "val").value)
    truth, score = drawn(3)
    table = confusion(truth, score, Threshold(float("nan"), "val"), np.ones((30, 2)), "test")
    assert np.isnan(table).all() and np.shape(table) == (4, 2)
    assert all(np.isnan(rate).all() for rate in rates(table).values())


# Judging at a threshold


def test_a_threshold_is_refused_on_the_split_that_it_was_fitted_on() -> None:
    truth, score = drawn(4)
    fitted = fit_threshold(truth, score, "val")
    with pytest.raises(ConfigError, match="fitted on val cannot be judged on val"):
        confusion(truth, score, fitted, once(truth), "val")
    assert sum(confusion(truth, score, fitted, once(truth), "test")) == 30


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.sampled_from([-1.0, 0.0, 0.3]))
def test_table_and_rates_are_those_of_sklearn_under_every_column_of_weights(seed: int, value: float) -> None:
    truth, score = drawn(seed)  # some lie on the threshold, and are not called
    weights = np.random.default_rng(seed).integers(1, 4, size=(30, 4))
    table = confusion(truth, score, Threshold(value, "val"), weights, "test")
    found = rates(table)
    for k, w in enumerate(weights.T):
        said = {"y_true": truth, "y_pred": (score > value).astype(int), "sample_weight": w}
        tn, fp, fn, tp = confusion_matrix(**said).ravel()
        assert [one[k] for one in table] == pytest.approx([tp, fp, fn, tn])
        assert found["sensitivity"][k] == pytest.approx(recall_score(**said))
        assert found["specificity"][k] == pytest.approx(recall_score(**said, pos_label=0))
        assert found["ppv"][k] == pytest.approx(precision_score(**said, zero_division=np.nan), nan_ok=True)
        assert found["npv"][k] == pytest.approx(precision_score(**said, pos_label=0, zero_division=np.nan), nan_ok=True)
        assert found["balanced_accuracy"][k] == pytest.approx(balanced_accuracy_score(**said))


def test_unknown_truth_is_in_no_cell() -> None:
    truth, score = drawn(5)
    half, weights = np.where(np.arange(30) < 20, truth, -1), np.random.default_rng(0).integers(3, size=(30, 5))
    threshold = Threshold(0.0, "val")
    np.testing.assert_array_equal(
        confusion(half, score, threshold, weights, "test"),
        confusion(truth[:20], score[:20], threshold, weights[:20], "test"),
    )


def test_many_small_integers_are_counted_without_overflow() -> None:
    truth, score = np.tile([0, 1], 500), np.tile([0.0, 1.0], 500)
    table = confusion(truth, score, Threshold(0.5, "val"), np.full((1000, 1), 3, dtype=np.int8), "test")
    assert np.ravel(table).tolist() == [1500, 0, 0, 1500]


def test_a_rate_of_nobody_is_not_estimable() -> None:
    tp, fp, fn, tn = np.array([[0, 0, 2, 0], [0, 3, 0, 0], [0, 0, 1, 0], [0, 1, 0, 5]], dtype=float)
    found = rates(Confusion(tp, fp, fn, tn))
    expected = {
        "sensitivity": [np.nan, np.nan, 2 / 3, np.nan],
        "specificity": [np.nan, 1 / 4, np.nan, 1],
        "ppv": [np.nan, 0, 1, np.nan],
        "npv": [np.nan, 1, 0, 1],
        "balanced_accuracy": [np.nan] * 4,
    }
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values)


# Sensitivity where specificity is kept, and the other way round


def brute(truth: np.ndarray, score: np.ndarray, least: float, kept: int) -> float:
    """Returns the largest share of the other class that is called right where `least` of class `kept` are."""
    called = [score >= t for t in (*np.unique(score), np.inf)]
    shares = [[np.mean(c[truth == side] == side) for side in (0, 1)] for c in called]
    return max(share[1 - kept] for share in shares if share[kept] >= least - 1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 1000]), st.sampled_from([0.0, 0.5, 0.8, 0.9, 0.95, 1.0]))
def test_they_are_the_best_of_all_thresholds_and_a_weight_is_a_repetition(seed: int, levels: int, least: float) -> None:
    truth, score = drawn(seed, levels=levels)
    random = np.random.default_rng(seed)
    weights = np.concatenate([once(truth).astype(int), random.multinomial(30, np.full(30, 1 / 30), size=4).T], axis=1)
    weights[:2] += 1  # both classes are there
    sensitivity = sensitivity_at_specificity(truth, score, weights, least)
    specificity = specificity_at_sensitivity(truth, score, weights, least)
    for k, w in enumerate(weights.T):
        again = np.repeat(truth, w), np.repeat(score, w)
        assert sensitivity[k] == pytest.approx(brute(*again, least, kept=0), abs=1e-12)
        assert specificity[k] == pytest.approx(brute(*again, least, kept=1), abs=1e-12)


def test_a_share_that_is_kept_exactly_is_kept() -> None:
    for n in range(1, 60):
        truth, score = np.tile([1, 0], n), np.arange(2.0 * n)[::-1]  # positive and negative in turn, from the top
        for alarms in range(n):
            found = sensitivity_at_specificity(truth, score, once(truth), (n - alarms) / n)
            assert found.item() == pytest.approx((alarms + 1) / n)


def test_a_level_of_the_score_is_called_whole_or_not_at_all() -> None:
    truth, score = np.array([1, 1, 0, 1, 0, 0]), np.array([3.0, 2.0, 2.0, 2.0, 1.0, 1.0])
    assert sensitivity_at_specificity(truth, score, once(truth), 0.9) == pytest.approx([1 / 3])
    assert sensitivity_at_specificity(truth, score, once(truth), 0.6) == pytest.approx([1])
    constant = np.zeros(6)
    assert sensitivity_at_specificity(truth, constant, once(truth), 0.9).tolist() == [0]
    assert specificity_at_sensitivity(truth, constant, once(truth), 0.9).tolist() == [0]


def test_one_is_the_other_of_the_other_class() -> None:
    truth, score = drawn(6)
    weights = np.random.default_rng(0).random((30, 5))
    np.testing.assert_array_equal(
        specificity_at_sensitivity(truth, score, weights, 0.9),
        sensitivity_at_specificity(1 - truth, -score, weights, 0.9),
    )


@pytest.mark.parametrize("measure", [sensitivity_at_specificity, specificity_at_sensitivity])
def test_only_the_order_of_known_samples_matters(measure) -> None:
    truth, score = drawn(7)
    weights, order = np.random.default_rng(0).integers(3, size=(30, 5)), np.random.default_rng(1).permutation(30)
    found = measure(truth, score, weights, 0.8)
    np.testing.assert_array_equal(measure(truth, np.exp(score / 3), weights, 0.8), found)
    np.testing.assert_array_equal(measure(truth[order], score[order], weights[order], 0.8), found)
    half = np.where(np.arange(30) < 20, truth, -1)
    known = measure(truth[:20], score[:20], weights[:20], 0.8)
    np.testing.assert_array_equal(measure(half, score, weights, 0.8), known)


@pytest.mark.parametrize("measure", [sensitivity_at_specificity, specificity_at_sensitivity])
def test_where_a_class_is_absent_neither_is_estimable(measure) -> None:
    truth, score = drawn(8)
    weights = np.stack([np.ones(30), truth == 1, truth == 0, np.zeros(30)], axis=1)
    assert np.isnan(measure(truth, score, weights, 0.9)).tolist() == [False, True, True, True]
    for side in (-1, 0, 1):
        assert np.isnan(measure(np.full(30, side), score, once(truth), 0.9)).all()
    assert np.isnan(measure(np.empty(0, dtype=int), np.empty(0), np.empty((0, 2)), 0.9)).all()


def test_scores_of_unsigned_integers_do_not_wrap() -> None:
    truth = np.array([0, 1, 1])
    for measure in (sensitivity_at_specificity, specificity_at_sensitivity):
        assert measure(truth, truth.astype(np.uint8), np.ones((3, 1)), 1.0).tolist() == [1]


def test_a_threshold_lies_between_neighbours_that_nothing_lies_between() -> None:
    low = np.nextafter(1, 2)
    score, truth = np.array([low, np.nextafter(low, 2)]), np.array([0, 1])
    table = confusion(truth, score, fit_threshold(truth, score, "val"), np.ones((2, 1)), "test")
    assert np.ravel(table).tolist() == [1, 0, 0, 1]
