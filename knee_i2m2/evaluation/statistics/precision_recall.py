"""Average precision: the area under the precision-recall curve."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

from knee_i2m2.evaluation.statistics.ranking import Ranking, cumulated, over_replicates, ranking

__all__ = ["average_precision"]


def average_precision(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    weights: Num[np.ndarray, "samples *replicates"] | None = None,
) -> Float[np.ndarray, "*replicates"] | float:
    r"""Returns the mean, over positives, of the precision among all that score at least as high.

    .. math:: \sum_{i: y_i = 1} w_i \frac{\sum_{j: y_j = 1} w_j [s_j \ge s_i]}{\sum_j w_j [s_j \ge s_i]} / W_1

    This is the step-wise area :math:`\sum_n (R_n - R_{n-1}) P_n`, without interpolation, which is
    too optimistic. An uninformative score reaches about the prevalence.

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Larger means more positive.
        weights: How often each sample counts, in one column per replicate; once, if not given.

    Returns:
        Numbers in (0, 1], or NaN ("not estimable") where a class is absent.

    References:
        The relationship between precision-recall and ROC curves (Davis and Goadrich, 2006)

    Example:
        >>> average_precision(np.array([1, 0, 0, 1, -1]), np.array([0.9, 0.5, 0.5, 0.2, 5.0]))
        0.75
    """
    order = ranking(truth, score)
    return over_replicates(
        lambda block: _mean_precision(block[order.positives], block[order.negatives], order), len(truth), weights
    )


def _mean_precision(
    positive: Num[np.ndarray, "positives replicates"],
    negative: Num[np.ndarray, "negatives replicates"],
    order: Ranking,
) -> Float[np.ndarray, " replicates"]:
    """Returns the mean over positives, since recall rises only there; NaN where a class is absent."""
    hits, alarms = cumulated(positive), cumulated(negative)
    called = hits[order.hits[1]] + alarms[order.alarms[1]]
    precision = np.divide(hits[order.hits[1]], called, out=np.zeros(called.shape), where=called > 0)
    total = np.where((hits[-1] > 0) & (alarms[-1] > 0), hits[-1], np.nan)
    return np.einsum("pr,pr->r", positive, precision, dtype=float) / total
