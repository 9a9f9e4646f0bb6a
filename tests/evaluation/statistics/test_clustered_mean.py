"""The interval of a clustered mean is scipy's for means of clusters of one size, and holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from knee_i2m2.evaluation.statistics.clustered_mean import clustered_mean


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
