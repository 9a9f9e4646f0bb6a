r"""Variances of AUROCs in closed form: DeLong's, and Obuchowski's for clustered samples.

An AUROC is the mean of its structural components, and so are the mean of several AUROCs and the difference of two. All
of them therefore have their variance from the same formula: average, or subtract, the components first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from scipy.special import ndtri

from knee_i2m2.evaluation.statistics.bootstrap import LEVEL, Estimate

__all__ = [
    "Components",
    "components",
    "covariance",
    "interval",
    "mean",
    "variance",
]


@dataclass(frozen=True)
class Components:
    r"""What each sample contributes to an AUROC, or to a mean or a difference of AUROCs of the same samples.

    Attributes:
        truth: 0 or 1; anything else is unknown and counts for nothing.
        values: :math:`V_{10}` of a positive, the share of the negatives that it outscores; :math:`V_{01}` of a
            negative, the share of the positives that outscore it; 0 for the unknown.
    """

    truth: Int[np.ndarray, " samples"]
    values: Float[np.ndarray, " samples"]

    @property
    def auroc(self) -> float:
        """The mean over positives (that over negatives is the same); NaN when a class is absent."""
        positive = self.truth == 1
        both = positive.any() and (self.truth == 0).any()
        return float(self.values[positive].mean()) if both else float("nan")


def components(truth: Int[np.ndarray, " samples"], score: Num[np.ndarray, " samples"]) -> Components:
    r"""Returns the structural components of an AUROC, ties counted half.

    .. math::
        V_{10}(i) = \tfrac1n \sum_{j: y_j = 0} \psi(s_i, s_j), \quad
        V_{01}(j) = \tfrac1m \sum_{i: y_i = 1} \psi(s_i, s_j), \quad
        \psi(s, t) = [s > t] + \tfrac12 [s = t]

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Larger means more positive.

    References:
        Comparing the areas under two or more correlated ROC curves: a nonparametric approach (DeLong et al., 1988)

    Example:
        >>> components(np.array([0, 1, 1, 0]), np.array([0.2, 0.2, 0.9, 0.1])).values
        array([0.75, 0.75, 1.  , 1.  ])
    """
    values = np.zeros(len(truth))
    place = np.unique(score, return_inverse=True)[1]
    positive, negative = truth == 1, truth == 0
    if positive.any() and negative.any():
        values[positive] = _share_below(place, negative)[positive]
        values[negative] = 1 - _share_below(place, positive)[negative]
    return Components(truth, values)


def _share_below(
    place: Int[np.ndarray, " samples"], others: Bool[np.ndarray, " samples"]
) -> Float[np.ndarray, " samples"]:
    """Returns the share of the others below each sample, half of those level with it."""
    level = np.bincount(place[others], minlength=place.max() + 1)
    return ((np.cumsum(level) - level / 2) / level.sum())[place]


def mean(several: Sequence[Components]) -> Components:
    """Returns the components of the mean of AUROCs of the same samples, such as those of several seeds.

    Raises:
        ValueError: There are none, or they are of other samples.
    """
    if not several:
        raise ValueError("there are no components; give those of one score or more")
    _check_same_samples(*several)
    return Components(several[0].truth, np.mean([one.values for one in several], axis=0))


def _check_same_samples(*several: Components) -> None:
    if any(not np.array_equal(one.truth, several[0].truth) for one in several):
        raise ValueError("the components have different truths; give those of scores of the same samples")


def covariance(first: Components, second: Components, clusters: Shaped[np.ndarray, " samples"] | None = None) -> float:
    r"""Returns the covariance of two AUROCs of the same samples.

    With :math:`a_c, b_c` the sums of :math:`V_{10} - A` over the :math:`m` positives, of :math:`V_{01} - A` over the
    :math:`n` negatives, of cluster :math:`c`, and primes for the second score

    .. math::
        \frac{I_{10}}{I_{10} - 1} \sum_c \frac{a_c a_c'}{m^2} + \frac{I_{01}}{I_{01} - 1} \sum_c \frac{b_c b_c'}{n^2}
        + \frac{I}{I - 1} \sum_c \frac{a_c b_c' + b_c a_c'}{mn}

    where :math:`I_{10}` clusters hold a positive, :math:`I_{01}` a negative and :math:`I` either. If every sample is
    its own cluster, the last sum is zero and the first two are DeLong's: the two formulas are then one.

    Args:
        first: Components of one score.
        second: Components of another score of the same samples.
        clusters: Whose sample it is; every sample is a cluster of its own, if not given.

    Returns:
        NaN where there are not two clusters with a positive and two with a negative.

    Raises:
        ValueError: The components are of different samples.

    References:
        Nonparametric analysis of clustered ROC curve data (Obuchowski, 1997)
    """
    _check_same_samples(first, second)
    codes = np.arange(len(first.truth)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    holds = np.stack([np.bincount(codes, first.truth == side) > 0 for side in (1, 0)])
    (positives, negatives), either = holds.sum(axis=1).tolist(), int(holds.any(axis=0).sum())
    if min(positives, negatives) < 2:
        return float("nan")
    (a, a_), (b, b_) = ([_sums(one, codes, side) for one in (first, second)] for side in (1, 0))
    within = _corrected(a @ a_, positives) + _corrected(b @ b_, negatives)
    return within + _corrected(a @ b_ + b @ a_, either)


def _sums(of: Components, codes: Int[np.ndarray, " samples"], side: int) -> Float[np.ndarray, " clusters"]:
    """Returns what the samples of a class in each cluster put into the deviation of an AUROC."""
    member = of.truth == side
    return np.bincount(codes, np.where(member, of.values - of.auroc, 0) / member.sum())


def _corrected(products: float, clusters: int) -> float:
    """Returns a sum of products, corrected for the one degree of freedom that the mean took."""
    return float(products * clusters / (clusters - 1))


def variance(of: Components, clusters: Shaped[np.ndarray, " samples"] | None = None) -> float:
    """Returns the variance of an AUROC, of a mean or of a difference of AUROCs; never negative. See `covariance`."""
    return covariance(of, of, clusters)


def interval(of: Components, clusters: Shaped[np.ndarray, " samples"] | None = None, level: float = LEVEL) -> Estimate:
    """Returns an AUROC, or a mean of AUROCs, with its interval by the normal approximation, clipped to [0, 1].

    Near 0 and 1, or with few clusters, the approximation is poor: the interval is clipped where it leaves [0, 1], and a
    perfect AUROC, whose components do not vary, has one without width. NaN where there is no variance to be had.
    `student.auroc_interval` does better.
    """
    half = ndtri((1 + level) / 2) * np.sqrt(variance(of, clusters))
    return Estimate(of.auroc, *np.clip([of.auroc - half, of.auroc + half], 0, 1).tolist())
