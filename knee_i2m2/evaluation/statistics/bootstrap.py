"""Intervals from resampling whole clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

__all__ = [
    "LEVEL",
    "Bootstrapped",
    "Estimate",
    "bootstrap_p",
    "cluster_weights",
    "clustered_interval",
    "percentile_interval",
]

LEVEL = 0.95


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


def bootstrap_p(drawn: Float[np.ndarray, " drawn"]) -> float:
    r"""Returns the two-sided p of a difference: the largest :math:`1 - \text{level}` whose percentile interval holds 0.

    At every level below 1 - p the interval of `percentile_interval` excludes 0, at every level above it holds 0, so
    that p and interval never disagree. The interval's ends are interpolated between replicates; so is p, which lies
    between :math:`2 (b - 1) / (B - 1)` and :math:`2 b / (B - 1)` for :math:`b` of :math:`B` replicates at or beyond 0.
    It is never below :math:`2 / (B + 1)`, that is :math:`(b + 1) / (B + 1)` on each side with :math:`b = 0`: so many
    replicates cannot tell a smaller one.

    Args:
        drawn: The difference, then its replicates; those that are not estimable (NaN) are left out.

    Returns:
        A number in (0, 1]; 1 if all replicates are 0; NaN ("not estimable") if the difference is, or more than half of
        its replicates are.

    References:
        An Introduction to the Bootstrap, chapter 15 (Efron and Tibshirani, 1993)
        Bootstrap Methods and their Application, section 4.2 (Davison and Hinkley, 1997), for the least p

    Example:
        >>> bootstrap_p(np.array([0.2, 0.1, 0.2, 0.3, 0.4]))
        0.4
    """
    replicates = np.sort(drawn[1:][~np.isnan(drawn[1:])])
    estimable = len(replicates)
    if np.isnan(drawn[0]) or estimable == 0 or 2 * estimable < len(drawn) - 1:
        return float("nan")
    place = min(_last_not_positive(replicates), _last_not_positive(-replicates[::-1]))
    return float(np.clip(2 * place / max(estimable - 1, 1), 2 / (estimable + 1), 1))


def _last_not_positive(ordered: Float[np.ndarray, " replicates"]) -> float:
    """Returns up to which place, counted from 0 and interpolated, ordered numbers are not above 0."""
    upper = int(np.searchsorted(ordered, 0, side="right"))
    if upper in (0, len(ordered)):
        return float(max(upper - 1, 0))
    below, above = ordered[upper - 1 : upper + 1]
    return float(upper - 1 + below / (below - above))


@dataclass(frozen=True)
class Bootstrapped:
    """A metric: its value, then its replicates."""

    drawn: Float[np.ndarray, " drawn"]

    @property
    def value(self) -> float:
        """Of the sample as it is."""
        return float(self.drawn[0])

    @property
    def sure(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.interval()[0]))

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Returns the percentile interval; NaN where there is no value."""
        return percentile_interval(self.drawn[1:] if np.isfinite(self.value) else self.drawn[:0], level)

    @property
    def p(self) -> float:
        """The two-sided p of a difference; see `bootstrap_p`."""
        return bootstrap_p(self.drawn)


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
    found = Bootstrapped(metric(truth, score, weights[codes]))
    return Estimate(found.value, *found.interval())
