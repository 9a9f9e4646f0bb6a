"""Area under the receiver operating characteristic."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

__all__ = ["auroc", "auroc_of_replicates"]

_BLOCK = 64


def auroc(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    weight: Num[np.ndarray, "samples *replicates"] | None = None,
) -> float | Float[np.ndarray, " replicates"]:
    r"""Returns the probability that a positive outscores a negative, ties counted half.

    .. math:: \sum_{i: y_i = 1} \sum_{j: y_j = 0} w_i w_j \left([s_i > s_j] + \tfrac12 [s_i = s_j]\right) / (W_1 W_0)

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Larger means more positive.
        weight: How often each sample counts; once, if not given. Of shape (samples, replicates) in a bootstrap.

    Returns:
        A number in [0, 1], or NaN ("not estimable") when a class is absent; one for each replicate, if there are such.

    References:
        The meaning and use of the area under a receiver operating characteristic curve (Hanley and McNeil, 1982)

    Example:
        >>> auroc(np.array([0, 1, 1, -1]), np.array([0.2, 0.2, 0.9, 5.0]))
        0.75
    """
    weights = np.ones(len(truth)) if weight is None else weight
    areas = auroc_of_replicates(truth, score, weights if weights.ndim == 2 else weights[:, None])
    return areas if weights.ndim == 2 else float(areas[0])


def auroc_of_replicates(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    weights: Num[np.ndarray, "samples replicates"],
) -> Float[np.ndarray, " replicates"]:
    """Returns the weighted AUROC of every column of `weights`; see `auroc`.

    The scores are sorted once: a positive wins the negatives' cumulated weight below it and half of that level with it.
    """
    positives, negatives = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    negatives = negatives[np.argsort(score[negatives], kind="stable")]
    below = np.searchsorted(score[negatives], score[positives], side="left")
    up_to = np.searchsorted(score[negatives], score[positives], side="right")
    columns = weights.shape[1]
    blocks = [weights[:, start : start + _BLOCK] for start in range(0, columns, _BLOCK)]  # a block fits the cache
    return np.concatenate([_won(block[positives], block[negatives], below, up_to) for block in blocks] or [np.empty(0)])


def _won(
    positive: Num[np.ndarray, "positives replicates"],
    negative: Num[np.ndarray, "negatives replicates"],
    below: Int[np.ndarray, " positives"],
    up_to: Int[np.ndarray, " positives"],
) -> Float[np.ndarray, " replicates"]:
    """Returns the share of pairs that the positives win; NaN where there is no pair."""
    kind = np.result_type(negative, np.int32)  # counts stay small integers, which are exact and quick
    cumulated = np.zeros((len(negative) + 1, negative.shape[1]), dtype=kind)
    np.cumsum(negative, axis=0, out=cumulated[1:])
    won = np.einsum("pr,pr->r", positive, cumulated[below] + cumulated[up_to], dtype=float) / 2
    pairs = positive.sum(axis=0, dtype=float) * cumulated[-1]
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
