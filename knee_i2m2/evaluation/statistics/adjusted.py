"""AUROC adjusted for a covariate: pairs are compared within its strata only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

from knee_i2m2.evaluation.statistics.ranking import cumulated, over_replicates, ranking

__all__ = ["adjusted_auroc", "strata"]


def strata(position: Float[np.ndarray, " samples"], count: int = 40) -> Int[np.ndarray, " samples"]:
    """Returns the number of the interval, of `count` equal ones in [0, 1], that holds each position.

    With 40 intervals each holds about one slice of a series. Positions outside [0, 1] belong to the first or last
    interval. An unknown position (NaN) is -1: it equals no other position, not even another unknown one.

    Example:
        >>> strata(np.array([0.0, 0.49, 0.5, 1.0, np.nan]), 2)
        array([ 0,  0,  1,  1, -1])
    """
    interval = np.clip(np.floor(position * count), 0, count - 1)
    return np.where(np.isnan(position), -1, interval).astype(np.int64)


def adjusted_auroc(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    strata: Int[np.ndarray, " samples"],
    weights: Num[np.ndarray, "samples *replicates"] | None = None,
) -> Float[np.ndarray, "*replicates"] | float:
    r"""Returns the probability that a positive outscores a negative of its own stratum, ties counted half.

    .. math:: \sum_k W_{1k}\, \mathrm{AUROC}_k / \sum_k W_{1k}

    over the strata :math:`k` with a negative, :math:`W_{1k}` the weight of their positives. The covariate alone reaches
    .5, however well it predicts, apart from its variation within a stratum. Positives without a negative in their
    stratum cannot be compared and are left out of numerator and denominator.

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Larger means more positive.
        strata: Of the covariate; -1 is unknown and dropped.
        weights: How often each sample counts, in one column per replicate; once, if not given.

    Returns:
        Numbers in [0, 1], or NaN ("not estimable") where no stratum holds both classes.

    References:
        Adjusting for covariate effects on classification accuracy using the covariate-adjusted receiver operating
        characteristic curve (Janes and Pepe, 2009)

    Example:
        >>> adjusted_auroc(np.array([0, 1, 0, 1]), np.array([1, 2, 5, 5]), np.array([0, 0, 1, 1]))
        0.75
    """
    place = np.unique(score, return_inverse=True)[1] - strata.astype(np.int64) * len(score)
    order = ranking(np.where(strata >= 0, truth, -1), place)  # a stratum is a range of that order
    with_positives, starts = np.unique(strata[order.positives], return_index=True)
    ends = np.stack([np.searchsorted(strata[order.negatives], with_positives, side=s) for s in ("left", "right")])
    return over_replicates(
        lambda block: _share_won(block[order.positives], cumulated(block[order.negatives]), order.alarms, starts, ends),
        len(truth),
        weights,
    )


def _share_won(
    positive: Num[np.ndarray, "positives replicates"],
    negatives: Num[np.ndarray, "places replicates"],
    alarms: Int[np.ndarray, "2 positives"],
    starts: Int[np.ndarray, " strata"],
    ends: Int[np.ndarray, "2 strata"],
) -> Float[np.ndarray, " replicates"]:
    """Returns the mean over positives of the share of pairs won in their stratum; NaN where there is no pair.

    Args:
        positive: Weights of the positives.
        negatives: Cumulated weights of the negatives.
        alarms: How many negatives stand before each positive, and before it or level with it.
        starts: The first positive of each stratum that has one.
        ends: How many negatives stand before that stratum, and before the next.
    """
    first, last = negatives[ends]
    higher, as_high = negatives[alarms]
    lost = np.add.reduceat(positive * (higher + as_high).astype(float) / 2, starts, axis=0, dtype=float)
    counted = np.add.reduceat(positive, starts, axis=0, dtype=float)
    total = last - first
    won = np.divide(counted * last - lost, total, out=np.zeros(lost.shape), where=total > 0).sum(axis=0)
    compared = np.where(total > 0, counted, 0).sum(axis=0)
    return np.divide(won, compared, out=np.full(len(compared), np.nan), where=compared > 0)
