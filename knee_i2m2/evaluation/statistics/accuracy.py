"""Share of samples whose likeliest class is the true one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

__all__ = ["accuracy", "accuracy_of_replicates"]


def accuracy(
    truth: Int[np.ndarray, " samples"],
    logp: Float[np.ndarray, "samples classes"],
    weight: Num[np.ndarray, "samples *replicates"] | None = None,
) -> float | Float[np.ndarray, " replicates"]:
    """Returns the weighted share of samples answered right.

    Args:
        truth: Classes; -1 is unknown and dropped.
        logp: Log-probabilities, or any score that is largest for the answer.
        weight: How often each sample counts; once, if not given. Of shape (samples, replicates) in a bootstrap.

    Returns:
        A number in [0, 1], or NaN ("not estimable") when no truth is known; one for each replicate, if there are such.

    Example:
        >>> accuracy(np.array([0, 1, -1]), np.log([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]))
        0.5
    """
    weights = np.ones(len(truth)) if weight is None else weight
    shares = accuracy_of_replicates(truth, logp, weights if weights.ndim == 2 else weights[:, None])
    return shares if weights.ndim == 2 else float(shares[0])


def accuracy_of_replicates(
    truth: Int[np.ndarray, " samples"],
    logp: Float[np.ndarray, "samples classes"],
    weights: Num[np.ndarray, "samples replicates"],
) -> Float[np.ndarray, " replicates"]:
    """Returns the accuracy under every column of `weights`; see `accuracy`."""
    known = truth >= 0
    right = (logp.argmax(axis=-1) == truth)[known].astype(float)
    counted = weights[known].astype(float)
    total = counted.sum(axis=0)
    return np.divide(right @ counted, total, out=np.full(len(total), np.nan), where=total > 0)
