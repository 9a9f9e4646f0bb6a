"""G-Blend's weights are the equation's."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from knee_i2m2.methods.gblend import GBlend, blend_weights
from knee_i2m2.methods.method import cross_entropy
from tests.methods.shared_experts import batch, method


def test_the_weights_are_those_worked_out_by_hand() -> None:
    before = torch.tensor([[1.0, 1.0], [1.1, 1.2]])  # rows: training, validation
    after = torch.tensor([[0.6, 0.8], [0.9, 1.1]])
    # head 1: G = .2, O from .1 to .3, .2 / .04 = 5; head 2: G = .1, O from .2 to .3, .1 / .01 = 10
    assert_close(blend_weights(before, after), torch.tensor([1 / 3, 2 / 3]), atol=1e-4, rtol=0)


def test_a_head_that_does_not_generalise_keeps_a_hundredth() -> None:
    before, after = torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.5, 0.9], [1.2, 0.95]])
    weights = blend_weights(before, after)
    assert_close(weights, torch.tensor([0.01, 1.0]) / 1.01)
    assert_close(blend_weights(before, before), torch.tensor([0.5, 0.5]))  # nobody gains


def test_the_loss_is_weighted_and_the_estimate_sees_unweighted_losses() -> None:
    learner, (x, y) = method(GBlend), batch()
    learner.blend.copy_(torch.tensor([0.2, 0.3, 0.5]))
    losses = learner.losses(x, y)
    for (name, logits), weight in zip(learner.opinions(x).items(), (0.2, 0.3, 0.5), strict=True):
        assert_close(losses[name], weight * cross_entropy(logits.log_softmax(-1), y, torch.ones(2, 2)))
    learner.after_epoch(0, {"a": 0.2, "b": 0.3, "a+b": 0.5}, {"a": 0.22, "b": 0.33, "a+b": 0.55})
    assert_close(learner.past, torch.tensor([[1.0, 1.0, 1.0], [1.1, 1.1, 1.1]]))


def test_weights_are_estimated_once_in_a_super_epoch_and_are_kept_in_the_state() -> None:
    learner = method(GBlend)
    first = {"train": dict.fromkeys(("a", "b", "a+b"), 1 / 3), "valid": dict.fromkeys(("a", "b", "a+b"), 0.4)}
    learner.after_epoch(0, **first)
    better = {"a": 0.3, "b": 0.35, "a+b": 0.39}
    learner.after_epoch(1, first["train"], better)
    assert_close(learner.blend, torch.full((3,), 1 / 3))
    learner.after_epoch(2, first["train"], better)
    assert learner.blend.sum().item() == 1.0 or abs(learner.blend.sum().item() - 1) < 1e-6
    assert learner.blend[2] > learner.blend[1] > learner.blend[0]  # G / O^2 with O = -G: 1 / G
    other = method(GBlend)
    other.load_state_dict(learner.state_dict())
    assert torch.equal(other.blend, learner.blend)
