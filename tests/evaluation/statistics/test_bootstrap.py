import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from knee_i2m2.evaluation.statistics.accuracy import accuracy
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.bootstrap import (
    Bootstrapped,
    bootstrap_p,
    cluster_weights,
    clustered_interval,
    percentile_interval,
)


def binormal(patients: int, generator: np.random.Generator, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    truth = np.arange(patients) % 2
    return truth, generator.standard_normal(patients) + shift * truth


def test_repeating_each_patients_slices_does_not_narrow_the_interval() -> None:
    truth, score = binormal(60, np.random.default_rng(0))
    patients = np.arange(60) // 2
    once = clustered_interval(auroc, truth, score, patients)
    tenfold = clustered_interval(auroc, *(np.repeat(a, 10) for a in (truth, score, patients)))
    assert tenfold == pytest.approx(once, abs=1e-12)


def test_slices_taken_for_independent_would_narrow_it() -> None:
    truth, score = (np.repeat(a, 10) for a in binormal(60, np.random.default_rng(0)))
    by_patient = clustered_interval(auroc, truth, score, np.repeat(np.arange(60), 10))
    by_slice = clustered_interval(auroc, truth, score, np.arange(600))
    assert by_patient.high - by_patient.low > 2 * (by_slice.high - by_slice.low)


def test_one_sample_a_cluster_is_the_ordinary_bootstrap() -> None:
    right = np.random.default_rng(1).random(80) < 0.7
    logp = np.log(np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]))
    ours = clustered_interval(accuracy, np.zeros(80, dtype=int), logp, np.arange(80), replicates=5000)
    theirs = stats.bootstrap((right,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(0))
    assert ours[1:] == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)


def test_nominal_intervals_cover_the_truth() -> None:
    true = stats.norm.cdf(1 / np.sqrt(2))
    covered = []
    for seed in range(200):
        truth, score = binormal(100, np.random.default_rng(seed))
        _, low, high = clustered_interval(auroc, truth, score, np.arange(100), replicates=200)
        covered.append(low <= true <= high)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_weights_begin_with_the_sample_itself_and_keep_the_number_of_clusters() -> None:
    weights = cluster_weights(7, 50, np.random.default_rng(0))
    assert weights.shape == (7, 51)
    assert (weights[:, 0] == 1).all()
    assert (weights.sum(axis=0) == 7).all()
    np.testing.assert_array_equal(weights, cluster_weights(7, 50, np.random.default_rng(0)))


def test_every_cluster_is_drawn_equally_often() -> None:
    weights = cluster_weights(5, 4000, np.random.default_rng(0))[:, 1:]
    np.testing.assert_allclose(weights.mean(axis=1), 1, atol=0.06)
    np.testing.assert_allclose(weights.var(axis=1), 1 - 1 / 5, atol=0.08)  # multinomial


def test_inestimable_replicates_are_left_out_until_they_are_the_majority() -> None:
    numbers = np.arange(101.0)
    assert percentile_interval(np.concatenate([numbers, np.full(101, np.nan)])) == pytest.approx((2.5, 97.5))
    assert np.isnan(percentile_interval(np.concatenate([numbers, np.full(102, np.nan)]))).all()
    assert np.isnan(percentile_interval(np.empty(0))).all()


def test_what_is_not_estimable_has_no_interval() -> None:
    assert np.isnan(Bootstrapped(np.array([np.nan, 0.5, 0.6])).interval()).all()


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.booleans())
def test_p_is_where_the_percentile_interval_reaches_nothing(seed: int, replicates: int, tied: bool) -> None:
    random = np.random.default_rng(seed)
    draw = random.normal(random.normal(), 1, size=replicates + 1)
    draw = np.round(draw) if tied else draw
    p = bootstrap_p(draw)
    least = 2 / (replicates + 1)
    assert least <= p <= 1
    for level in random.random(20):
        low, high = percentile_interval(draw[1:], float(level))
        if 1 - level > p + 1e-9:
            assert low > 0 or high < 0
        elif least < p and 1 - level < p - 1e-9:
            assert low <= 0 <= high


def test_p_counts_the_replicates_beyond_nothing() -> None:
    random = np.random.default_rng(0)
    for centre in (0.5, 1.0, 2.0):
        draw = random.normal(centre, 1, size=1001)
        beyond = np.count_nonzero(draw[1:] <= 0)
        assert 2 * (beyond - 1) / 999 <= bootstrap_p(draw) <= 2 * beyond / 999


def test_p_is_never_zero_and_has_no_side() -> None:
    draw = 1 + np.random.default_rng(0).random(1000)
    assert bootstrap_p(draw) == bootstrap_p(-draw) == 2 / 1000
    draw = np.random.default_rng(0).normal(1, 1, size=500)
    assert bootstrap_p(draw) == pytest.approx(bootstrap_p(-draw), abs=1e-12)


def test_a_difference_that_is_always_nothing_has_p_one() -> None:
    assert bootstrap_p(np.zeros(101)) == 1


def test_p_of_what_is_not_estimable_is_not_estimable() -> None:
    half = np.concatenate([[0.5], np.full(10, 0.5), np.full(10, np.nan)])
    assert bootstrap_p(half) == pytest.approx(2 / 11)  # of the replicates that are
    assert np.isnan(bootstrap_p(np.append(half, np.nan)))
    assert np.isnan(bootstrap_p(np.concatenate([[np.nan], np.ones(10)])))
    assert np.isnan(bootstrap_p(np.array([0.3])))
