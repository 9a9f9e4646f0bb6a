"""Reliability diagrams show the share of positives where a probability is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve

from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics.curves import resampling_weights
from knee_i2m2.evaluation.units import log_probabilities
from knee_i2m2.report.figures.reliability import reliability


def answers(log_odds: list[np.ndarray], truth: np.ndarray, clusters: np.ndarray) -> SplitAnswers:
    who = pd.DataFrame({"sample": np.arange(len(truth)).astype(str), "series": "-", "cluster": clusters})
    logp = {("i2m2", str(seed)): log_probabilities(z[:, None]) for seed, z in enumerate(log_odds)}
    return SplitAnswers("slice", who, ("acl",), truth[:, None], logp)


def drawn(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    z = 2 * generator.standard_normal(n)
    return z, (generator.random(n) < 1 / (1 + np.exp(-z))).astype(np.int64)


def test_bins_are_those_of_scikit_learn() -> None:
    z, truth = drawn(0)
    asked = answers([z], truth, np.arange(len(z)))
    told, seen = reliability(asked, 0, resampling_weights(asked.index["cluster"].to_numpy(), replicates=10), bins=10)
    share, mean = calibration_curve(truth, 1 / (1 + np.exp(-z)), n_bins=10, strategy="quantile")
    np.testing.assert_allclose(told, mean, rtol=1e-12)
    np.testing.assert_allclose(seen.value, share, rtol=1e-12)


def test_seeds_are_pooled_and_two_that_agree_change_nothing() -> None:
    z, truth = drawn(1)
    one, two = (answers([z] * seeds, truth, np.arange(len(z)) // 5) for seeds in (1, 2))
    for a, b in zip(_flat(one), _flat(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_repeating_every_sample_of_a_cluster_narrows_nothing() -> None:
    z, truth = drawn(2)
    clusters = np.arange(len(z)) // 6
    once = _flat(answers([z], truth, clusters))
    again = _flat(answers([np.tile(z, 3)], np.tile(truth, 3), np.tile(clusters, 3)))
    for a, b in zip(once, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_calibrated_answer_lies_within_its_intervals_about_as_often_as_it_should() -> None:
    held = []
    for seed in range(20):
        z, truth = drawn(seed + 10, 1500)
        told, _, low, high = _flat(answers([z], truth, np.arange(len(z))))
        held += [*((low <= told) & (told <= high))]
    assert 0.9 <= np.mean(held) <= 0.98


def _flat(asked: SplitAnswers) -> tuple[np.ndarray, ...]:
    told, seen = reliability(asked, 0, resampling_weights(asked.index["cluster"].to_numpy()))
    return told, *seen
