"""Several comparisons at once: Holm's correction of p-values and of intervals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.statistics.bootstrap import LEVEL

__all__ = ["holm", "holm_levels"]


def holm(p: Float[np.ndarray, " comparisons"]) -> Float[np.ndarray, " comparisons"]:
    r"""Returns the adjusted p-values of Holm's step-down procedure.

    .. math:: \tilde p_{(i)} = \min\left(1, \max_{j \le i} (k - j + 1)\, p_{(j)}\right)

    for :math:`k` comparisons in the order of their p. Rejecting all that are at most :math:`\alpha` keeps the chance of
    any false rejection at or below :math:`\alpha`, however the comparisons depend on each other. What is not estimable
    (NaN) stays so and is no comparison.

    References:
        A simple sequentially rejective multiple test procedure (Holm, 1979)

    Example:
        >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).round(2)
        array([0.03, 0.06,  nan, 0.06])
    """
    order = np.argsort(p)  # NaN comes last
    count = np.count_nonzero(~np.isnan(p))
    stepped = np.maximum.accumulate(np.arange(count, 0, -1) * p[order][:count])
    adjusted = np.full(len(p), np.nan)
    adjusted[order[:count]] = np.minimum(stepped, 1)
    return adjusted


def holm_levels(p: Float[np.ndarray, " comparisons"], level: float = LEVEL) -> Float[np.ndarray, " comparisons"]:
    r"""Returns the level at which each comparison's interval is to be read, so that it excludes 0 where Holm rejects.

    A comparison is read at the step at which Holm's procedure tests it, :math:`1 - (1 - \text{level}) / (k - j)` with
    :math:`j` comparisons of a smaller p, or, from the first that is not rejected on, at the step where the procedure
    stops. The intervals show the verdicts; they do not jointly hold all true differences with that probability.

    With `bootstrap_p` and `percentile_interval` both agree, provided that :math:`(1 - \text{level}) / k` is not below
    :math:`2 / (B + 1)`; with fewer replicates no p is small enough, even where the interval excludes 0.

    Args:
        p: Unadjusted; NaN is no comparison.
        level: Of the family.

    Returns:
        Between `level` and 1; NaN where p is.

    References:
        A simple sequentially rejective multiple test procedure (Holm, 1979)

    Example:
        >>> holm_levels(np.array([0.5, 0.01, 0.2])).round(4)
        array([0.975 , 0.9833, 0.975 ])
    """
    rejected = np.count_nonzero(holm(p) <= 1 - level)
    step = np.minimum(_smaller(p), rejected)
    return np.where(np.isnan(p), np.nan, 1 - (1 - level) / np.maximum(np.count_nonzero(~np.isnan(p)) - step, 1))


def _smaller(p: Float[np.ndarray, " comparisons"]) -> Int[np.ndarray, " comparisons"]:
    """Returns how many comparisons have a smaller p; those that tie are tested at the same, the strictest step."""
    return np.searchsorted(np.sort(p), p, side="left")
