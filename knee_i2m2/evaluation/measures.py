"""Everything that is measured of a rival beside its AUROC or accuracy, under one resampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.draws import IDEAL, estimable
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

__all__ = ["COUNTS", "adjusted", "at_thresholds", "calibration", "choices", "ranking"]

COUNTS = ("threshold", "true_positives", "false_positives", "false_negatives", "true_negatives")
"""Measures whose mean over targets means nothing."""

Weights = Int[np.ndarray, "units drawn"]
OneTarget = dict[str, Float[np.ndarray, " drawn"]]
Measured = dict[str, dict[Key, Float[np.ndarray, "targets drawn"]]]


def ranking(answers: SplitAnswers, weights: Weights) -> Measured:
    """Returns what only the order of the scores decides, and the prevalence that average precision stands beside."""
    return _per_rival(answers, weights, lambda key, target, truth, z: _ranked(truth, z, weights))


def adjusted(answers: SplitAnswers, weights: Weights) -> Measured:
    """Returns the AUROC within strata of position; nothing where positions are unknown."""
    if "position" not in answers.index:
        return {}
    place = strata(answers.index["position"].to_numpy(dtype=float))
    within = adjusted_auroc
    return _per_rival(answers, weights, lambda key, target, y, z: {"auroc_adjusted": within(y, z, place, weights)})


def at_thresholds(
    answers: SplitAnswers, weights: Weights, thresholds: Mapping[tuple[Key, str], Threshold], split: str
) -> Measured:
    """Returns the 2x2 table and its rates at thresholds that were fitted elsewhere, by (rival, seed) and target."""

    def measured(key: Key, target: str, truth: np.ndarray, z: np.ndarray) -> OneTarget:
        return _decided(truth, z, thresholds[key, target], weights, split)

    return _per_rival(answers, weights, measured)


def calibration(answers: SplitAnswers, weights: Weights) -> Measured:
    """Returns how far probabilities are from what happens; the ideal observer knows no prior and is left out."""
    rivals = replace(answers, logp={key: said for key, said in answers.logp.items() if key[0] != IDEAL})
    if not rivals.logp:
        return {}
    return _per_rival(rivals, weights, lambda key, target, truth, z: _calibrated(truth, z, weights))


def choices(answers: SplitAnswers, weights: Weights) -> Measured:
    """Returns of a choice of a class how sure it is, and how often it holds for a whole series, where there are any."""
    series = answers.index["series"].to_numpy()
    measured = {}
    for key, said in answers.logp.items():
        per_target = list(zip(answers.truth.T, said.swapaxes(0, 1), strict=True))
        found = {"entropy": [mean_entropy(logp[y >= 0], weights[y >= 0]) for y, logp in per_target]}
        if not (series == NO_SERIES).all():
            found["consistency"] = [consistency(y, logp, series, weights) for y, logp in per_target]
        for name, drawn in found.items():
            measured.setdefault(name, {})[key] = np.stack(drawn)
    return measured


def _per_rival(answers: SplitAnswers, weights: Weights, measure: Callable[..., OneTarget]) -> Measured:
    """Returns the draws of every measure by (rival, seed), of shape (targets, drawn); NaN where not estimable."""
    sure = estimable(answers)
    measured = {key: [] for key in answers.logp}
    for key, per_target in measured.items():
        asked = zip(answers.targets, answers.truth.T, answers.log_odds(key).T, strict=True)
        per_target += [measure(key, target, truth, z) for target, truth, z in asked]
    names = dict.fromkeys(name for per_target in measured.values() for name in per_target[0])
    return {
        name: {key: np.where(sure[:, None], [one[name] for one in per], np.nan) for key, per in measured.items()}
        for name in names
    }


def _ranked(truth: np.ndarray, z: np.ndarray, weights: Weights) -> OneTarget:
    known = truth >= 0
    return {
        "auprc": average_precision(truth, z, weights),
        "prevalence": weighted_mean(truth[known] == 1, weights[known]),
        **{f"sensitivity_at_specificity_{s}": _sensitivity(truth, z, weights, s / 100) for s in _FIXED},
        **{f"specificity_at_sensitivity_{s}": _specificity(truth, z, weights, s / 100) for s in _FIXED},
    }


_FIXED = (90, 95)
_sensitivity = sensitivity_at_specificity
_specificity = specificity_at_sensitivity


def _decided(truth: np.ndarray, z: np.ndarray, threshold: Threshold, weights: Weights, split: str) -> OneTarget:
    table = confusion(truth, z, threshold, weights, split)
    counted = dict(zip(COUNTS[1:], table, strict=True))
    return {"threshold": np.full(weights.shape[1], threshold.value), **counted, **rates(table)}


def _calibrated(truth: np.ndarray, z: np.ndarray, weights: Weights) -> OneTarget:
    slope, intercept = calibration_line(truth, z, weights)
    return {
        "brier": brier(truth, z, weights),
        "brier_skill": brier_skill(truth, z, weights),
        "ece": ece(truth, z, weights),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }
