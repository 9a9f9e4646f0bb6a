"""What the weighted statistics share: samples in the order of their scores, cumulated weights, weighted means."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

__all__ = ["Ranking", "cumulated", "over_replicates", "ranking", "weighted_mean"]

_BLOCK = 64
"""Replicates that are computed together: so many columns of a few thousand samples fit the cache."""

Weights = Num[np.ndarray, "samples *replicates"]


class Ranking(NamedTuple):
    """Samples of both classes from the highest score down.

    Attributes:
        positives: Rows of the positives, the highest first.
        negatives: Rows of the negatives, the highest first.
        hits: For each positive, how many positives score higher (first row), and how many at least as high (second).
        alarms: The same counts of negatives.
    """

    positives: Int[np.ndarray, " positives"]
    negatives: Int[np.ndarray, " negatives"]
    hits: Int[np.ndarray, "2 positives"]
    alarms: Int[np.ndarray, "2 positives"]


def ranking(truth: Int[np.ndarray, " samples"], score: Num[np.ndarray, " samples"]) -> Ranking:
    """Returns the order of the samples by score, which is the same in every replicate; unknown truths are dropped."""
    rank = -np.unique(score, return_inverse=True)[1]  # scores may be unsigned
    positives, negatives = (_ordered(rank, np.flatnonzero(truth == side)) for side in (1, 0))
    hits, alarms = (
        np.stack([np.searchsorted(rank[rows], rank[positives], side=side) for side in ("left", "right")])
        for rows in (positives, negatives)
    )
    return Ranking(positives, negatives, hits, alarms)


def _ordered(rank: Int[np.ndarray, " samples"], rows: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    return rows[np.argsort(rank[rows], kind="stable")]


def cumulated(weights: Num[np.ndarray, "rows replicates"]) -> Num[np.ndarray, "places replicates"]:
    """Returns the sums of the first 0, 1, 2, ... rows of weights."""
    kind = np.result_type(weights, np.int32)  # counts stay small integers, which are exact and quick
    sums = np.zeros((len(weights) + 1, weights.shape[1]), dtype=kind)
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def over_replicates(
    statistic: Callable[[Num[np.ndarray, "samples block"]], Float[np.ndarray, "*shape block"]],
    samples: int,
    weights: Weights | None,
) -> Float[np.ndarray, "..."] | float:
    """Returns a statistic for every column of weights: a number if there is one axis, or none are given.

    Args:
        statistic: Takes weights of shape (samples, block); its last axis is that of the replicates.
        samples: Number of samples.
        weights: How often each sample counts; once, if not given.
    """
    weights = np.ones(samples) if weights is None else weights
    columns = weights if weights.ndim == 2 else weights[:, None]
    starts = range(0, max(columns.shape[1], 1), _BLOCK)
    values = np.concatenate([statistic(columns[:, start : start + _BLOCK]) for start in starts], axis=-1)
    return values if weights.ndim == 2 else values[..., 0].item()


def weighted_mean(
    values: Num[np.ndarray, "*rows samples"], weights: Num[np.ndarray, "samples replicates"]
) -> Float[np.ndarray, "*rows replicates"]:
    """Returns the mean of every row of values under every column of weights; NaN where no sample counts."""
    counted = weights.astype(float)
    total = counted.sum(axis=0)
    return values @ counted / np.where(total > 0, total, np.nan)
