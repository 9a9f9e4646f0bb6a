"""The observer that reads both digits is Bayes' rule on what it reads."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.studies.interaction import ideal_log_p, joint_probability


def certain(digits: np.ndarray) -> np.ndarray:
    """Returns log p of readers that are sure."""
    return np.log(np.eye(10)[digits] + 1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_who_reads_both_digits_surely_knows_the_label(rho: float) -> None:
    label, shown, said = np.argwhere(joint_probability(rho)).T
    p = np.exp(ideal_log_p(certain(shown), certain(said), rho))
    np.testing.assert_allclose(p, np.eye(10)[label], atol=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_of_unsure_readers_it_is_bayes_rule_by_brute_force(rho: float) -> None:
    random = np.random.default_rng(0)
    of_image, of_audio = random.dirichlet(np.ones(10), size=(2, 5))
    p, found = joint_probability(rho), np.exp(ideal_log_p(np.log(of_image), np.log(of_audio), rho))
    for row, a, b in zip(found, of_image, of_audio, strict=True):
        likelihood = np.outer(a, b) / np.outer(p.sum(axis=(0, 2)), p.sum(axis=(0, 1)))
        expected = (p * likelihood).sum(axis=(1, 2))
        np.testing.assert_allclose(row, expected / expected.sum(), rtol=1e-9)
