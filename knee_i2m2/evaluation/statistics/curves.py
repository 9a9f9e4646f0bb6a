"""Points of ROC and precision-recall curves, averaged over seeds, with pointwise bands from resampled clusters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from knee_i2m2.evaluation.statistics.bootstrap import LEVEL, cluster_weights
from knee_i2m2.evaluation.statistics.ranking import Ranking, cumulated, ranking

__all__ = [
    "RATES",
    "Band",
    "pointwise_band",
    "precision_recall_points",
    "resampling_weights",
    "roc_points",
]

REPLICATES = 300
"""Enough for a band that is looked at; numbers come from the tables."""

RATES = np.linspace(0, 1, 201)
"""False positive rates, or recalls, at which a curve is drawn."""

_ROUNDING = 1e-9

Replicated = Float[np.ndarray, "rates drawn"]


class Band(NamedTuple):
    """A curve and its pointwise interval; NaN where there is none."""

    value: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]


def resampling_weights(
    clusters: Shaped[np.ndarray, " units"], replicates: int = REPLICATES, seed: int = 0
) -> Int[np.ndarray, "units drawn"]:
    """Returns how often each unit counts: once, then as its cluster was drawn."""
    names, codes = np.unique(clusters, return_inverse=True)
    return cluster_weights(len(names), replicates, np.random.default_rng(seed))[codes]


def pointwise_band(curves: Sequence[Float[np.ndarray, "points drawn"]]) -> Band:
    """Returns the mean over seeds of curves and their replicates, with the central interval at every point.

    Args:
        curves: One per seed; the first column is the sample as it is. Without a second there is no interval.
    """
    drawn = np.mean(curves, axis=0)
    if drawn.shape[1] < 2:
        nothing = np.full(len(drawn), np.nan)
        return Band(drawn[:, 0], nothing, nothing)
    tail = (1 - LEVEL) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a point that no replicate has is no interval
        low, high = np.nanquantile(drawn[:, 1:], [tail, 1 - tail], axis=1)
    return Band(drawn[:, 0], low, high)


def roc_points(
    truth: Int[np.ndarray, " units"],
    score: Num[np.ndarray, " units"],
    weights: Int[np.ndarray, "units drawn"],
    rates: Float[np.ndarray, " rates"] = RATES,
) -> Replicated:
    """Returns the weighted true positive rate at given false positive rates, interpolated along the curve.

    Args:
        truth: 0 or 1; anything else is unknown and dropped.
        score: Larger means more positive.
        weights: How often each unit counts.
        rates: False positive rates.
    """
    order = ranking(truth, score)
    levels = np.unique(order.hits[0], return_index=True)[1]  # tied positives are one step
    false, true = (counts[:, levels].T.ravel() for counts in (order.alarms, order.hits))  # before and after each step

    def read(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
        return np.interp(rates, alarms[false] / alarms[-1], hits[true] / hits[-1])

    return _read(order, weights, read, len(rates))


def precision_recall_points(
    truth: Int[np.ndarray, " units"],
    score: Num[np.ndarray, " units"],
    weights: Int[np.ndarray, "units drawn"],
    recalls: Float[np.ndarray, " rates"] = RATES,
) -> Replicated:
    """Returns the weighted precision at the highest threshold that reaches given recalls, without interpolation.

    Between two thresholds precision is not linear in recall (Davis and Goadrich, 2006); steps do not flatter.
    """
    order = ranking(truth, score)

    def read(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
        true, false = hits[order.hits[1]], alarms[order.alarms[1]]
        wanted = np.maximum(recalls - _ROUNDING, _ROUNDING) * hits[-1]  # recall 0 is read at the first hit
        place = np.searchsorted(true, wanted)
        return true[place] / (true[place] + false[place])

    return _read(order, weights, read, len(recalls))


def _read(
    order: Ranking,
    weights: Int[np.ndarray, "units drawn"],
    read: Callable[[np.ndarray, np.ndarray], np.ndarray],
    points: int,
) -> Replicated:
    """Returns what `read` makes of the cumulated positives and negatives of every column; NaN without a class."""
    drawn = np.full((points, weights.shape[1]), np.nan)
    hits, alarms = cumulated(weights[order.positives]), cumulated(weights[order.negatives])
    for column in np.flatnonzero((hits[-1] > 0) & (alarms[-1] > 0)):
        drawn[:, column] = read(hits[:, column], alarms[:, column])
    return drawn
