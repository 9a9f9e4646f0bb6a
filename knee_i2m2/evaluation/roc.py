"""Receiver operating characteristics, averaged over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Num
from sklearn.metrics import auc, roc_curve

__all__ = ["area", "mean_roc"]

Curve = tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]


def mean_roc(truth: Int[np.ndarray, " samples"], scores: Sequence[Num[np.ndarray, " samples"]]) -> Curve | None:
    """Returns false and true positive rates, the latter averaged over `scores` at equal false positive rate.

    The area under this curve is the mean of the areas, which is what the tables show; pooling the scores of several
    seeds would compare numbers of different scales.

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        scores: One array per seed.

    Returns:
        Rates from (0, 0) to (1, 1), or None when a class is absent.
    """
    known = (truth == 0) | (truth == 1)
    if len(np.unique(truth[known])) < 2:
        return None
    curves = [roc_curve(truth[known], score[known], drop_intermediate=False)[:2] for score in scores]
    rates = np.unique(np.concatenate([false for false, _ in curves]))
    before = [np.interp(-rates, -false[::-1], true[::-1]) for false, true in curves]  # lower end of vertical pieces
    after = [np.interp(rates, false, true) for false, true in curves]  # upper end
    return np.repeat(rates, 2), np.stack([np.mean(before, axis=0), np.mean(after, axis=0)], axis=1).ravel()


def area(curve: Curve) -> float:
    """Returns the area under a curve of false and true positive rates."""
    return float(auc(*curve))
