"""Metrics of all rivals under the same resamplings, so that they can be averaged, divided and subtracted.

A draw is an array of shape (targets + 1, 1 + replicates): a row per target and one for their mean (`macro`); the first
column is the sample as it is, the others are its replicates.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.accuracy import accuracy_of_replicates
from knee_i2m2.evaluation.answers import Answers
from knee_i2m2.evaluation.auroc import auroc_of_replicates
from knee_i2m2.evaluation.detectability import efficiency

__all__ = ["IDEAL", "MEAN", "completed", "differences", "draws", "efficiencies", "metric_name"]

IDEAL = "ideal"
"""The rival that is the ceiling; it has one seed, which is paired with every seed of the others."""

MEAN = "mean"
"""The seed that is the mean over seeds."""

Draws = Mapping[tuple[str, str], Float[np.ndarray, "rows drawn"]]


def metric_name(answers: Answers) -> str:
    """Returns what is measured: `auroc` for two classes, `accuracy` for more."""
    return "auroc" if answers.classes == 2 else "accuracy"


def draws(answers: Answers, weights: Int[np.ndarray, "units drawn"]) -> dict[tuple[str, str], np.ndarray]:
    """Returns the metric of every (rival, seed), of shape (targets, drawn), without mean and macro."""
    return {key: _measured(answers.truth, logp, weights) for key, logp in answers.logp.items()}


def _measured(
    truth: Int[np.ndarray, "units targets"],
    logp: Float[np.ndarray, "units targets classes"],
    weights: Int[np.ndarray, "units drawn"],
) -> Float[np.ndarray, "targets drawn"]:
    if logp.shape[-1] == 2:
        log_odds = logp[..., 1] - logp[..., 0]
        return np.stack([auroc_of_replicates(y, z, weights) for y, z in zip(truth.T, log_odds.T, strict=True)])
    asked = zip(truth.T, logp.swapaxes(0, 1), strict=True)
    return np.stack([accuracy_of_replicates(y, z, weights) for y, z in asked])


def efficiencies(measured: Draws) -> dict[tuple[str, str], np.ndarray]:
    """Returns the efficiency of every rival against the ideal's one seed; nothing where there is no ideal."""
    ideal = next((drawn for (rival, _), drawn in measured.items() if rival == IDEAL), None)
    if ideal is None:
        return {}
    return {key: efficiency(drawn, ideal) for key, drawn in measured.items() if key[0] != IDEAL}


def completed(measured: Draws) -> dict[tuple[str, str], np.ndarray]:
    """Returns the draws with the mean over each rival's seeds, and with the row `macro`."""
    rivals = dict.fromkeys(rival for rival, _ in measured)
    seeds = {rival: [drawn for (name, _), drawn in measured.items() if name == rival] for rival in rivals}
    means = {(rival, MEAN): np.mean(drawn, axis=0) for rival, drawn in seeds.items()}
    return {key: np.concatenate([drawn, _macro(drawn)]) for key, drawn in {**measured, **means}.items()}


def _macro(drawn: Float[np.ndarray, "targets drawn"]) -> Float[np.ndarray, "1 drawn"]:
    """Returns the mean over the targets that are estimable in the sample as it is."""
    estimable = drawn[~np.isnan(drawn[:, 0])]
    return estimable.mean(axis=0, keepdims=True) if len(estimable) else np.full((1, drawn.shape[1]), np.nan)


def differences(complete: Draws, against: str) -> dict[tuple[str, str], np.ndarray]:
    """Returns every other rival minus `against`, seed by seed, and their mean over the seeds that both have.

    The ideal's one seed is paired with every seed. Rivals without a common seed are not compared.
    """
    seeds = [seed for name, seed in complete if name == against and seed != MEAN]
    pairs: dict[tuple[str, str], np.ndarray] = {}
    for rival in dict.fromkeys(name for name, _ in complete if name != against):
        theirs = {seed: complete.get((rival, MEAN if rival == IDEAL else seed)) for seed in seeds}
        paired = {seed: drawn - complete[against, seed] for seed, drawn in theirs.items() if drawn is not None}
        pairs |= {(rival, seed): drawn for seed, drawn in paired.items()}
        if paired:
            pairs[rival, MEAN] = np.mean(list(paired.values()), axis=0)
    return pairs
