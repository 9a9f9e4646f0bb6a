"""Metrics of all rivals under the same resamplings, to be averaged, divided and subtracted by column.

A draw is an array of shape (targets + 1, 1 + replicates): a row per target and one for their mean (`macro`); the first
column is the sample as it is, the others are its replicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from knee_i2m2.clusters import LEAST_CLUSTERS
from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.evaluation.statistics.accuracy import accuracy
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.bootstrap import Bootstrapped
from knee_i2m2.evaluation.statistics.detectability import efficiency

__all__ = [
    "IDEAL",
    "MEAN",
    "averaged",
    "class_clusters",
    "draws",
    "efficiencies",
    "estimable",
    "paired_seeds",
    "with_means",
    "with_means_and_macro",
    "without_replicates",
]

IDEAL = "ideal"
"""Name of the ideal observer; its one seed is paired with every seed of the other rivals."""

MEAN = "mean"
"""Name of the mean over seeds in the `seed` column."""

Draws = Mapping[Key, Float[np.ndarray, "rows drawn"]]


def draws(answers: SplitAnswers, weights: Int[np.ndarray, "units drawn"]) -> dict[Key, np.ndarray]:
    """Returns the metric of every (rival, seed), of shape (targets, drawn), without mean and macro."""
    enough = estimable(answers)
    return {key: without_replicates(_metric(answers, key, weights), enough) for key in answers.logp}


def _metric(
    answers: SplitAnswers, key: Key, weights: Int[np.ndarray, "units drawn"]
) -> Float[np.ndarray, "targets drawn"]:
    if answers.detection:
        per_target = zip(answers.truth.T, answers.log_odds(key).T, strict=True)
        return np.stack([auroc(truth, log_odds, weights) for truth, log_odds in per_target])
    per_target = zip(answers.truth.T, answers.logp[key].swapaxes(0, 1), strict=True)
    return np.stack([accuracy(truth, logp, weights) for truth, logp in per_target])


def without_replicates(
    drawn: Float[np.ndarray, "targets drawn"], enough: Bool[np.ndarray, " targets"]
) -> Float[np.ndarray, "targets drawn"]:
    """Returns the draws with values only where there are too few clusters for an interval."""
    return np.concatenate([drawn[:, :1], np.where(enough[:, None], drawn[:, 1:], np.nan)], axis=1)


def estimable(answers: SplitAnswers) -> Bool[np.ndarray, " targets"]:
    """Returns whether a target has enough clusters, such as patients, of either class for an interval, of findings."""
    if not answers.detection:
        return np.ones(len(answers.targets), dtype=bool)
    return (class_clusters(answers) >= LEAST_CLUSTERS).all(axis=0)


def class_clusters(answers: SplitAnswers) -> Int[np.ndarray, "2 targets"]:
    """Returns how many clusters hold a positive unit, and how many a negative one.

    Per patient these are the positive and the negative patients; the slices of a positive patient are of both classes.
    """
    clusters = answers.index["cluster"].to_numpy()
    return np.array([[len(np.unique(clusters[truth == side])) for truth in answers.truth.T] for side in (1, 0)])


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
    return np.mean([one.drawn for one in averaged([*map(Bootstrapped, drawn)])], axis=0, keepdims=True)


def averaged(targets: Sequence[Any]) -> Sequence[Any]:
    """Returns the statistics that `macro` is the mean of: those with an interval, else those with a value, else all."""
    return [one for one in targets if one.sure] or [one for one in targets if np.isfinite(one.value)] or targets


def paired_seeds(keys: Iterable[Key], against: str) -> dict[Key, list[tuple[Key, Key]]]:
    """Returns every other rival, seed by seed and in the mean over the seeds that both have, with what to subtract.

    The ideal's one seed is paired with every seed. Rivals without a common seed are not compared.
    """
    seeds: dict[str, list[str]] = {}
    for rival, seed in keys:
        seeds.setdefault(rival, []).append(seed)
    pairs: dict[Key, list[tuple[Key, Key]]] = {}
    for rival in seeds if against in seeds else ():
        if rival != against:
            paired = {
                seed: _pair((rival, against), seed, seeds) for seed in dict.fromkeys(seeds[rival] + seeds[against])
            }
            found = {(rival, seed): [pair] for seed, pair in paired.items() if pair}
            pairs |= found | ({(rival, MEAN): [pair for (pair,) in found.values()]} if found else {})
    return pairs


def _pair(rivals: tuple[str, str], seed: str, seeds: Mapping[str, Sequence[str]]) -> tuple[Key, Key] | None:
    """Returns both rivals with this seed, or the ideal's; None where one has no such seed."""
    keys = tuple((rival, seeds[rival][0] if rival == IDEAL else seed) for rival in rivals)
    known = all(key[1] in seeds[key[0]] for key in keys) and any(seed in seeds[r] for r in rivals if r != IDEAL)
    return (keys[0], keys[1]) if known else None
