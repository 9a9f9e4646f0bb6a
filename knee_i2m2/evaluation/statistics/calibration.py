r"""Calibration of two classes: how far probabilities are from what happens, and what mends them.

The score is everywhere the log-odds :math:`z` of class 1; its probability is :math:`p = 1 / (1 + e^{-z})`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.optimize import minimize
from scipy.special import expit, logit

from knee_i2m2.evaluation.statistics.ranking import over_replicates, weighted_mean

__all__ = [
    "ExpertWeights",
    "Temperature",
    "brier",
    "brier_skill",
    "calibration_line",
    "ece",
    "fit_expert_weights",
    "fit_temperature",
    "prior_shift",
    "reliability_bins",
]

BINS = 15
"""Of equal counts."""

Truth = Int[np.ndarray, " samples"]
LogOdds = Float[np.ndarray, " samples"]
Weights = Num[np.ndarray, "samples replicates"]
Drawn = Float[np.ndarray, " replicates"]


def _known(truth: Truth) -> Bool[np.ndarray, " samples"]:
    return (truth == 0) | (truth == 1)


def brier(truth: Truth, log_odds: LogOdds, weights: Weights) -> Drawn:
    """Returns the mean of (p - y)^2 for every column of weights; unknown truths (-1) are dropped.

    References:
        Verification of forecasts expressed in terms of probability (Brier, 1950)
    """
    known = _known(truth)
    return weighted_mean((expit(log_odds[known]) - truth[known]) ** 2, weights[known])


def brier_skill(truth: Truth, log_odds: LogOdds, weights: Weights) -> Drawn:
    """Returns 1 minus the Brier score over that of always telling the prevalence; NaN where a class is absent."""
    known = _known(truth)
    prevalence = weighted_mean(truth[known], weights[known])
    guessing = prevalence * (1 - prevalence)
    score = brier(truth, log_odds, weights)
    return 1 - np.divide(score, guessing, out=np.full(len(score), np.nan), where=guessing > 0)


def reliability_bins(
    truth: Truth, log_odds: LogOdds, weights: Weights, bins: int = BINS
) -> tuple[
    Float[np.ndarray, "bins replicates"], Float[np.ndarray, "bins replicates"], Float[np.ndarray, "bins replicates"]
]:
    """Returns per bin the mean probability, the share of positives, and the weight, for every column of weights.

    The bins hold equal counts of the sample as it is; what scores the same shares a bin.
    """
    known = _known(truth)
    p, y, counted = expit(log_odds[known]), truth[known].astype(float), weights[known].astype(float)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])) if len(p) else np.array([])
    place = np.searchsorted(edges, p, side="left")
    member = (place == np.arange(len(edges) + 1)[:, None]).astype(float)
    member = member[member.any(axis=1)]
    held = member @ counted
    sums = [(member * values) @ counted for values in (p, y)]
    said, seen = (np.divide(one, held, out=np.full(held.shape, np.nan), where=held > 0) for one in sums)
    return said, seen, held


def ece(truth: Truth, log_odds: LogOdds, weights: Weights, bins: int = BINS) -> Drawn:
    """Returns the expected calibration error: the mean over bins of how far the mean probability is from the share.

    It depends on the bins and is biased upwards in small samples; the Brier score is not. NaN where nothing is counted.

    References:
        Obtaining well calibrated probabilities using Bayesian binning (Naeini et al., 2015)
    """
    said, seen, held = reliability_bins(truth, log_odds, weights, bins)
    total = held.sum(axis=0)
    return np.nansum(held * np.abs(said - seen), axis=0) / np.where(total > 0, total, np.nan)


def calibration_line(truth: Truth, log_odds: LogOdds, weights: Weights) -> tuple[Drawn, Drawn]:
    r"""Returns slope and intercept for every column of weights.

    The slope is :math:`b` of :math:`\operatorname{logit} p(y=1) = a + b z`; the intercept is :math:`a` with
    :math:`b = 1` held: calibration in the large. 1 and 0 are perfect; a slope below 1 is over-confident. Every column
    is fitted to convergence. NaN where a class is absent, or where the score separates them, so that no slope is the
    best; where that happens to more than one replicate in forty, no replicate is told: those that are left would not
    reach as far as the interval does.

    References:
        Calibration: the Achilles heel of predictive analytics (Van Calster et al., 2019)
    """
    known = _known(truth)
    y, z, counted = truth[known].astype(float), log_odds[known], weights[known].astype(float)
    apart = _separated(y, z, counted)
    if apart[:1].any():
        return np.full(counted.shape[1], np.nan), np.full(counted.shape[1], np.nan)
    line, alone = np.stack([np.ones_like(z), z]), np.ones_like(z)[None]
    if apart[1:].sum() > _FEW * len(apart[1:]):
        apart[1:] = True
    told = np.full((2, len(apart)), np.nan)
    told[0, ~apart] = _fitted_columns(line, np.zeros_like(z), y, counted[:, ~apart])[1]
    told[1, ~apart] = _fitted_columns(alone, z, y, counted[:, ~apart])[0]
    return told[0], told[1]


_FEW = 1 / 40


def _separated(
    y: Float[np.ndarray, " samples"], z: Float[np.ndarray, " samples"], weights: Float[np.ndarray, "samples replicates"]
) -> Bool[np.ndarray, " replicates"]:
    """Returns whether some threshold divides the classes that are counted, or one is absent, in every column."""
    order = np.argsort(z, kind="stable")
    z, y, there = z[order], y[order], weights[order] > 0
    ends = [[_end(z, there & (y == side)[:, None], last) for last in (False, True)] for side in (0, 1)]
    (low0, high0), (low1, high1) = ends
    return (low1 >= high0) | (high1 <= low0) | np.isnan(low0) | np.isnan(low1)


def _end(
    ordered: Float[np.ndarray, " samples"], there: Bool[np.ndarray, "samples replicates"], last: bool
) -> Float[np.ndarray, " replicates"]:
    """Returns the first or last of ordered numbers that is there; NaN where none is."""
    if not len(ordered):
        return np.full(there.shape[1], np.nan)
    place = len(ordered) - 1 - there[::-1].argmax(axis=0) if last else there.argmax(axis=0)
    return np.where(there.any(axis=0), ordered[place], np.nan)


def _fitted_columns(
    design: Float[np.ndarray, "parameters samples"],
    offset: Float[np.ndarray, " samples"],
    y: Float[np.ndarray, " samples"],
    weights: Float[np.ndarray, "samples replicates"],
) -> Float[np.ndarray, "parameters replicates"]:
    """Returns logistic regressions of all columns by Newton's method, each begun where the first one ends."""
    first = _newton(design, offset, y, weights[:, :1], np.zeros((len(design), 1)))
    return over_replicates(lambda block: _newton(design, offset, y, block, first), len(y), weights)


def _newton(
    design: Float[np.ndarray, "parameters samples"],
    offset: Float[np.ndarray, " samples"],
    y: Float[np.ndarray, " samples"],
    weights: Float[np.ndarray, "samples replicates"],
    start: Float[np.ndarray, "parameters one"],
) -> Float[np.ndarray, "parameters replicates"]:
    """Returns where Newton's method leads from `start`, in every column."""
    theta = np.repeat(start, weights.shape[1], axis=1)
    for _ in range(_NEWTON):
        step = _step(design, offset, y, weights, theta)
        if np.abs(design.T @ step).max(initial=0) > _LEAP:
            step = _descending(design, offset, y, weights, theta, step)
        theta = theta + step
        if np.abs(step).max() < _CONVERGED:
            break
    return theta


_NEWTON, _CONVERGED = 100, 1e-5
"""Steps at most; after a step as small as this the next one would be about its square."""

_LEAP = 1.0
"""Log-odds that change by more in one step are looked after: where probabilities are 0 and 1, Newton leaps."""


def _descending(design, offset, y, weights, theta, step) -> Float[np.ndarray, "parameters replicates"]:
    """Returns the step, halved in those columns whose loss it raises."""
    most = _losses(design, offset, y, weights, theta) * (1 + 1e-12)
    for _ in range(_HALVINGS):
        worse = _losses(design, offset, y, weights, theta + step) > most
        if not worse.any():
            break
        step = np.where(worse, step / 2, step)
    return step


_HALVINGS = 60


def _losses(design, offset, y, weights, theta) -> Float[np.ndarray, " replicates"]:
    """Returns the weighted log loss of every column."""
    z = offset[:, None] + design.T @ theta
    return (weights * (np.logaddexp(0, z) - y[:, None] * z)).sum(axis=0)


def _step(design, offset, y, weights, theta) -> Float[np.ndarray, "parameters replicates"]:
    """Returns the Newton step of every column."""
    p = expit(offset[:, None] + design.T @ theta)
    score = design @ (weights * (y[:, None] - p))
    pairs = (design[:, None] * design[None]).reshape(-1, len(y))
    hessian = (pairs @ (weights * p * (1 - p))).T.reshape(-1, len(design), len(design))
    ridge = _RIDGE * (1 + np.trace(hessian, axis1=1, axis2=2))[:, None, None] * np.eye(len(design))
    return np.linalg.solve(hessian + ridge, score.T[..., None])[..., 0].T


_RIDGE = 1e-12
"""Keeps a replicate without spread solvable."""


@dataclass(frozen=True)
class Temperature:
    """Log-odds divided by a temperature, plus an intercept.

    Attributes:
        temperature: Above 1 it makes less sure.
        intercept: In nats.
        fitted_on: The split that it was fitted on.
    """

    temperature: float
    intercept: float
    fitted_on: str

    def __call__(self, log_odds: LogOdds) -> LogOdds:
        """Returns recalibrated log-odds."""
        return log_odds / self.temperature + self.intercept


@dataclass(frozen=True)
class ExpertWeights:
    """A weighted sum of the experts' log-odds, plus an intercept.

    Attributes:
        weights: Not negative, by expert; a plain product has 1 everywhere.
        intercept: In nats.
        fitted_on: The split that they were fitted on.
    """

    weights: Mapping[str, float]
    intercept: float
    fitted_on: str

    def __call__(self, log_odds: Mapping[str, LogOdds]) -> LogOdds:
        """Returns the combined log-odds."""
        return np.sum([weight * log_odds[expert] for expert, weight in self.weights.items()], axis=0) + self.intercept


def fit_temperature(truth: Truth, log_odds: LogOdds, fitted_on: str) -> Temperature:
    """Returns the temperature and intercept of least log loss; as it is, where a class is absent.

    The temperature lies between .01 and 100, also where the score separates the classes or tells nothing.

    References:
        On calibration of modern neural networks (Guo et al., 2017)
        Probabilistic outputs for support vector machines (Platt, 1999), for the intercept
    """
    fitted = _fitted(truth, log_odds[None], [(0.01, 100.0)])
    return Temperature(1 / fitted[0], fitted[1], fitted_on)


def fit_expert_weights(truth: Truth, log_odds: Mapping[str, LogOdds], fitted_on: str) -> ExpertWeights:
    """Returns weights, 0 to 100, and intercept of least log loss; those of the product where a class is absent."""
    fitted = _fitted(truth, np.stack(list(log_odds.values())), [(0.0, 100.0)] * len(log_odds))
    return ExpertWeights(dict(zip(log_odds, fitted[:-1], strict=True)), fitted[-1], fitted_on)


def _fitted(
    truth: Truth, scores: Float[np.ndarray, "scores samples"], bounds: list[tuple[float, float]]
) -> list[float]:
    """Returns a weight of every score and an intercept; a tiny ridge towards weight 1 and intercept 0 settles ties."""
    known = _known(truth)
    y, design = truth[known], np.concatenate([scores, np.ones((1, scores.shape[1]))])[:, known]
    start = np.append(np.ones(len(scores)), 0.0)
    if len(np.unique(y)) < 2:
        return start.tolist()

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z, pull = theta @ design, theta - start
        value = np.mean(np.logaddexp(0, z) - y * z) + _PULL * pull @ pull / 2
        return float(value), design @ (expit(z) - y) / len(y) + _PULL * pull

    options = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-9}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)], options=options)
    return found.x.tolist()


_PULL = 1e-6


def prior_shift(prevalence: float, experts: int) -> float:
    r"""Returns :math:`(1 - K) \log(\pi / (1 - \pi))`, to be added to the log-odds of a product of K posteriors.

    Each posterior holds the class prior once, their product K times, the answer should once. If the modalities are
    independent given the class, the corrected product is the exact posterior.

    Args:
        prevalence: Of class 1, in (0, 1); where it is 0 or 1 there is no shift.
        experts: How many separately trained posteriors are multiplied.
    """
    return float((1 - experts) * logit(prevalence)) if 0 < prevalence < 1 else 0.0
