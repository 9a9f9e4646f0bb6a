r"""MinCq: the weighted majority vote of the smallest second moment of the margin.

Of n voters :math:`h_j \in [-1, 1]` with votes H (N, n) on samples of truth :math:`y \in \{-1, 1\}`, and of their
opposites, with :math:`M = H^T H / N,\; c = H^T y / N,\; a = M 1 / n`:

.. math:: \min_q q^T M q - a^T q \quad \text{with } 0 \le q_j \le 1/n,\; 2 c^T q - \bar c = \mu,

whose vote is :math:`\sum_j (2 q_j - 1/n) h_j(x)`. The margin's mean is :math:`\mu`, at most the mean of :math:`|c_j|`.

From PAC-Bayes Bounds to Quadratic Programs for Majority Votes (Laviolette, Marchand, Roy, ICML 2011).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize

__all__ = ["c_bound", "largest_margin", "mincq"]


def largest_margin(votes: Float[np.ndarray, "samples voters"], y: Int[np.ndarray, " samples"]) -> float:
    r"""Returns the largest mean margin that any vote can have, the mean of :math:`|c_j|`."""
    return float(np.abs(votes.T @ y / len(y)).mean())


def mincq(
    votes: Float[np.ndarray, "samples voters"], y: Int[np.ndarray, " samples"], mu: float
) -> Float[np.ndarray, " voters"]:
    r"""Returns the weights :math:`2 q_j - 1/n` of the vote.

    Args:
        votes: In [-1, 1].
        y: -1 or 1.
        mu: Mean margin, above 0.

    Raises:
        ValueError: No vote has so large a margin.
    """
    n, most = votes.shape[1], largest_margin(votes, y)
    if not 0 < mu <= most + 1e-12:
        raise ValueError(f"a mean margin of {mu:g} is out of reach; give more than 0 and at most {most:g}")
    moments, margins, share = votes.T @ votes / len(y), votes.T @ y / len(y), min(mu / most, 1)
    # in r = n (2 q - 1/n) / share the objective is r^T M r times a factor, less a constant
    return _shortest(moments, margins / (n * most), 1 / share) * share / n


def _shortest(
    moments: Float[np.ndarray, "voters voters"], margins: Float[np.ndarray, " voters"], bound: float
) -> Float[np.ndarray, " voters"]:
    r"""Returns the r of the smallest :math:`r^T M r` with :math:`c^T r = 1` and no value beyond the bound."""
    r = np.sign(margins)
    for _ in range(6):  # each round in units of what the one before has reached
        scale = max(r @ moments @ r, np.finfo(float).tiny)
        r = minimize(
            lambda r, scale=scale: (r @ moments @ r / scale, 2 * moments @ r / scale),
            r,
            jac=True,
            method="SLSQP",
            bounds=[(-bound, bound)] * len(r),
            constraints={"type": "eq", "fun": lambda r: margins @ r - 1, "jac": lambda r: margins},
            options={"ftol": 1e-14, "maxiter": 1000},
        ).x
    return r


def c_bound(
    votes: Float[np.ndarray, "samples voters"], y: Int[np.ndarray, " samples"], weights: Float[np.ndarray, " voters"]
) -> float:
    r"""Returns :math:`1 - (E\,m)^2 / E\,m^2` of the margins m: a bound of the vote's risk if their mean is above 0."""
    margins = y * (votes @ weights)
    return float(1 - margins.mean() ** 2 / np.mean(margins**2))
