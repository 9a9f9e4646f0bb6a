"""Average precision: the area under the precision-recall curve."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

__all__ = ["average_precision", "average_precision_of_replicates"]

_BLOCK = 64


def average_precision(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    weight: Num[np.ndarray, " samples"] | None = None,
) -> float:
    r"""Returns the mean, over positives, of the precision among all that score at least as high.

    .. math:: \sum_{i: y_i = 1} w_i \frac{\sum_{j: y_j = 1} w_j [s_j \ge s_i]}{\sum_j w_j [s_j \ge s_i]} / W_1

    This is the step-wise area :math:`\sum_n (R_n - R_{n-1}) P_n`, without interpolation, which would flatter. A score
    that tells nothing has about the prevalence.

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Larger means more positive.
        weight: How often each sample counts; once, if not given.

    Returns:
        A number in (0, 1], or NaN ("not estimable") when a class is absent.

    References:
        The relationship between precision-recall and ROC curves (Davis and Goadrich, 2006)

    Example:
        >>> average_precision(np.array([1, 0, 0, 1, -1]), np.array([0.9, 0.5, 0.5, 0.2, 5.0]))
        0.75
    """
    weights = np.ones(len(truth)) if weight is None else weight
    return float(average_precision_of_replicates(truth, score, weights[:, None])[0])


def average_precision_of_replicates(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    weights: Num[np.ndarray, "samples replicates"],
) -> Float[np.ndarray, " replicates"]:
    """Returns the weighted average precision of every column of `weights`; see `average_precision`.

    The scores are sorted once; only at a positive does recall rise, so that precision is looked up there alone.
    """
    rank = -np.unique(score, return_inverse=True)[1]  # the highest first, and the scores may be unsigned
    positives, negatives = (_sorted(rank, np.flatnonzero(truth == side)) for side in (1, 0))
    true, false = (np.searchsorted(rank[side], rank[positives], side="right") for side in (positives, negatives))
    columns = weights.shape[1]
    blocks = [weights[:, start : start + _BLOCK] for start in range(0, columns, _BLOCK)]  # a block fits the cache
    return np.concatenate([_mean(block[positives], block[negatives], true, false) for block in blocks] or [np.empty(0)])


def _sorted(rank: Int[np.ndarray, " samples"], chosen: Int[np.ndarray, " chosen"]) -> Int[np.ndarray, " chosen"]:
    return chosen[np.argsort(rank[chosen], kind="stable")]


def _mean(
    positive: Num[np.ndarray, "positives replicates"],
    negative: Num[np.ndarray, "negatives replicates"],
    true: Int[np.ndarray, " positives"],
    false: Int[np.ndarray, " positives"],
) -> Float[np.ndarray, " replicates"]:
    """Returns the positives' mean precision; NaN where a class is absent."""
    hits, alarms = _cumulated(positive), _cumulated(negative)
    found = hits[true]
    called = found + alarms[false]
    precision = np.divide(found, called, out=np.zeros(called.shape), where=called > 0)  # else it has no weight either
    total = np.where((hits[-1] > 0) & (alarms[-1] > 0), hits[-1], np.nan)
    return np.einsum("pr,pr->r", positive, precision, dtype=float) / total


def _cumulated(weights: Num[np.ndarray, "samples replicates"]) -> Num[np.ndarray, "places replicates"]:
    kind = np.result_type(weights, np.int32)  # counts stay small integers, which are exact and quick
    cumulated = np.zeros((len(weights) + 1, weights.shape[1]), dtype=kind)
    np.cumsum(weights, axis=0, out=cumulated[1:])
    return cumulated
