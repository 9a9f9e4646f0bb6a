"""Eta ranks latent spaces as the closed form does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_expit

from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.statistics.latent_quality import latent_quality
from knee_i2m2.sources.gaussians import Drawn, Gaussians

KINDS = [Gaussians((1.0, 0.3), 0.0, 1.5), Gaussians((0.2, 0.9), 0.0, 0.0), Gaussians((0.0, 0.5), 0.8, 2.0)]


def features(drawn: Drawn) -> dict[str, np.ndarray]:
    first, second = drawn.x.values()
    return {"first": first, "second": second, "first+second": np.concatenate([first, second], axis=1)}


def closed_form(kind: Gaussians, drawn: Drawn) -> dict[str, float]:
    """Returns the risk of Bayes' rule on each subset."""
    first, second = drawn.x.values()
    alone = [2 * (a * x[:, 0] + kind.redundant * x[:, 1]) for a, x in zip(kind.unique, (first, second), strict=True)]
    log_odds = dict(zip(("first", "second", "first+second"), (*alone, drawn.log_odds), strict=True))
    return {name: -float(log_expit((2 * drawn.y - 1) * odds).mean()) for name, odds in log_odds.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_subsets_are_ranked_and_their_eta_is_that_of_the_closed_form(kind: Gaussians) -> None:
    train, val = kind.draw(8000, seed=1), kind.draw(4000, seed=2)
    measured = latent_quality(features(train), train.y, features(val), val.y, np.arange(4000))
    risks = closed_form(kind, val)
    assert [one.subset for one in measured] == sorted(risks, key=risks.get)
    for one in measured:
        assert one.risk.value == pytest.approx(risks[one.subset], abs=0.03)
        assert one.eta.low - 0.03 <= risks[one.subset] - min(risks.values()) <= one.eta.high + 0.03
    assert measured[0].eta == (0, 0, 0) and all(one.eta.low > 0 for one in measured[1:])


def test_only_a_perceptron_reads_a_product_of_two_signs() -> None:
    kind = Gaussians((0.0, 0.0), 0.0, 2.0)
    train, val = kind.draw(4000, seed=1), kind.draw(2000, seed=2)
    best = latent_quality(features(train), train.y, features(val), val.y, np.arange(2000))[0]
    assert (best.subset, best.head) == ("first+second", "perceptron")


def test_a_class_that_nothing_was_fitted_on_is_refused() -> None:
    x = {"a": np.zeros((4, 1))}
    with pytest.raises(DataError, match="class 2 in validation alone"):
        latent_quality(x, np.array([0, 1, 0, 1]), x, np.array([0, 1, 2, 1]), np.arange(4))
