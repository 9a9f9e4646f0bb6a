"""The joint residual finds a planted interaction, and nothing where there is none; halves are whole clusters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_expit

from knee_i2m2.data.samples import Samples
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.evaluation.interaction_gain import InteractionGain, interaction_gain
from knee_i2m2.sources.gaussians import Gaussians
from knee_i2m2.training.residual import Residuals, residuals

BUDGET = {"epochs": 8, "lr": 5e-3, "batch_size": 64, "device": "cpu"}


def parts(kind: Gaussians, clusters: int = 500) -> tuple[tuple[Samples, Samples, Samples], np.ndarray]:
    """Returns train, val and test of three samples a cluster, and the log-odds of the test's."""
    drawn = [kind.draw(3 * count, seed) for seed, count in enumerate((clusters, 150, 300))]
    made = [
        Samples(d.x, d.y, clusters=np.arange(len(d.y)) // 3 + 10_000 * n, targets=("label",))
        for n, d in enumerate(drawn)
    ]
    return tuple(made), drawn[2].log_odds


def gain(found: Residuals) -> InteractionGain:
    (one,) = interaction_gain(found.task, found.truth, found.clusters, found.additive, found.joint)
    return one


def test_a_synergy_is_found_and_is_at_most_what_the_closed_form_allows() -> None:
    (train, val, test), log_odds = parts(Gaussians((0.0, 0.0), 0.0, 1.5))
    one = gain(residuals(train, val, test, seeds=(0,), **BUDGET))
    told = np.log(2) + log_expit((2 * test.y.numpy() - 1) * log_odds).mean()  # additive models are at chance
    assert one.verdict == "found"
    assert 0.5 * told < one.nats.value < told + 0.02
    assert one.score.low > 0.2 and one.clusters == 300


@pytest.mark.parametrize("kind", [Gaussians((1.0, 0.6), 0.0, 0.0), Gaussians((0.3, 0.3), 1.0, 0.0)])
def test_unique_and_redundant_evidence_is_no_interaction(kind: Gaussians) -> None:
    (train, val, test), _ = parts(kind)
    one = gain(residuals(train, val, test, seeds=(0, 1), **BUDGET))
    assert one.verdict == "none", one


def test_no_sample_s_base_comes_from_its_own_cluster() -> None:
    """Labels that are noise by cluster are learnt by heart; a base that had seen them would be sure of them."""
    random = np.random.default_rng(0)
    codes = random.normal(size=(60, 40))
    y = random.integers(2, size=60)

    def samples(first: int, last: int) -> Samples:
        clusters = np.repeat(np.arange(first, last), 4)
        x = {name: codes[clusters % 60] for name in ("a", "b")}
        return Samples(x, y[clusters % 60], clusters=clusters)

    from knee_i2m2.training.learn import rival
    from knee_i2m2.training.residual import _Run
    from knee_i2m2.types import Rival

    train, val, test = samples(0, 40), samples(40, 50), samples(50, 60)
    run = _Run(rival(Rival(("a", "b")), train), ("a", "b"), (train, val, test), 0, {**BUDGET, "epochs": 15})
    of_train = run._alone()[0].mean(axis=-1)
    right = of_train[np.arange(len(train)), train.y.numpy()]
    assert np.exp(right).mean() < 0.65


def test_one_modality_and_one_cluster_are_refused_in_words() -> None:
    one = Samples({"a": np.zeros((4, 2))}, [0, 1, 0, 1])
    with pytest.raises(ConfigError, match="a alone cannot interact"):
        residuals(one, one, one)
    same = Samples({"a": np.zeros((4, 2)), "b": np.zeros((4, 2))}, [0, 1, 0, 1], clusters=[1, 1, 1, 1])
    with pytest.raises(DataError, match="of one cluster"):
        residuals(same, same, same)
