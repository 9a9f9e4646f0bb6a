"""AUROC adjusted for a covariate: pairs are compared within its strata only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

__all__ = ["adjusted_auroc", "adjusted_auroc_of_replicates", "strata"]

_BLOCK = 64


def strata(position: Float[np.ndarray, " samples"], count: int = 40) -> Int[np.ndarray, " samples"]:
    """Returns in which of `count` equal parts of [0, 1] each position lies; 40 are about one slice each.

    What lies beyond an end belongs to the part at that end. An unknown position (NaN) is -1: it is equal to no other,
    not even to another unknown one.

    Example:
        >>> strata(np.array([0.0, 0.49, 0.5, 1.0, np.nan]), 2)
        array([ 0,  0,  1,  1, -1])
    """
    part = np.clip(np.floor(position * count), 0, count - 1)
    return np.where(np.isnan(position), -1, part).astype(np.int64)


def adjusted_auroc(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    strata: Int[np.ndarray, " samples"],
    weight: Num[np.ndarray, " samples"] | None = None,
) -> float:
    r"""Returns the probability that a positive outscores a negative of its own stratum, ties counted half.

    .. math:: \sum_k W_{1k}\, \mathrm{AUROC}_k / \sum_k W_{1k}

    over the strata :math:`k` with a negative, :math:`W_{1k}` the weight of their positives. The covariate alone,
    however well it predicts, has .5 (but for what it still tells within a stratum). Positives without a negative in
    their stratum have nothing to be compared with and are left out, of numerator and denominator.

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Larger means more positive.
        strata: Of the covariate; -1 is unknown and dropped.
        weight: How often each sample counts; once, if not given.

    Returns:
        A number in [0, 1], or NaN ("not estimable") when no stratum holds both classes.

    References:
        Adjusting for covariate effects on classification accuracy using the covariate-adjusted receiver operating
        characteristic curve (Janes and Pepe, 2009)

    Example:
        >>> adjusted_auroc(np.array([0, 1, 0, 1]), np.array([1, 2, 5, 5]), np.array([0, 0, 1, 1]))
        0.75
    """
    weights = np.ones(len(truth)) if weight is None else weight
    return float(adjusted_auroc_of_replicates(truth, score, strata, weights[:, None])[0])


def adjusted_auroc_of_replicates(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    strata: Int[np.ndarray, " samples"],
    weights: Num[np.ndarray, "samples replicates"],
) -> Float[np.ndarray, " replicates"]:
    """Returns the weighted adjusted AUROC of every column of `weights`; see `adjusted_auroc`.

    Samples are sorted once, by stratum and then by score; a stratum is a range of that order.
    """
    place, positives, negatives = _sorted(truth, score, strata)
    opponents = _opponents(place, positives, negatives, strata)
    blocks = [weights[:, start : start + _BLOCK] for start in range(0, weights.shape[1], _BLOCK)]
    return np.concatenate([_won(block[positives], block[negatives], opponents) for block in blocks] or [np.empty(0)])


class Opponents(NamedTuple):
    """Where the opponents of each positive stand among the sorted negatives.

    Attributes:
        below: How many negatives stand before each positive.
        up_to: How many stand before it or level with it.
        starts: The first positive of each stratum that has one.
        first: How many negatives stand before that stratum.
        last: How many stand before the next.
    """

    below: Int[np.ndarray, " positives"]
    up_to: Int[np.ndarray, " positives"]
    starts: Int[np.ndarray, " strata"]
    first: Int[np.ndarray, " strata"]
    last: Int[np.ndarray, " strata"]


def _sorted(
    truth: Int[np.ndarray, " samples"], score: Num[np.ndarray, " samples"], strata: Int[np.ndarray, " samples"]
) -> tuple[Int[np.ndarray, " samples"], Int[np.ndarray, " positives"], Int[np.ndarray, " negatives"]]:
    """Returns every sample's place, by stratum and then by score, and the positives and negatives in that order."""
    rank = np.unique(score, return_inverse=True)[1]
    place = strata.astype(np.int64) * len(score) + rank
    order = np.argsort(place, kind="stable")
    order = order[strata[order] >= 0]
    return place, order[truth[order] == 1], order[truth[order] == 0]


def _opponents(
    place: Int[np.ndarray, " samples"],
    positives: Int[np.ndarray, " positives"],
    negatives: Int[np.ndarray, " negatives"],
    strata: Int[np.ndarray, " samples"],
) -> Opponents:
    ordered = place[negatives]
    below, up_to = (np.searchsorted(ordered, place[positives], side=side) for side in ("left", "right"))
    shared, starts = np.unique(strata[positives], return_index=True)
    first, last = (np.searchsorted(strata[negatives], shared, side=side) for side in ("left", "right"))
    return Opponents(below, up_to, starts, first, last)


def _won(
    positive: Num[np.ndarray, "positives replicates"],
    negative: Num[np.ndarray, "negatives replicates"],
    opponents: Opponents,
) -> Float[np.ndarray, " replicates"]:
    """Returns the share of pairs within strata that the positives win, by positives; NaN where there is no pair."""
    kind = np.result_type(negative, np.int32)  # counts stay small integers, which are exact and quick
    cumulated = np.zeros((len(negative) + 1, negative.shape[1]), dtype=kind)
    np.cumsum(negative, axis=0, out=cumulated[1:])
    before, total = cumulated[opponents.first], cumulated[opponents.last] - cumulated[opponents.first]
    placed = positive * (cumulated[opponents.below] + cumulated[opponents.up_to]).astype(float) / 2
    counted, won = (_per_stratum(one, opponents.starts) for one in (positive, placed))
    won = np.divide(won - counted * before, total, out=np.zeros(won.shape), where=total > 0).sum(axis=0)
    compared = np.where(total > 0, counted, 0).sum(axis=0)
    return np.divide(won, compared, out=np.full(len(compared), np.nan), where=compared > 0)


def _per_stratum(
    positive: Num[np.ndarray, "positives replicates"], starts: Int[np.ndarray, " strata"]
) -> Float[np.ndarray, "strata replicates"]:
    return np.add.reduceat(positive, starts, axis=0, dtype=float)
