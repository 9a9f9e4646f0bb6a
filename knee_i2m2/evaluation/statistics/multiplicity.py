"""Several comparisons at once: bootstrap p-values, and Holm's correction of p-values and of intervals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.statistics.bootstrap import LEVEL

__all__ = ["bootstrap_p", "holm", "holm_levels"]


def bootstrap_p(drawn: Float[np.ndarray, " drawn"]) -> float:
    r"""Returns the two-sided p of a difference: the largest :math:`1 - \text{level}` whose percentile interval holds 0.

    At every level below 1 - p the interval of `percentile_interval` excludes 0, at every level above it holds 0, so
    that p and interval never disagree. The interval's ends are interpolated between replicates; so is p, which lies
    between :math:`2 (b - 1) / (B - 1)` and :math:`2 b / (B - 1)` for :math:`b` of :math:`B` replicates at or beyond 0.
    It is never below :math:`2 / (B + 1)`, that is :math:`(b + 1) / (B + 1)` on each side with :math:`b = 0`: so many
    replicates cannot tell a smaller one.

    Args:
        drawn: The difference, then its replicates; those that are not estimable (NaN) are left out.

    Returns:
        A number in (0, 1]; 1 if all replicates are 0; NaN ("not estimable") if the difference is, or more than half of
        its replicates are.

    References:
        An Introduction to the Bootstrap, chapter 15 (Efron and Tibshirani, 1993)
        Bootstrap Methods and their Application, section 4.2 (Davison and Hinkley, 1997), for the least p

    Example:
        >>> bootstrap_p(np.array([0.2, 0.1, 0.2, 0.3, 0.4]))
        0.4
    """
    replicates = np.sort(drawn[1:][~np.isnan(drawn[1:])])
    estimable = len(replicates)
    if np.isnan(drawn[0]) or estimable == 0 or 2 * estimable < len(drawn) - 1:
        return float("nan")
    place = min(_last_not_positive(replicates), _last_not_positive(-replicates[::-1]))
    return float(np.clip(2 * place / max(estimable - 1, 1), 2 / (estimable + 1), 1))


def _last_not_positive(ordered: Float[np.ndarray, " replicates"]) -> float:
    """Returns up to which place, counted from 0 and interpolated, ordered numbers are not above 0."""
    upper = int(np.searchsorted(ordered, 0, side="right"))
    if upper in (0, len(ordered)):
        return float(max(upper - 1, 0))
    below, above = ordered[upper - 1 : upper + 1]
    return float(upper - 1 + below / (below - above))


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
