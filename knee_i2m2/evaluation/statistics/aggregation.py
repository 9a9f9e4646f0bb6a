"""Aggregation: what the slices of a volume or patient say together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.statistics.auroc import auroc

__all__ = ["AGGREGATORS", "choose", "maximum", "mean", "noisy_or", "top_k_mean"]

TOP = 3
"""How many of the highest slices `top_k_mean` averages."""

Slices = Float[np.ndarray, "slices targets"]
Groups = Float[np.ndarray, "groups targets"]
Codes = Int[np.ndarray, " slices"]


def maximum(log_odds: Slices, groups: Codes, count: int) -> Groups:
    """Returns the log-odds of each group's most suspicious slice.

    Args:
        log_odds: Of class 1.
        groups: Number of the group that a slice belongs to, below `count`; none is empty.
        count: Number of groups.
    """
    return _reduced(np.maximum, log_odds, groups, count)


def mean(log_odds: Slices, groups: Codes, count: int) -> Groups:
    """Returns the mean log-odds of each group's slices; see `maximum`."""
    return _reduced(np.add, log_odds, groups, count) / np.bincount(groups, minlength=count)[:, None]


def top_k_mean(log_odds: Slices, groups: Codes, count: int) -> Groups:
    """Returns the mean of each group's three highest log-odds, or of all if there are fewer; see `maximum`."""
    size = np.bincount(groups, minlength=count)
    start = np.cumsum(size) - size
    columns = []
    for column in log_odds.T:
        ordered = column[np.lexsort((-column, groups))]
        highest = np.arange(len(column)) - np.repeat(start, size) < TOP
        columns.append(np.add.reduceat(np.where(highest, ordered, 0), start) / np.minimum(size, TOP))
    return np.stack(columns, axis=1)


def noisy_or(log_odds: Slices, groups: Codes, count: int) -> Groups:
    r"""Returns the log-odds of :math:`1 - \prod_i (1 - p_i)`: at least one slice shows it, if they erred independently.

    With :math:`u = -\sum_i \log(1 - p_i)` these are :math:`\log(e^u - 1)`, computed so that nothing overflows. See
    `maximum`.

    References:
        Probabilistic Reasoning in Intelligent Systems (Pearl, 1988)
    """
    u = _reduced(np.add, np.logaddexp(0, log_odds), groups, count)
    least = np.finfo(float).tiny
    small = np.log(np.maximum(np.expm1(np.minimum(u, 1)), least))
    return np.where(
        u > 1, u + np.log1p(-np.exp(-np.maximum(u, 1))), np.where(u > least, small, _far(log_odds, groups, count))
    )


def _far(log_odds: Slices, groups: Codes, count: int) -> Groups:
    """Returns the log of the sum of odds: what the noisy or is where every probability is next to nothing."""
    return _reduced(np.logaddexp, log_odds, groups, count)


def _reduced(how: np.ufunc, log_odds: Slices, groups: Codes, count: int) -> Groups:
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(count))
    return how.reduceat(log_odds[order], starts, axis=0)


AGGREGATORS: dict[str, Callable[[Slices, Codes, int], Groups]] = {
    "maximum": maximum,
    "mean": mean,
    "top_k_mean": top_k_mean,
    "noisy_or": noisy_or,
}
"""What may join the slices of a group; the first is taken where validation tells nothing."""


def choose(truth: Int[np.ndarray, "groups targets"], scores: Sequence[Slices], groups: Codes) -> list[str]:
    """Returns per target the aggregator of the largest AUROC on average over rivals; the first of those that tie.

    Args:
        truth: Of the groups, on validation; -1 is unknown.
        scores: Log-odds of slices, one array a rival and seed.
        groups: Number of the group that a slice belongs to.
    """
    reached = np.array([_reached(how, truth, scores, groups) for how in AGGREGATORS.values()])
    best = np.where(np.isnan(reached), -1, reached.round(12)).argmax(axis=0)
    return [list(AGGREGATORS)[i] for i in best]


def _reached(
    how: Callable, truth: np.ndarray, scores: Sequence[Slices], groups: Codes
) -> Float[np.ndarray, " targets"]:
    joined = [how(score, groups, len(truth)) for score in scores]
    areas = [[auroc(y, z) for y, z in zip(truth.T, one.T, strict=True)] for one in joined]
    return np.mean(areas, axis=0) if areas else np.full(truth.shape[1], np.nan)
