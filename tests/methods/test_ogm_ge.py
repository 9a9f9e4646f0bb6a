"""OGM-GE's coefficients are the equation's, and reach the encoders of the modality that is ahead."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from knee_i2m2.methods.ogm_ge import OGMGE, coefficients
from tests.methods.shared_experts import batch, method


def test_the_coefficients_are_those_worked_out_by_hand() -> None:
    found = coefficients(torch.tensor([6.0, 3.0]), alpha=0.3)  # rho = 2 and 1/2
    assert_close(found, torch.tensor([1 - math.tanh(0.6), 1.0]))
    assert found[0] == pytest.approx(0.462950, abs=1e-6)


def test_a_tie_slows_nobody_down_and_of_three_each_is_measured_against_the_weakest() -> None:
    assert_close(coefficients(torch.tensor([2.0, 2.0]), 0.8), torch.ones(2))
    assert_close(
        coefficients(torch.tensor([1.0, 4.0, 2.0]), 0.1), torch.tensor([1, 1 - math.tanh(0.4), 1 - math.tanh(0.2)])
    )


def test_the_joint_logits_are_the_sum_of_the_modalities_parts() -> None:
    learner, (x, _) = method(OGMGE, ("a+b",)), batch()
    logits, parts = learner.experts.split(x)
    assert_close(logits, learner.opinions(x)["a+b"])
    assert_close(parts["a"] + parts["b"], logits)


def test_gradients_of_the_modality_ahead_are_scaled_and_noise_has_their_spread() -> None:
    learner, (x, y) = method(OGMGE, ("a+b",)), batch()
    sum(learner.losses(x, y).values()).backward()
    learner.experts.encoders["b"][0].weight.grad = torch.ones(8, 3)
    before = {m: e[0].weight.grad.clone() for m, e in learner.experts.encoders.items()}
    bias = learner.experts.encoders["a"][0].bias.grad.clone()
    assert learner.scores.keys() == {"a", "b"}
    learner.scores = {"a": torch.tensor(6.0), "b": torch.tensor(3.0)}
    learner.modulate(lambda values: values, torch.Generator().manual_seed(0))
    k = 1 - math.tanh(2 * learner.alpha)
    noise = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    after = learner.experts.encoders["a"][0].weight.grad
    assert_close(after, k * before["a"] + noise * (before["a"].std(correction=0) + 1e-8))
    assert_close(learner.experts.encoders["b"][0].weight.grad, torch.ones(8, 3), atol=1e-6, rtol=0)  # their spread is 0
    assert torch.equal(learner.experts.encoders["a"][0].bias.grad, bias)
    assert learner.scores == {}


def test_unknown_labels_and_validation_do_not_count() -> None:
    learner, (x, y) = method(OGMGE, ("a+b",)), batch()
    learner.losses(x, torch.full_like(y, -1))
    assert all(score == 0 for score in learner.scores.values())
    with torch.no_grad():
        learner.losses(x, y)
    assert all(score == 0 for score in learner.scores.values())
