"""Decision curves: what acting on a score is worth, at every weight of a false alarm."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num
from scipy.special import logit

from knee_i2m2.evaluation.statistics.ranking import weighted_mean

__all__ = ["net_benefit", "treat_all"]

Curves = Float[np.ndarray, "thresholds replicates"]


def net_benefit(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    probabilities: Float[np.ndarray, " thresholds"],
    weights: Num[np.ndarray, "samples replicates"],
) -> Curves:
    r"""Returns :math:`\mathrm{TP}/n - \mathrm{FP}/n \cdot p_t / (1 - p_t)` at threshold probabilities :math:`p_t`.

    In units of true positives per sample: acting on everybody whose probability reaches :math:`p_t`, where one true
    positive is worth :math:`(1 - p_t)/p_t` false ones.

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Log-odds.
        probabilities: In (0, 1).
        weights: How often each sample counts.

    References:
        Decision curve analysis: a novel method for evaluating prediction models (Vickers and Elkin, 2006)
    """
    called = score >= logit(probabilities)[:, None]
    return _worth(truth, called, probabilities, weights)


def treat_all(
    truth: Int[np.ndarray, " samples"],
    probabilities: Float[np.ndarray, " thresholds"],
    weights: Num[np.ndarray, "samples replicates"],
) -> Curves:
    """Returns the net benefit of acting on everybody; that of acting on nobody is 0."""
    return _worth(truth, np.ones((len(probabilities), len(truth)), dtype=bool), probabilities, weights)


def _worth(truth: np.ndarray, called: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> Curves:
    known = (truth == 0) | (truth == 1)
    value = np.where(truth[known] == 1, 1.0, -(probabilities / (1 - probabilities))[:, None])
    return weighted_mean(np.where(called[:, known], value, 0), weights[known])
