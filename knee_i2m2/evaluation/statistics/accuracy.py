"""Share of samples whose most probable class is the true one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

from knee_i2m2.evaluation.statistics.ranking import over_replicates, weighted_mean

__all__ = ["accuracy"]


def accuracy(
    truth: Int[np.ndarray, " samples"],
    logp: Float[np.ndarray, "samples classes"],
    weights: Num[np.ndarray, "samples *replicates"] | None = None,
) -> Float[np.ndarray, "*replicates"] | float:
    """Returns the weighted share of samples whose class is predicted correctly.

    Args:
        truth: Classes; -1 is unknown and dropped.
        logp: Log-probabilities, or any score that is largest for the predicted class.
        weights: How often each sample counts, in one column per replicate; once, if not given.

    Returns:
        Numbers in [0, 1], or NaN ("not estimable") where no sample with a known truth counts.

    Example:
        >>> accuracy(np.array([0, 1, -1]), np.log([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]))
        0.5
    """
    known = truth >= 0
    correct = (logp.argmax(axis=-1) == truth)[known].astype(float)
    return over_replicates(lambda block: weighted_mean(correct, block[known]), len(truth), weights)
