"""Operating points: a threshold that knows on what it was fitted, and what it decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num
from sklearn.metrics import roc_curve

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.statistics.ranking import cumulated, ranking

__all__ = [
    "Confusion",
    "Threshold",
    "confusion",
    "fit_threshold",
    "rates",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
]

Drawn = Float[np.ndarray, " replicates"]


@dataclass(frozen=True)
class Threshold:
    """From where on a score is called positive.

    Attributes:
        value: In the scores' unit, such as log-odds; NaN if the split held one class only.
        fitted_on: The split that it was fitted on, on which it must not be judged.
    """

    value: float
    fitted_on: str


class Confusion(NamedTuple):
    """A 2x2 table under every column of weights."""

    true_positives: Drawn
    false_positives: Drawn
    false_negatives: Drawn
    true_negatives: Drawn


def fit_threshold(truth: Int[np.ndarray, " samples"], score: Num[np.ndarray, " samples"], fitted_on: str) -> Threshold:
    """Returns the threshold of largest balanced accuracy, midway between neighbouring scores.

    Of several that are equally good it is the highest, which calls the fewest positive.

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Larger means more positive.
        fitted_on: The name of the split.

    References:
        Index for rating diagnostic tests (Youden, 1950)

    Example:
        >>> fit_threshold(np.array([0, 0, 1, 1]), np.array([0.0, 1.0, 2.0, 3.0]), "val")
        Threshold(value=1.5, fitted_on='val')
    """
    known = (truth == 0) | (truth == 1)
    if len(np.unique(truth[known])) < 2:
        return Threshold(float("nan"), fitted_on)
    false, true, at = roc_curve(truth[known], score[known], drop_intermediate=False)
    best = int((true - false).round(12).argmax())
    below = score[known][
        score[known] < at[best]
    ].max()  # calling all positive is no better than calling none, which is first
    midway = (at[best] + below) / 2
    return Threshold(float(midway if midway < at[best] < np.inf else below), fitted_on)


def confusion(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    threshold: Threshold,
    weights: Num[np.ndarray, "samples replicates"],
    split: str,
) -> Confusion:
    """Returns the 2x2 table of calling positive what lies above the threshold; NaN where the threshold is.

    Raises:
        ConfigError: The threshold was fitted on the split that it is to be judged on.
    """
    if threshold.fitted_on == split:
        raise ConfigError(f"a threshold fitted on {split} cannot be judged on {split}; fit it on another split")
    called = score > threshold.value
    groups = [(truth == 1) & called, (truth == 0) & called, (truth == 1) & ~called, (truth == 0) & ~called]
    unknown = np.where(np.isnan(threshold.value), np.nan, 0.0)
    return Confusion(*(weights[group].sum(axis=0, dtype=float) + unknown for group in groups))


def rates(table: Confusion) -> dict[str, Drawn]:
    """Returns sensitivity, specificity, predictive values and balanced accuracy; NaN where nobody is counted."""
    tp, fp, fn, tn = table
    shares = {
        "sensitivity": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
        "ppv": _share(tp, tp + fp),
        "npv": _share(tn, tn + fn),
    }
    return shares | {"balanced_accuracy": (shares["sensitivity"] + shares["specificity"]) / 2}


def _share(part: Drawn, whole: Drawn) -> Drawn:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def sensitivity_at_specificity(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    weights: Num[np.ndarray, "samples replicates"],
    specificity: float,
) -> Drawn:
    """Returns the largest sensitivity at which at least that specificity is kept, for every column of weights.

    It is read off the empirical ROC curve, whole levels of the score at a time, without interpolation; NaN where a
    class is absent.
    """
    order = ranking(truth, score)
    hits, alarms = cumulated(weights[order.positives]), cumulated(weights[order.negatives])
    allowed = alarms[order.alarms[1]] <= (1 - specificity) * alarms[-1] * (1 + 1e-12)
    most = np.max(hits[order.hits[1]], axis=0, where=allowed, initial=0)
    return _share(most.astype(float), np.where(alarms[-1] > 0, hits[-1], 0).astype(float))


def specificity_at_sensitivity(
    truth: Int[np.ndarray, " samples"],
    score: Num[np.ndarray, " samples"],
    weights: Num[np.ndarray, "samples replicates"],
    sensitivity: float,
) -> Drawn:
    """Returns the largest specificity at which at least that sensitivity is kept; see the other way round."""
    swapped = np.where(truth == 1, 0, np.where(truth == 0, 1, -1))
    return sensitivity_at_specificity(swapped, -score.astype(float), weights, sensitivity)
