"""Secondary metrics of a rival, under the resampling of the headline metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.draws import IDEAL, estimable, without_replicates
from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.evaluation.statistics.adjusted import adjusted_auroc, strata
from knee_i2m2.evaluation.statistics.calibration import (
    brier,
    brier_skill,
    calibration_line,
    ece,
)
from knee_i2m2.evaluation.statistics.multiclass import consistency, mean_entropy
from knee_i2m2.evaluation.statistics.operating_point import (
    Threshold,
    confusion,
    rates,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from knee_i2m2.evaluation.statistics.precision_recall import average_precision
from knee_i2m2.evaluation.statistics.ranking import weighted_mean
from knee_i2m2.evaluation.units import NO_SERIES

__all__ = ["COUNTS", "adjusted", "at_thresholds", "calibration", "multiclass", "ranking"]

COUNTS = ("threshold", "true_positives", "false_positives", "false_negatives", "true_negatives")
"""Measures that are not averaged over targets."""

Weights = Int[np.ndarray, "units drawn"]
OneTarget = dict[str, Float[np.ndarray, " drawn"]]
Measured = dict[str, dict[Key, Float[np.ndarray, "targets drawn"]]]


def ranking(answers: SplitAnswers, weights: Weights) -> Measured:
    """Returns the metrics that depend on the order of the scores only, and the prevalence."""
    return _per_rival(answers, weights, lambda key, target, truth, z: _ranking(truth, z, weights))


def adjusted(answers: SplitAnswers, weights: Weights) -> Measured:
    """Returns the AUROC within strata of position; empty if positions are unknown."""
    if "position" not in answers.index:
        return {}
    place = strata(answers.index["position"].to_numpy(dtype=float))
    return _per_rival(
        answers, weights, lambda key, target, y, z: {"auroc_adjusted": adjusted_auroc(y, z, place, weights)}
    )


def at_thresholds(
    answers: SplitAnswers, weights: Weights, thresholds: Mapping[tuple[Key, str], Threshold], split: str
) -> Measured:
    """Returns the 2x2 table and its rates at thresholds fitted on another split, by (rival, seed) and target."""

    def measured(key: Key, target: str, truth: np.ndarray, z: np.ndarray) -> OneTarget:
        return _at_threshold(truth, z, thresholds[key, target], weights, split)

    return _per_rival(answers, weights, measured)


def calibration(answers: SplitAnswers, weights: Weights) -> Measured:
    """Returns calibration metrics; the ideal observer is left out, as it does not know the class prior."""
    rivals = replace(answers, logp={key: logp for key, logp in answers.logp.items() if key[0] != IDEAL})
    if not rivals.logp:
        return {}
    return _per_rival(rivals, weights, lambda key, target, truth, z: _calibration(truth, z, weights))


def multiclass(answers: SplitAnswers, weights: Weights) -> Measured:
    """Returns entropy and, if samples form series, consistency of predictions of one class out of several."""
    series = answers.index["series"].to_numpy()
    measured = {}
    for key, logp in answers.logp.items():
        per_target = list(zip(answers.truth.T, logp.swapaxes(0, 1), strict=True))
        per_metric = {"entropy": [mean_entropy(p[y >= 0], weights[y >= 0]) for y, p in per_target]}
        if not (series == NO_SERIES).all():
            per_metric["consistency"] = [consistency(y, p, series, weights) for y, p in per_target]
        for name, drawn in per_metric.items():
            measured.setdefault(name, {})[key] = np.stack(drawn)
    return measured


def _per_rival(answers: SplitAnswers, weights: Weights, measure: Callable[..., OneTarget]) -> Measured:
    """Returns the draws of every measure by (rival, seed), of shape (targets, drawn)."""
    sure = estimable(answers)
    measured = {key: [] for key in answers.logp}
    for key, per_target in measured.items():
        per_question = zip(answers.targets, answers.truth.T, answers.log_odds(key).T, strict=True)
        per_target += [measure(key, target, truth, z) for target, truth, z in per_question]
    names = dict.fromkeys(name for per_target in measured.values() for name in per_target[0])
    return {
        name: {key: without_replicates(np.array([one[name] for one in per]), sure) for key, per in measured.items()}
        for name in names
    }


def _ranking(truth: np.ndarray, z: np.ndarray, weights: Weights) -> OneTarget:
    known = truth >= 0
    return {
        "auprc": average_precision(truth, z, weights),
        "prevalence": weighted_mean((truth[known] == 1).astype(float), weights[known]),
        **{f"sensitivity_at_specificity_{s}": sensitivity_at_specificity(truth, z, weights, s / 100) for s in _FIXED},
        **{f"specificity_at_sensitivity_{s}": specificity_at_sensitivity(truth, z, weights, s / 100) for s in _FIXED},
    }


_FIXED = (90, 95)


def _at_threshold(truth: np.ndarray, z: np.ndarray, threshold: Threshold, weights: Weights, split: str) -> OneTarget:
    table = confusion(truth, z, threshold, weights, split)
    counted = dict(zip(COUNTS[1:], table, strict=True))
    return {"threshold": np.full(weights.shape[1], threshold.value), **counted, **rates(table)}


def _calibration(truth: np.ndarray, z: np.ndarray, weights: Weights) -> OneTarget:
    slope, intercept = calibration_line(truth, z, weights)
    return {
        "brier": brier(truth, z, weights),
        "brier_skill": brier_skill(truth, z, weights),
        "ece": ece(truth, z, weights),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }
