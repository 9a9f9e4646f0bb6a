"""Points of ROC and precision-recall curves, averaged over seeds, with pointwise bands from resampled clusters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from knee_i2m2.evaluation.statistics.bootstrap import LEVEL, cluster_weights

__all__ = [
    "RATES",
    "Band",
    "pointwise_band",
    "precision_of_replicates",
    "resampling_weights",
    "sensitivity_of_replicates",
]

REPLICATES = 300
"""Enough for a band that is looked at; numbers come from the tables."""

RATES = np.linspace(0, 1, 201)
"""False positive rates, or recalls, at which a curve is drawn."""

_BLOCK = 32
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


def sensitivity_of_replicates(
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

    def read(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
        return np.interp(rates, np.append(0, alarms / alarms[-1]), np.append(0, hits / hits[-1]))

    return _read(truth, score, weights, read, len(rates))


def precision_of_replicates(
    truth: Int[np.ndarray, " units"],
    score: Num[np.ndarray, " units"],
    weights: Int[np.ndarray, "units drawn"],
    recalls: Float[np.ndarray, " rates"] = RATES,
) -> Replicated:
    """Returns the weighted precision at the highest threshold that reaches given recalls, without interpolation.

    Between two thresholds precision is not linear in recall (Davis and Goadrich, 2006); steps do not flatter.
    """

    def read(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
        wanted = np.maximum(recalls - _ROUNDING, _ROUNDING) * hits[-1]  # recall 0 is read at the first hit
        place = np.searchsorted(hits, wanted)
        return hits[place] / (hits[place] + alarms[place])

    return _read(truth, score, weights, read, len(recalls))


def _read(
    truth: Int[np.ndarray, " units"],
    score: Num[np.ndarray, " units"],
    weights: Int[np.ndarray, "units drawn"],
    read: Callable[[np.ndarray, np.ndarray], np.ndarray],
    points: int,
) -> Replicated:
    """Returns what is read off the cumulated hits and alarms, from the highest score down; NaN without a class."""
    known = np.flatnonzero((truth == 0) | (truth == 1))
    order = known[np.argsort(-score[known].astype(float), kind="stable")]
    last = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)  # ties fall together
    drawn = np.full((points, weights.shape[1]), np.nan)
    for start in range(0, weights.shape[1] if len(order) else 0, _BLOCK):
        block = weights[order, start : start + _BLOCK]
        hits, alarms = (np.cumsum(block * (truth[order] == side)[:, None], axis=0)[last] for side in (1, 0))
        for column in np.flatnonzero((hits[-1] > 0) & (alarms[-1] > 0)):
            drawn[:, start + column] = read(hits[:, column], alarms[:, column])
    return drawn
