"""The log-odds in closed form are those of Bayes' rule, and the evidence is of the kind that it is called."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.stats import norm

from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.sources.gaussians import Gaussians

KINDS = [
    Gaussians((0.5, 0.8), 0.7, 1.2),
    Gaussians((0.0, 0.0), 0.0, 2.0),
    Gaussians((1.0, 0.3), 0.0, 0.0),
    Gaussians((0.0, 0.0), 1.0, 0.0),
    Gaussians((0.5, 0.5), 0.5, 0.5),
    Gaussians((-0.5, 0.5), 0.1, 3.0),
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_odds_are_those_of_bayes_rule(kind: Gaussians) -> None:
    drawn = kind.draw(200, seed=1)
    (u1, r, s1), (u2, same, s2) = (values.T for values in drawn.x.values())
    assert (r == same).all()

    def log_likelihood(y: int) -> np.ndarray:
        alone = norm.logpdf(u1, kind.unique[0] * y) + norm.logpdf(u2, kind.unique[1] * y)
        signs = [norm.logpdf(s1, kind.synergistic * z) + norm.logpdf(s2, kind.synergistic * z * y) for z in (-1, 1)]
        return alone + norm.logpdf(r, kind.redundant * y) + logsumexp(signs, axis=0)

    np.testing.assert_allclose(drawn.log_odds, log_likelihood(1) - log_likelihood(-1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_calibrated(kind: Gaussians) -> None:
    drawn = kind.draw(40_000, seed=2)
    p = expit(drawn.log_odds)
    for low in np.arange(0, 1, 0.2):
        chosen = (p >= low) & (p < low + 0.2)
        if chosen.sum() > 500:
            error = np.sqrt(np.sum(p[chosen] * (1 - p[chosen]))) / chosen.sum()
            assert abs(drawn.y[chosen].mean() - p[chosen].mean()) < 4 * error


def test_synergistic_numbers_tell_nothing_alone_and_much_together() -> None:
    drawn = Gaussians((0.0, 0.0), 0.0, 2.0).draw(20_000, seed=3)
    s1, s2 = (values[:, 2] for values in drawn.x.values())
    assert abs(auroc(drawn.y, s1) - 0.5) < 0.02 and abs(auroc(drawn.y, s2) - 0.5) < 0.02
    assert auroc(drawn.y, s1 * s2) > 0.95


def test_a_seed_draws_the_same_again_and_another_one_others() -> None:
    first, again, other = (Gaussians().draw(10, seed) for seed in (4, 4, 5))
    assert (first.x["first"] == again.x["first"]).all() and (first.x["first"] != other.x["first"]).any()
