"""Choices of a class, beside their accuracy: how sure they are, and whether they hold for a whole series."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from scipy.special import xlogy

from knee_i2m2.evaluation.statistics.ranking import weighted_mean

__all__ = ["consistency", "mean_entropy"]


def mean_entropy(
    logp: Float[np.ndarray, "samples classes"], weights: Num[np.ndarray, "samples replicates"]
) -> Float[np.ndarray, " replicates"]:
    r"""Returns the mean of :math:`-\sum_c p_c \log p_c`, in nats, under every column of weights; NaN for no weight."""
    p = np.exp(logp)
    return weighted_mean(-xlogy(p, p).sum(axis=-1), weights)


def consistency(
    truth: Int[np.ndarray, " samples"],
    logp: Float[np.ndarray, "samples classes"],
    series: Shaped[np.ndarray, " samples"],
    weights: Num[np.ndarray, "samples replicates"],
) -> Float[np.ndarray, " replicates"]:
    """Returns the share of series all of whose samples are answered right, under every column of weights.

    Args:
        truth: Classes; -1 is unknown and dropped.
        logp: Log-probabilities.
        series: What must be right as a whole, such as a sentence with all its pictures.
        weights: How often each sample counts; the samples of a series count alike.

    References:
        A Corpus for Reasoning About Natural Language Grounded in Photographs (Suhr et al., 2019)
    """
    known = truth >= 0
    names, first, codes = np.unique(series[known], return_index=True, return_inverse=True)
    wrong = np.bincount(codes, logp[known].argmax(axis=-1) != truth[known], minlength=len(names))
    return weighted_mean((wrong == 0).astype(float), weights[known][first])
