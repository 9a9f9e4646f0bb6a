"""Intervals from resampling whole clusters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

__all__ = ["LEAST_POSITIVE", "Estimate", "cluster_weights", "clustered_interval", "estimate", "percentile_interval"]

LEVEL = 0.95

LEAST_POSITIVE = 10
"""With fewer positive clusters nothing is estimated."""


class Estimate(NamedTuple):
    """A number and its interval; NaN is "not estimable"."""

    value: float
    low: float
    high: float


def cluster_weights(
    clusters: int, replicates: int, generator: np.random.Generator
) -> Int[np.ndarray, "clusters drawn"]:
    """Returns how often each cluster counts: once in the first column, in the others as drawn with replacement.

    The first column is the sample as it is, so that whatever is computed per column yields the value and its replicates
    in one go. Samples, or slices and volumes, inherit the weights of their clusters by indexing.

    Args:
        clusters: Number of clusters.
        replicates: Number of bootstrap replicates; `drawn` is one more.
        generator: Source of the draws.
    """
    drawn = [np.ones(clusters)]
    drawn += [np.bincount(row, minlength=clusters) for row in generator.integers(clusters, size=(replicates, clusters))]
    return np.array(drawn, dtype=np.int32).T.copy()


def percentile_interval(replicates: Float[np.ndarray, " replicates"], level: float = LEVEL) -> tuple[float, float]:
    """Returns the central interval of the replicates that are estimable; NaN when more than half of them are not.

    References:
        An Introduction to the Bootstrap, chapter 13 (Efron and Tibshirani, 1993)
    """
    estimable = replicates[~np.isnan(replicates)]
    if len(estimable) == 0 or 2 * len(estimable) < len(replicates):
        return float("nan"), float("nan")
    low, high = np.quantile(estimable, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def estimate(drawn: Float[np.ndarray, " drawn"]) -> Estimate:
    """Returns the first entry as the value, with the percentile interval of the others (see `cluster_weights`)."""
    value = float(drawn[0])
    return Estimate(value, *(percentile_interval(drawn[1:]) if np.isfinite(value) else (np.nan, np.nan)))


def clustered_interval(
    metric: Callable[..., Float[np.ndarray, " drawn"]],
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, "samples ..."],
    clusters: Shaped[np.ndarray, " samples"],
    replicates: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Returns a metric with its cluster-bootstrap interval.

    Args:
        metric: Takes truth, score and weights of shape (samples, drawn), as `auroc` does.
        truth: Classes; -1 is unknown.
        score: What the metric takes.
        clusters: Whose sample it is; samples of one cluster are drawn together.
        replicates: Number of bootstrap replicates.
        seed: Of the draws.
    """
    names, codes = np.unique(clusters, return_inverse=True)
    weights = cluster_weights(len(names), replicates, np.random.default_rng(seed))
    return estimate(metric(truth, score, weights[codes]))
