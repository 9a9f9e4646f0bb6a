"""Training on samples in memory: warm starts, every method, a user's own networks, and the same bits again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from knee_i2m2.data.samples import Samples
from knee_i2m2.errors import ConfigError
from knee_i2m2.methods import METHODS
from knee_i2m2.training import checkpoint
from knee_i2m2.training.learn import fit, log_likelihood, predict, rival
from knee_i2m2.training.rivals import learning
from knee_i2m2.types import Rival

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(160, 3)), RANDOM.normal(size=(160, 2))
Y = np.stack([A[:, 0] > 0, A[:, 1] * B[:, 0] > 0], axis=-1).astype(int)
TRAIN, VAL, TEST = Samples({"a": A, "b": B}, Y, np.repeat(np.arange(40), 4), ("first", "second")).split(seed=1)
CONTROLS = ("intra2", "inter3", "inter_tuned", "frozen")
NAMES = ("a", "intra", "inter", *CONTROLS, "i2m2", *(set(METHODS) - {"likelihood", "separate_likelihoods"}))
QUICK = {"epochs": 3, "lr": 0.02, "batch_size": 16, "device": "cpu"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_rival_learns_and_answers(name: str) -> None:
    answers = predict(fit(rival(name, TRAIN), TRAIN, VAL, **QUICK), TEST)
    assert answers.logp.shape == (len(TEST), 2, 2)
    np.testing.assert_allclose(np.exp(answers.logp).sum(-1), 1, atol=1e-6)
    assert log_likelihood(answers.logp[:, :1], TEST.y.numpy()[:, :1]) > np.log(0.5)


def test_a_product_starts_from_its_experts_each_fitted_alone(tmp_path: Path) -> None:
    model = fit(rival("frozen", TRAIN), TRAIN, VAL, folder=tmp_path, **QUICK)
    for expert in ("a", "b", "a+b"):
        alone = fit(rival(Rival((expert,)), TRAIN), TRAIN, VAL, **QUICK)
        ours, theirs = (predict(of, TEST).logits[expert] for of in (model, alone))
        np.testing.assert_array_equal(ours, theirs)
        assert checkpoint.exists(tmp_path / "alone" / expert / "best")
    answers = predict(model, TEST)
    np.testing.assert_allclose(answers.logp, log_softmax(sum(answers.logits.values()) + answers.bias, axis=-1))


def test_the_combiner_of_a_method_that_is_handed_in_is_fitted_as_well() -> None:
    plan = rival("shallow_fusion", TRAIN)
    method = learning(plan.rival, plan.experts(plan.rival, 0), torch.ones(2, 2))
    assert fit(method, TRAIN, VAL, **QUICK).beta.tolist() != [1, 1, 1]


def test_the_losses_of_targets_are_averaged_or_summed_and_a_method_has_its_own() -> None:
    plan, both = rival("inter", TRAIN), ("mean", "sum")
    mean, summed = (predict(fit(plan, TRAIN, VAL, target_loss=loss, **QUICK), TEST).logp for loss in both)
    assert np.abs(mean - summed).max() > 1e-6
    with pytest.raises(ConfigError, match="there is no target_loss summed; did you mean sum"):
        fit(plan, TRAIN, VAL, target_loss="summed", **QUICK)
    method = learning(plan.rival, plan.experts(plan.rival, 0), torch.ones(2, 2))
    with pytest.raises(ConfigError, match="has a loss of its own, not target_loss sum; give it the same"):
        fit(method, TRAIN, VAL, target_loss="sum", **QUICK)


def test_a_seed_gives_the_same_bits_again_and_another_does_not() -> None:
    first, again, other = (
        predict(fit(rival("i2m2", TRAIN), TRAIN, VAL, seed=s, **QUICK), TEST).logp for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_networks_may_be_the_users_own() -> None:
    networks = {"a": nn.Linear(3, 4), "b": nn.Linear(2, 4), "a+b": nn.Bilinear(3, 2, 4)}
    before = networks["a"].weight.clone()
    answers = predict(fit(rival("i2m2", TRAIN, networks), TRAIN, VAL, **QUICK), TEST)
    assert list(answers.logits) == ["a", "b", "a+b"] and torch.equal(networks["a"].weight, before)
    method = fit(rival("a", TRAIN, lambda expert: nn.Linear(3, 4)), TRAIN, VAL, **QUICK)
    better = fit(method, TRAIN, VAL, **QUICK)
    assert better is method
    with pytest.raises(ConfigError, match=r"no network of expert a\+b; choose from a"):
        fit(rival("inter", TRAIN, {"a": nn.Linear(3, 4)}), TRAIN, VAL, **QUICK)


def test_log_odds_are_of_a_target_with_two_classes() -> None:
    answers = predict(fit(rival("a", TRAIN), TRAIN, VAL, **QUICK), TEST)
    np.testing.assert_array_equal(answers.log_odds("second"), answers.logp[:, 1, 1] - answers.logp[:, 1, 0])
    with pytest.raises(ConfigError, match="no target frist; did you mean first"):
        answers.log_odds("frist")


def test_many_classes_and_one_modality() -> None:
    samples = Samples({"a": A}, np.digitize(A[:, 0], [-0.5, 0.5]), np.arange(160))
    train, val, test = samples.split()
    answers = predict(fit(rival("a", samples), train, val, **QUICK), test)
    assert answers.logp.shape == (len(test), 3)
    with pytest.raises(ConfigError, match="label has 3 classes and no log-odds"):
        answers.log_odds("label")
    with pytest.raises(ConfigError, match="there is no rival i2m2; choose from a"):
        rival("i2m2", samples)


def test_the_log_likelihood_leaves_out_the_unknown() -> None:
    logp = np.log([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])
    assert log_likelihood(logp, np.array([1, -1, 0])) == pytest.approx(np.log([0.75, 0.9]).mean())
    assert np.isnan(log_likelihood(logp, np.array([-1, -1, -1])))
