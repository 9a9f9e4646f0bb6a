import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.bootstrap import cluster_weights
from knee_i2m2.evaluation.statistics.delong import Components, components, covariance, interval, mean, variance

PROC = json.loads(Path(__file__).with_name("proc.json").read_text())  # made by proc.R
SETS = [name for name in PROC if name != "made_by"]


def drawn(seed: int, samples: int = 120, levels: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns truth, two correlated scores with ties, and clusters of uneven size."""
    random = np.random.default_rng(seed)
    truth = random.integers(2, size=samples)
    truth[:4] = [0, 1, 0, 1]
    shared = random.standard_normal(samples)
    first, second = (np.round((truth + shared + random.standard_normal(samples)) * levels / 6) for _ in range(2))
    clusters = random.integers(samples // 4, size=samples)
    clusters[:4] = [0, 1, 1, 2]
    return truth, first, second, clusters


def kernel(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Returns what each pair of a positive and a negative is worth."""
    positive, negative = score[truth == 1][:, None], score[truth == 0][None]
    return (positive > negative) + 0.5 * (positive == negative)


def brute_delong(truth: np.ndarray, *scores: np.ndarray) -> np.ndarray:
    """Returns the covariance matrix of DeLong et al. (1988), equations 4 to 6, from all pairs."""
    pairs = [kernel(truth, score) for score in scores]
    s10 = np.cov([pair.mean(axis=1) for pair in pairs])
    s01 = np.cov([pair.mean(axis=0) for pair in pairs])
    return s10 / pairs[0].shape[0] + s01 / pairs[0].shape[1]


def brute_obuchowski(truth: np.ndarray, first: np.ndarray, second: np.ndarray, clusters: np.ndarray) -> float:
    """Returns the covariance of Obuchowski (1997) from all pairs, cluster by cluster."""
    m, n = (truth == 1).sum(), (truth == 0).sum()
    names = np.unique(clusters)
    sums = {"x": [], "y": []}
    for score in (first, second):
        pairs = kernel(truth, score)
        x = [pairs[clusters[truth == 1] == c].mean(axis=1).sum() for c in names]
        y = [pairs[:, clusters[truth == 0] == c].mean(axis=0).sum() for c in names]
        sums["x"].append(x - np.array([(truth[clusters == c] == 1).sum() for c in names]) * pairs.mean())
        sums["y"].append(y - np.array([(truth[clusters == c] == 0).sum() for c in names]) * pairs.mean())
    i10, i01 = (len(np.unique(clusters[truth == side])) for side in (1, 0))
    s10 = i10 / ((i10 - 1) * m) * np.dot(*sums["x"])
    s01 = i01 / ((i01 - 1) * n) * np.dot(*sums["y"])
    s11 = [len(names) / (len(names) - 1) * np.dot(sums["x"][k], sums["y"][1 - k]) for k in (0, 1)]
    return s10 / m + s01 / n + sum(s11) / (m * n)


@pytest.mark.parametrize("name", SETS)
def test_areas_variances_and_intervals_are_those_of_proc(name: str) -> None:
    known = PROC[name]
    truth = np.array(known["truth"])
    for which in ("first", "second"):
        ours = components(truth, np.array(known[which], dtype=float))
        assert ours.auroc == pytest.approx(known["auc"][which], abs=1e-12)
        assert variance(ours) == pytest.approx(known["variance"][which], abs=1e-12)
        assert interval(ours)[1:] == pytest.approx((known["low"][which], known["high"][which]), abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_the_covariance_is_that_of_proc(name: str) -> None:
    known = PROC[name]
    truth = np.array(known["truth"])
    first, second = (components(truth, np.array(known[which], dtype=float)) for which in ("first", "second"))
    assert covariance(first, second) == pytest.approx(known["covariance"], abs=1e-12)


def test_the_recorded_data_hold_heavy_ties_and_none() -> None:
    assert len(set(PROC["tied"]["first"])) < 10 and len(PROC["tied"]["first"]) == 160
    assert len(set(PROC["untied"]["first"])) == 160


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([1, 7, 1000]))
def test_closed_forms_equal_all_pairs(seed: int, levels: int) -> None:
    truth, first, second, clusters = drawn(seed, 60, levels)
    ours = [components(truth, score) for score in (first, second)]
    for score, one in zip((first, second), ours, strict=True):
        assert one.auroc == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        assert one.auroc == pytest.approx(one.values[truth == 0].mean(), abs=1e-12)
    matrix = brute_delong(truth, first, second)
    np.testing.assert_allclose([[covariance(a, b) for a in ours] for b in ours], matrix, atol=1e-12)
    assert covariance(*ours, clusters) == pytest.approx(brute_obuchowski(truth, first, second, clusters), abs=1e-12)
    assert variance(ours[0], clusters) == pytest.approx(brute_obuchowski(truth, first, first, clusters), abs=1e-12)


def test_every_sample_a_cluster_of_its_own_is_exactly_delong() -> None:
    truth, first, second, _ = drawn(4)
    ours = components(truth, first), components(truth, second)
    assert variance(ours[0], np.arange(120)) == pytest.approx(variance(ours[0]), abs=1e-15)
    assert covariance(*ours, np.arange(120)) == pytest.approx(covariance(*ours), abs=1e-15)


def test_repeating_every_slice_tenfold_tells_the_clustered_variance_nothing() -> None:
    truth, first, _, clusters = drawn(6)
    once, tenfold = components(truth, first), components(np.repeat(truth, 10), np.repeat(first, 10))
    assert variance(tenfold, np.repeat(clusters, 10)) == pytest.approx(variance(once, clusters), rel=1e-10)
    assert variance(tenfold) < variance(once) / 9


def test_the_variance_of_a_mean_and_of_a_difference_is_that_of_the_covariances() -> None:
    truth, first, second, clusters = drawn(7)
    a, b = components(truth, first), components(truth, second)
    spread = [[covariance(x, y, clusters) for x in (a, b)] for y in (a, b)]
    assert mean([a, b]).auroc == pytest.approx((a.auroc + b.auroc) / 2)
    assert variance(mean([a, b]), clusters) == pytest.approx(np.mean(spread), abs=1e-15)
    assert variance(Components(truth, a.values - b.values), clusters) == pytest.approx(
        spread[0][0] + spread[1][1] - 2 * spread[0][1], abs=1e-15
    )


def test_the_clustered_variance_is_about_that_of_the_clustered_bootstrap() -> None:
    random = np.random.default_rng(0)
    clusters = np.repeat(np.arange(200), 5)
    truth = np.repeat(random.integers(2, size=200), 5)
    score = truth + random.standard_normal(200)[clusters] + random.standard_normal(1000)
    replicates = auroc(truth, score, cluster_weights(200, 2000, random)[clusters])[1:]
    assert variance(components(truth, score), clusters) == pytest.approx(replicates.var(), rel=0.1)


def test_unknown_truth_is_ignored() -> None:
    truth, first, second, clusters = drawn(8)
    half = np.where(np.arange(120) < 80, truth, -1)
    for known in (None, clusters):
        ours = covariance(components(half, first), components(half, second), known)
        short = [components(truth[:80], score[:80]) for score in (first, second)]
        assert ours == pytest.approx(covariance(*short, None if known is None else known[:80]), abs=1e-12)


def test_a_single_class_and_a_single_cluster_are_not_estimable() -> None:
    alone = components(np.ones(5, dtype=int), np.arange(5.0))
    assert np.isnan([alone.auroc, variance(alone), *interval(alone)]).all()
    one_positive = components(np.array([0, 0, 1]), np.arange(3.0))
    assert one_positive.auroc == 1 and np.isnan(variance(one_positive))
    truth, first, _, _ = drawn(9)
    assert np.isnan(variance(components(truth, first), np.zeros(120, dtype=int)))
    assert np.isnan(components(np.empty(0, dtype=int), np.empty(0)).auroc)


def test_intervals_stay_within_what_an_area_can_be() -> None:
    truth, score = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 3, 2, 4, 5])
    assert interval(components(truth, score)).high == 1
    assert interval(components(truth, truth)) == (1, 1, 1)


def test_components_of_other_samples_are_refused() -> None:
    truth, first, _, _ = drawn(11)
    with pytest.raises(ValueError, match="same samples"):
        covariance(components(truth, first), components(1 - truth, first))
    with pytest.raises(ValueError, match="no components"):
        mean([])
