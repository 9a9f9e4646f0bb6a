"""Area under the receiver operating characteristic."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

from knee_i2m2.evaluation.statistics.ranking import cumulated, over_replicates, ranking

__all__ = ["auroc"]


def auroc(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    weights: Num[np.ndarray, "samples *replicates"] | None = None,
) -> Float[np.ndarray, "*replicates"] | float:
    r"""Returns the probability that a positive outscores a negative, ties counted half.

    .. math:: \sum_{i: y_i = 1} \sum_{j: y_j = 0} w_i w_j \left([s_i > s_j] + \tfrac12 [s_i = s_j]\right) / (W_1 W_0)

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Larger means more positive.
        weights: How often each sample counts, in one column per replicate; once, if not given.

    Returns:
        Numbers in [0, 1], or NaN ("not estimable") where a class is absent.

    References:
        The meaning and use of the area under a receiver operating characteristic curve (Hanley and McNeil, 1982)

    Example:
        >>> auroc(np.array([0, 1, 1, -1]), np.array([0.2, 0.2, 0.9, 5.0]))
        0.75
    """
    order = ranking(truth, score)
    return over_replicates(
        lambda block: _share_won(block[order.positives], cumulated(block[order.negatives]), order.alarms),
        len(truth),
        weights,
    )


def _share_won(
    positive: Num[np.ndarray, "positives replicates"],
    negatives: Num[np.ndarray, "places replicates"],
    alarms: Int[np.ndarray, "2 positives"],
) -> Float[np.ndarray, " replicates"]:
    """Returns the share of pairs that the positives win; NaN where there is no pair."""
    higher, as_high = negatives[alarms]
    won = np.einsum("pr,pr->r", positive, 2 * negatives[-1] - higher - as_high, dtype=float) / 2
    pairs = positive.sum(axis=0, dtype=float) * negatives[-1]
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
