"""Means over samples whose errors go together within a cluster."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped
from scipy.special import stdtrit

from knee_i2m2.evaluation.statistics.bootstrap import LEVEL, Estimate

__all__ = ["clustered_mean"]


def clustered_mean(
    values: Float[np.ndarray, " samples"], clusters: Shaped[np.ndarray, " samples"], level: float = LEVEL
) -> Estimate:
    r"""Returns a mean over samples, with the interval of t for whole clusters.

    .. math:: \bar x \pm \frac{t_{I - 1}}{n} \sqrt{\tfrac{I}{I - 1} \sum_c \Big(\sum_{i \in c} (x_i - \bar x)\Big)^2}

    NaN of one cluster.
    """
    sums = pd.Series(values - values.mean()).groupby(np.asarray(clusters)).sum().to_numpy()
    if len(sums) < 2:
        return Estimate(float(values.mean()), float("nan"), float("nan"))
    error = np.sqrt(len(sums) / (len(sums) - 1) * np.sum(sums**2)) / len(values)
    half = -stdtrit(len(sums) - 1, (1 - level) / 2) * error
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half))
