from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from knee_i2m2.evaluation.statistics.multiplicity import holm, holm_levels
from knee_i2m2.evaluation.statistics.student import (
    Area,
    Difference,
    area,
    auroc_interval,
    clustered_mean,
    difference,
    mean_area,
    mean_difference,
    paired_test,
)
from tests.evaluation.statistics.test_delong import PROC, drawn


def clustered(seed: int, levels: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns truth, some of it unknown, two scores with ties, and clusters numbered from 0 on."""
    truth, first, second, clusters = drawn(seed, 90, levels)
    unknown = np.random.default_rng(seed).random(90) < 0.2
    codes = np.unique(clusters, return_inverse=True)[1]
    return np.where(unknown & (np.arange(90) > 3), -1, truth), first, second, codes


def log_odds(p: np.ndarray | float) -> np.ndarray:
    return np.log(p) - np.log1p(-np.asarray(p))


def left_out(truth: np.ndarray, score: np.ndarray, clusters: np.ndarray) -> dict[int, float]:
    """Returns the area without each cluster that has a sample of known truth."""
    known = {c: (truth >= 0) & (clusters != c) for c in np.unique(clusters[truth >= 0])}
    return {c: roc_auc_score(truth[kept], score[kept]) for c, kept in known.items()}


def jackknife_variance(without: np.ndarray) -> float:
    return (len(without) - 1) / len(without) * float(((without - without.mean()) ** 2).sum())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([1, 7, 1000]))
def test_an_area_is_that_of_the_brute_force_jackknife_on_the_logit_scale(seed: int, levels: int) -> None:
    truth, score, _, clusters = clustered(seed, levels)
    brute = left_out(truth, score, clusters)
    one = area(truth, score, clusters)
    whole = roc_auc_score(truth[truth >= 0], score[truth >= 0])
    assert one.value == pytest.approx(whole, abs=1e-12)
    np.testing.assert_allclose(one.without[[*brute]], [*brute.values()], atol=1e-12)
    assert np.isnan(np.delete(one.without, [*brute])).all()
    fewest = min(len(set(clusters[truth == side])) for side in (0, 1))
    moved = np.clip(log_odds(np.array([*brute.values()])) - log_odds(whole), -1, 1)
    half = stats.t.ppf(0.975, fewest - 1) * np.sqrt(jackknife_variance(moved))
    assert log_odds(np.array(one.interval())) == pytest.approx([log_odds(whole) - half, log_odds(whole) + half])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([1, 7, 1000]))
def test_a_difference_is_that_of_the_brute_force_jackknife(seed: int, levels: int) -> None:
    truth, first, second, clusters = clustered(seed, levels)
    brute = (np.array([*left_out(truth, score, clusters).values()]) for score in (first, second))
    one = difference(area(truth, first, clusters), area(truth, second, clusters))
    spread = np.sqrt(jackknife_variance(np.subtract(*brute)))
    assert one.spread == pytest.approx(spread, abs=1e-12)
    half = stats.t.ppf(0.975, one.freedom) * spread
    assert one.interval() == pytest.approx((max(one.value - half, -1), min(one.value + half, 1)), abs=1e-9)
    assert one.p == pytest.approx(2 * stats.t.sf(abs(one.value) / spread, one.freedom), abs=1e-12)


@pytest.mark.parametrize("name", ["aSAH", "tied", "untied"])
def test_where_nothing_is_clustered_the_spread_is_about_delongs(name: str) -> None:
    known = PROC[name]
    truth, first, second = (np.array(known[part], dtype=float) for part in ("truth", "first", "second"))
    tested = paired_test(truth.astype(int), first, second)
    assert tested.difference == pytest.approx(known["paired"]["difference"], abs=1e-12)
    assert tested.p == pytest.approx(known["paired"]["p"], rel=0.05)
    low, high = known["low"]["first"], known["high"]["first"]
    ours = auroc_interval(truth.astype(int), first)
    assert ours.high - ours.low == pytest.approx(high - low, rel=0.06)


def test_satterthwaites_degrees_of_freedom_are_those_counted_by_hand() -> None:
    area_of = Area(0.8, np.array([0.8, 0.7, 0.9, 0.8, 0.8]), np.array([True, True, False, False, False]), 2)
    one = difference(area_of, replace(area_of, value=0.7, without=np.full(5, 0.7)))
    # the differences are .1, 0, .2, .1, .1; of the squares of their deviations .01 falls to either side
    assert one.spread == pytest.approx(np.sqrt(4 / 5 * 0.02))
    assert one.freedom == pytest.approx((0.01 + 0.01) ** 2 / (0.01**2 / 1 + 0.01**2 / 2))
    alone = replace(area_of, positive=np.array([True, True, True, True, False]))
    assert difference(alone, replace(alone, without=np.full(5, 0.7))).freedom == pytest.approx(4)  # 1 other joins the 4


@settings(deadline=None)
@given(
    st.floats(-1, 1).filter(lambda value: abs(value) > 1e-6),
    st.floats(1e-3, 1),
    st.floats(1, 200),
    st.floats(1e-4, 0.5),
)
def test_p_is_below_alpha_just_where_the_interval_excludes_0(value, spread, freedom, alpha) -> None:
    one = Difference(value, np.array([spread]), freedom)
    if abs(one.p - alpha) > 1e-9:
        low, high = one.interval(1 - alpha)
        assert (one.p < alpha) == (low > 0 or high < 0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(0.01, 0.2), st.floats(2, 50)), min_size=1, max_size=12))
def test_holms_p_and_the_interval_at_holms_level_cannot_disagree(drawn_differences) -> None:
    family = [Difference(value, np.array([spread]), freedom) for value, spread, freedom in drawn_differences]
    p = np.array([one.p for one in family])
    ends = [one.interval(level) for one, level in zip(family, holm_levels(p).tolist(), strict=True)]
    assert [low > 0 or high < 0 for low, high in ends] == (holm(p) <= 0.05).tolist()


def test_means_over_seeds_and_targets_are_those_of_the_jackknife_of_the_mean() -> None:
    scored = [clustered(seed)[:2] for seed in (1, 2)]
    clusters = clustered(1)[3]
    both = [area(truth, score, clusters) for truth, score in scored]
    mean = mean_area(both)
    brute = [left_out(truth, score, clusters) for truth, score in scored]
    whole = [roc_auc_score(truth[truth >= 0], score[truth >= 0]) for truth, score in scored]
    either = sorted({*brute[0]} | {*brute[1]})
    expected = [np.mean([one.get(c, all_) for one, all_ in zip(brute, whole, strict=True)]) for c in either]
    np.testing.assert_allclose(mean.without[either], expected, atol=1e-12)
    assert mean.value == pytest.approx(np.mean(whole))
    assert mean.fewest == min(one.fewest for one in both)
    flat = [difference(one, replace(one, value=0.5, without=one.without * 0 + 0.5)) for one in both]
    apart = mean_difference(flat)
    np.testing.assert_allclose(apart.contributions, np.mean([one.contributions for one in flat], axis=0))
    assert apart.freedom == min(one.freedom for one in flat)


def test_samples_of_other_clusters_are_independent() -> None:
    truth, score, _, _ = drawn(3)
    codes = np.arange(120)
    inside, outside = (area(np.where(codes // 60 == half, truth, -1), score, codes) for half in (0, 1))
    apart = difference(inside, outside)
    separate = sum(jackknife_variance(one.without[~np.isnan(one.without)]) for one in (inside, outside))
    assert apart.value == pytest.approx(inside.value - outside.value)
    assert apart.spread**2 == pytest.approx(separate, rel=0.02)


def test_only_the_order_of_scores_matters_and_not_that_of_samples() -> None:
    truth, first, second, clusters = clustered(5)
    expected = paired_test(truth, first, second, clusters)
    assert paired_test(truth, np.exp(first / 3), second**3, clusters) == pytest.approx(expected, abs=1e-12)
    order = np.random.default_rng(0).permutation(90)
    assert paired_test(truth[order], first[order], second[order], clusters[order]) == pytest.approx(expected, abs=1e-12)
    names = np.array([f"patient {c}" for c in clusters])
    assert paired_test(truth, first, second, names) == pytest.approx(expected, abs=1e-12)
    assert paired_test(truth, second, first, clusters).p == pytest.approx(expected.p, abs=1e-12)


def test_repeating_every_slice_tenfold_narrows_nothing() -> None:
    truth, first, second, clusters = clustered(6)
    once = [*auroc_interval(truth, first, clusters), *paired_test(truth, first, second, clusters)]
    more = [np.repeat(one, 10) for one in (truth, first, second, clusters)]
    again = [*auroc_interval(more[0], more[1], more[3]), *paired_test(*more)]
    np.testing.assert_allclose(again, once, atol=1e-12)


@pytest.mark.parametrize(("clusters", "end"), [(2, 0.158), (10, 0.6915), (40, 0.9119), (100, 0.9638)])
def test_a_perfect_area_has_the_interval_of_as_many_patients_without_an_error(clusters: int, end: float) -> None:
    truth = np.repeat([0, 1], clusters)
    perfect, worst = auroc_interval(truth, truth), auroc_interval(truth, -truth)
    assert perfect == pytest.approx((1, stats.beta.ppf(0.025, clusters, 1), 1))
    assert perfect.low == pytest.approx(end, abs=1e-3)
    assert worst == pytest.approx((0, 0, 1 - perfect.low))


def test_one_patient_with_all_the_errors_widens_the_interval_and_does_not_make_it_useless() -> None:
    truth = np.repeat([0, 1], 15)
    score = np.where(np.arange(30) == 29, 0.5, truth)
    score[:3] = 0.6
    estimate = auroc_interval(truth, score)
    assert 0.7 < estimate.low < estimate.value < estimate.high < 1


def test_intervals_of_areas_lie_between_0_and_1_around_the_value() -> None:
    for seed in range(50):
        truth, score, _, clusters = clustered(seed, 1)
        estimate = auroc_interval(truth, score + 3 * truth, clusters)
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_scores_that_agree_differ_by_nothing_with_certainty() -> None:
    truth, first, second, clusters = clustered(10)
    assert paired_test(truth, first, 2 * first, clusters) == (0, 0, 0, 1)
    a, b = area(truth, first, clusters), area(truth, second, clusters)
    same = difference(mean_area([a, b, a]), mean_area([a, a, b]))
    assert (*same.interval(), same.p) == (0, 0, 1)  # but for rounding


def test_a_difference_that_never_varies_has_no_p() -> None:
    truth = np.array([0, 0, 1, 1])
    tested = paired_test(truth, truth, np.zeros(4, dtype=int))
    assert tested.difference == 0.5 and np.isnan(tested[1:]).all()


def test_a_single_class_and_a_single_cluster_are_not_estimable() -> None:
    ones = np.ones(5, dtype=int)
    assert np.isnan([*auroc_interval(ones, np.arange(5.0)), *paired_test(ones, ones, np.arange(5))]).all()
    one_positive = auroc_interval(np.array([0, 0, 1]), np.arange(3.0))
    assert one_positive.value == 1 and np.isnan(one_positive[1:]).all()
    truth, first, second, _ = drawn(9)
    alone = np.zeros(120, dtype=int)
    assert np.isnan([*auroc_interval(truth, first, alone)[1:], *paired_test(truth, first, second, alone)[1:]]).all()


@pytest.mark.parametrize(("clusters", "size"), [(5, 1), (12, 4), (40, 3)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_with_clusters_of_one_size_it_is_the_t_interval_of_their_means(clusters: int, size: int, level: float) -> None:
    values = np.random.default_rng(1).normal(size=(clusters, size))
    found = clustered_mean(values.ravel(), np.repeat(np.arange(clusters), size), level)
    means = values.mean(axis=1)
    low, high = stats.t.interval(level, clusters - 1, means.mean(), stats.sem(means))
    np.testing.assert_allclose(found, (means.mean(), low, high))


def test_one_cluster_has_a_mean_and_no_interval() -> None:
    found = clustered_mean(np.array([1.0, 3.0]), np.array(["a", "a"]))
    assert found.value == 2 and np.isnan(found.low) and np.isnan(found.high)


def test_clusters_of_other_sizes_are_covered_too() -> None:
    held = []
    for seed in range(400):
        random = np.random.default_rng(seed)
        sizes = random.integers(1, 10, size=40)
        values = np.repeat(random.normal(size=40), sizes) + random.normal(size=sizes.sum())
        found = clustered_mean(values, np.repeat(np.arange(40), sizes))
        held.append(found.low <= 0 <= found.high)
    assert abs(np.mean(held) - 0.95) < 3 * np.sqrt(0.05 * 0.95 / 400)
