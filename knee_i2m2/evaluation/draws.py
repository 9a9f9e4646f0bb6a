"""Metrics of all rivals under the same resamplings, to be averaged, divided and subtracted by column.

A draw is an array of shape (targets + 1, 1 + replicates): a row per target and one for their mean (`macro`); the first
column is the sample as it is, the others are its replicates.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.evaluation.statistics.accuracy import accuracy
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.bootstrap import LEAST_POSITIVE
from knee_i2m2.evaluation.statistics.detectability import efficiency

__all__ = [
    "IDEAL",
    "MEAN",
    "differences",
    "draws",
    "efficiencies",
    "estimable",
    "positive_clusters",
    "with_means",
    "with_means_and_macro",
]

IDEAL = "ideal"
"""Name of the ideal observer; its one seed is paired with every seed of the other rivals."""

MEAN = "mean"
"""Name of the mean over seeds in the `seed` column."""

Draws = Mapping[Key, Float[np.ndarray, "rows drawn"]]


def draws(answers: SplitAnswers, weights: Int[np.ndarray, "units drawn"]) -> dict[Key, np.ndarray]:
    """Returns the metric of every (rival, seed), of shape (targets, drawn), without mean and macro."""
    enough = estimable(answers)[:, None]
    return {key: np.where(enough, _metric(answers, key, weights), np.nan) for key in answers.logp}


def _metric(
    answers: SplitAnswers, key: Key, weights: Int[np.ndarray, "units drawn"]
) -> Float[np.ndarray, "targets drawn"]:
    if answers.detection:
        per_target = zip(answers.truth.T, answers.log_odds(key).T, strict=True)
        return np.stack([auroc(truth, log_odds, weights) for truth, log_odds in per_target])
    per_target = zip(answers.truth.T, answers.logp[key].swapaxes(0, 1), strict=True)
    return np.stack([accuracy(truth, logp, weights) for truth, logp in per_target])


def estimable(answers: SplitAnswers) -> Bool[np.ndarray, " targets"]:
    """Returns whether enough clusters, such as patients, hold a positive: at least `LEAST_POSITIVE`, of findings."""
    if not answers.detection:
        return np.ones(len(answers.targets), dtype=bool)
    return positive_clusters(answers) >= LEAST_POSITIVE


def positive_clusters(answers: SplitAnswers) -> Int[np.ndarray, " targets"]:
    """Returns how many clusters hold a positive unit."""
    clusters = answers.index["cluster"].to_numpy()
    return np.array([len(np.unique(clusters[truth == 1])) for truth in answers.truth.T])


def efficiencies(measured: Draws) -> dict[Key, np.ndarray]:
    """Returns every rival's efficiency relative to the ideal observer; empty if there is none."""
    ideal = next((drawn for (rival, _), drawn in measured.items() if rival == IDEAL), None)
    if ideal is None:
        return {}
    return {key: efficiency(drawn, ideal) for key, drawn in measured.items() if key[0] != IDEAL}


def with_means(measured: Draws) -> dict[Key, np.ndarray]:
    """Returns the draws with the mean over each rival's seeds."""
    rivals = dict.fromkeys(rival for rival, _ in measured)
    seeds = {rival: [drawn for (name, _), drawn in measured.items() if name == rival] for rival in rivals}
    return {**measured, **{(rival, MEAN): np.mean(drawn, axis=0) for rival, drawn in seeds.items()}}


def with_means_and_macro(measured: Draws) -> dict[Key, np.ndarray]:
    """Returns the draws with the mean over each rival's seeds, and with the row `macro`."""
    return {key: np.concatenate([drawn, _macro(drawn)]) for key, drawn in with_means(measured).items()}


def _macro(drawn: Float[np.ndarray, "targets drawn"]) -> Float[np.ndarray, "1 drawn"]:
    """Returns the mean over the targets that are estimable in the original sample."""
    estimable = drawn[~np.isnan(drawn[:, 0])]
    return estimable.mean(axis=0, keepdims=True) if len(estimable) else np.full((1, drawn.shape[1]), np.nan)


def differences(complete: Draws, against: str) -> dict[Key, np.ndarray]:
    """Returns every other rival minus `against`, seed by seed, and their mean over the seeds that both have.

    The ideal's one seed is paired with every seed. Rivals without a common seed are not compared.
    """
    seeds = [seed for name, seed in complete if name == against and seed != MEAN]
    pairs: dict[Key, np.ndarray] = {}
    for rival in dict.fromkeys(name for name, _ in complete if name != against):
        theirs = {seed: complete.get((rival, MEAN if rival == IDEAL else seed)) for seed in seeds}
        paired = {seed: drawn - complete[against, seed] for seed, drawn in theirs.items() if drawn is not None}
        pairs |= {(rival, seed): drawn for seed, drawn in paired.items()}
        if paired:
            pairs[rival, MEAN] = np.mean(list(paired.values()), axis=0)
    return pairs
