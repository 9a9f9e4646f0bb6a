"""Methods that are a joint head: MDRNN's variation of information and deep fusion's stopped gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from knee_i2m2.methods.joint_heads import MDRNN, DeepFusion, LateTransformer, LowRankFusion
from knee_i2m2.methods.method import Method
from tests.methods.shared_experts import batch, method


def sigmoid(values: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-values))


def mdrnn() -> MDRNN:
    return method(MDRNN, ("a+b",)).double()


def numbers(samples: int = 8) -> dict[str, Tensor]:
    return {m: torch.randn(samples, 3, dtype=torch.float64) for m in "ab"}


def test_the_variation_is_the_sum_of_what_each_modality_s_units_cost_given_the_other() -> None:
    learner, x, y = mdrnn(), numbers(), torch.randint(0, 2, (8, 2))
    head = learner.experts.head("a+b")
    v = [sigmoid(layer(learner.experts.encoders[m](x[m]))) for layer, m in zip(head.inputs, "ab", strict=True)]
    cost = 0.0
    for n in (0, 1):
        there, w, missing = v[1 - n], head.weights[1 - n], head.weights[n]
        h = sigmoid(2 * there @ w + head.bias)
        for _ in range(head.steps):
            h = sigmoid(there @ w + sigmoid(h @ missing.T + head.biases[n]) @ missing + head.bias)
        told = sigmoid(h @ missing.T + head.biases[n])
        cost += -(v[n] * told.log() + (1 - v[n]) * (1 - told).log()).mean()
    losses = learner.losses(x, y)
    assert_close(losses["variation"], 0.1 * cost)
    logits = head(*(learner.experts.encoders[m](x[m]) for m in "ab"))
    assert_close(losses["likelihood"], torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten()))


def test_the_variation_leaves_encoders_as_they_are() -> None:
    learner, x = mdrnn(), numbers()
    loss = learner.losses(x, torch.randint(0, 2, (8, 2)))["variation"]
    encoders = list(learner.experts.encoders.parameters())
    assert torch.autograd.grad(loss, encoders, allow_unused=True, retain_graph=True) == (None,) * len(encoders)
    assert all(g.any() for g in torch.autograd.grad(loss, [*learner.experts.head("a+b").weights]))


@pytest.mark.parametrize("missing", ["a", "b"])
def test_a_missing_modality_is_answered_and_has_no_variation(missing: str) -> None:
    learner, x = mdrnn().eval(), numbers()
    z = [None if m == missing else learner.experts.encoders[m](x[m]) for m in "ab"]
    del x[missing]
    assert_close(learner(x), learner.experts.head("a+b")(*z).log_softmax(-1))
    assert learner.losses(x, torch.randint(0, 2, (8, 2))).keys() == {"likelihood"}


def test_deep_fusion_s_joint_loss_trains_its_head_alone_and_encoders_learn_from_their_modality() -> None:
    learner, (x, y) = method(DeepFusion), batch()
    losses, encoders = learner.losses(x, y), learner.experts.encoders
    every = list(encoders.parameters())
    assert torch.autograd.grad(losses["a+b"], every, retain_graph=True, allow_unused=True) == (None,) * len(every)
    sum(losses.values()).backward()
    alone = torch.autograd.grad(learner.losses(x, y)["b"], list(encoders["b"].parameters()))
    for parameter, gradient in zip(encoders["b"].parameters(), alone, strict=True):
        assert_close(parameter.grad, gradient)
    assert all(p.grad.any() for p in learner.experts.head("a+b").parameters())


@pytest.mark.parametrize("kind", [LowRankFusion, LateTransformer, MDRNN, DeepFusion])
def test_the_joint_expert_was_fitted_with_the_class_weights_and_undoes_them_once(kind: type[Method]) -> None:
    learner, (x, _) = method(kind, kind.own_experts(("a", "b"))).eval(), batch()
    before, weights = learner(x), torch.tensor([[0.5, 2.0], [3.0, 0.7]])
    learner.weights.copy_(weights)
    assert_close(learner(x), (before - weights.log()).log_softmax(-1))
