import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics.curves import (
    RATES,
    pointwise_band,
    precision_recall_points,
    resampling_weights,
    roc_points,
)

BOTH = (roc_points, precision_recall_points)


def drawn(seed: int, levels: int, units: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns truth, scores with `levels` different values at most, and how often each unit counts."""
    random = np.random.default_rng(seed)
    truth = np.append([0, 1], random.integers(2, size=units - 2))
    weights = random.integers(4, size=(units, 5))
    weights[:2] = np.maximum(weights[:2], 1)  # both classes are there
    return truth, random.integers(levels, size=units) / 4 + truth * 0.25, weights


def once(truth: np.ndarray) -> np.ndarray:
    return np.ones((len(truth), 1), dtype=int)


def highest(rate: float, false: np.ndarray, true: np.ndarray) -> float:
    """Returns the upper end of what a curve of straight pieces has at a false positive rate."""
    pieces = zip(false[:-1], false[1:], true[:-1], true[1:], strict=True)
    found = [
        max(before, after) if left == right else before + (after - before) * (rate - left) / (right - left)
        for left, right, before, after in pieces
        if left <= rate <= right
    ]
    return max(found)


def at_recall(recall: float, precisions: np.ndarray, recalls: np.ndarray) -> float:
    """Returns the precision at the highest threshold that reaches a recall, which is more than none."""
    thresholds = range(len(recalls) - 1)  # ascending; the last point of sklearn has none
    return precisions[max(i for i in thresholds if recalls[i] >= max(recall - 1e-9, 1e-9))]


@pytest.mark.parametrize("levels", [4, 10**6], ids=["ties", "no ties"])
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_sensitivity_is_read_off_the_roc_curve_of_sklearn(levels: int, seed: int) -> None:
    truth, score, weights = drawn(seed, levels)
    ours = roc_points(truth, score, weights)
    for column, weight in enumerate(weights.T):
        false, true, _ = roc_curve(truth, score, sample_weight=weight, drop_intermediate=False)
        np.testing.assert_allclose(ours[:, column], [highest(r, false, true) for r in RATES], atol=1e-9)


@pytest.mark.parametrize("levels", [4, 10**6], ids=["ties", "no ties"])
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_precision_is_read_off_the_precision_recall_curve_of_sklearn(levels: int, seed: int) -> None:
    truth, score, weights = drawn(seed, levels)
    ours = precision_recall_points(truth, score, weights)
    for column, weight in enumerate(weights.T):
        precisions, recalls, _ = precision_recall_curve(truth, score, sample_weight=weight)
        np.testing.assert_allclose(ours[:, column], [at_recall(r, precisions, recalls) for r in RATES], atol=1e-9)


@pytest.mark.parametrize("curve", BOTH)
@pytest.mark.parametrize("levels", [4, 10**6], ids=["ties", "no ties"])
def test_a_unit_that_counts_three_times_is_there_three_times(curve, levels: int) -> None:
    truth, score, weights = drawn(1, levels)
    for weight, column in zip(weights.T, curve(truth, score, weights).T, strict=True):
        repeated = np.repeat(truth, weight), np.repeat(score, weight)
        np.testing.assert_allclose(column, curve(*repeated, once(repeated[0]))[:, 0], atol=1e-12)


def test_scores_that_separate_the_classes_reach_all_at_once_and_one_tie_is_the_diagonal() -> None:
    truth = np.array([0, 0, 0, 1, 1])
    assert (roc_points(truth, truth, once(truth)) == 1).all()
    assert (precision_recall_points(truth, truth, once(truth)) == 1).all()
    level = np.zeros(5)
    np.testing.assert_allclose(roc_points(truth, level, once(truth))[:, 0], RATES, atol=1e-12)
    np.testing.assert_allclose(precision_recall_points(truth, level, once(truth)), 2 / 5)  # the prevalence


def test_the_area_below_the_curve_is_the_auroc() -> None:
    truth, score, _ = drawn(2, 10**6)
    midpoints = (np.arange(40_000) + 0.5) / 40_000
    curve = roc_points(truth, score, once(truth), midpoints)
    assert curve.mean() == pytest.approx(roc_auc_score(truth, score), abs=1e-4)


@pytest.mark.parametrize("curve", BOTH)
def test_blocks_of_replicates_are_nothing_and_so_are_monotone_scores_and_unknown_truth(curve) -> None:
    truth, score, _ = drawn(3, 6)
    weights = np.random.default_rng(3).integers(1, 4, size=(40, 71))  # more than two blocks
    whole = curve(truth, score, weights)
    apart = [curve(truth, score, weights[:, [column]]) for column in range(71)]
    np.testing.assert_array_equal(whole, np.concatenate(apart, axis=1))
    np.testing.assert_allclose(curve(truth, np.exp(score), weights), whole, atol=1e-12)
    known = np.arange(40) < 30
    half = curve(np.where(known, truth, -1), score, weights)
    np.testing.assert_allclose(half, curve(truth[known], score[known], weights[known]), atol=1e-12)


@pytest.mark.parametrize("curve", BOTH)
def test_where_a_class_is_absent_there_is_no_curve(curve) -> None:
    truth, score, _ = drawn(4, 6)
    weights = np.stack([np.ones(40), truth == 1, truth == 0, np.zeros(40)], axis=1).astype(int)
    found = curve(truth, score, weights, np.array([0.0, 0.5, 1.0]))
    assert np.isfinite(found[:, 0]).all()
    assert np.isnan(found[:, 1:]).all()
    for alone in (0, 1, -1):
        assert np.isnan(curve(np.full(40, alone), score, weights)).all()


def test_the_band_is_the_mean_over_seeds_with_the_central_95_percent_of_its_replicates() -> None:
    seeds = np.random.default_rng(5).random((3, 4, 201))
    band = pointwise_band(list(seeds))
    mean = sum(seeds) / 3
    np.testing.assert_allclose(band.value, mean[:, 0])
    np.testing.assert_allclose(band.low, np.percentile(mean[:, 1:], 2.5, axis=1))
    np.testing.assert_allclose(band.high, np.percentile(mean[:, 1:], 97.5, axis=1))


def test_a_band_of_constant_curves_has_no_width_and_one_curve_has_no_band() -> None:
    shape = np.linspace(0, 1, 5)[:, None]
    band = pointwise_band([np.repeat(shape, 30, axis=1)])
    np.testing.assert_allclose(band, np.tile(shape.T, (3, 1)), atol=1e-15)
    single = pointwise_band([shape])
    np.testing.assert_array_equal(single.value, shape[:, 0])
    assert np.isnan([single.low, single.high]).all()


def test_replicates_without_a_class_are_left_out_of_the_band() -> None:
    whole = np.random.default_rng(6).random((3, 11))
    gaps = np.insert(whole, [1, 4, 11], np.nan, axis=1)
    np.testing.assert_array_equal(pointwise_band([gaps]), pointwise_band([whole]))
    nowhere = np.where(np.arange(11) > 0, np.nan, whole)
    assert np.isnan(pointwise_band([nowhere])[1:]).all()
    np.testing.assert_array_equal(pointwise_band([nowhere]).value, whole[:, 0])


def test_slices_of_a_patient_are_resampled_together() -> None:
    patients = ["b", "a", "b", "c", "a", "b"]
    who = pd.DataFrame({"sample": list("uvwxyz"), "series": "-", "cluster": patients})
    answers = SplitAnswers("slice", who, ("acl",), np.zeros((6, 1), dtype=int), {("i2m2", "0"): np.zeros((6, 1, 2))})
    weights = resampling_weights(answers.index["cluster"].to_numpy(), 50)
    assert weights.shape == (6, 51)
    assert (weights[:, 0] == 1).all()  # the sample as it is
    assert (weights[[0, 1]] == weights[[2, 4]]).all() and (weights[0] == weights[5]).all()
    assert (weights[[0, 1, 3]].sum(axis=0) == 3).all()  # as many patients as there are
    assert len(np.unique(weights, axis=1).T) > 5
    np.testing.assert_array_equal(weights, resampling_weights(answers.index["cluster"].to_numpy(), 50))
