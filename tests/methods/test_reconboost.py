"""ReconBoost's turns and weights by hand."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from knee_i2m2.methods.reconboost import ReconBoost, residual_weight
from tests.methods.shared_experts import batch, method


def test_what_the_others_know_weighs_four_fifths_of_what_they_do_not() -> None:
    others, y = torch.tensor([[60.0, 0.0], [0.0, 0.0], [-60.0, 0.0]]), torch.tensor([0, 0, 0])
    assert_close(residual_weight(others, y), torch.tensor([4.0, 4.5, 5.0]))
    assert residual_weight(others.requires_grad_(), y).requires_grad is False


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "a.2")])
def test_each_expert_has_a_turn_and_all_learn_together_after_it(names: tuple[str, ...]) -> None:
    learner, (x, y) = method(ReconBoost, names).train(), batch()
    chosen = torch.nn.functional.one_hot(y, 2).bool()
    for epoch in range(2 * len(names) + 2):
        logits = {name: z.detach() for name, z in learner.experts(x).items()}
        (loss,) = learner.losses(x, y).values()
        if epoch % 2:
            by_hand = -sum(logits.values()).log_softmax(-1)[chosen].mean()
        else:
            turn = names[epoch // 2 % len(names)]
            rest = sum(z for name, z in logits.items() if name != turn).softmax(-1)[chosen]
            by_hand = -((5 - rest) * logits[turn].log_softmax(-1)[chosen]).mean()
        assert_close(loss.detach(), by_hand)
        learner.zero_grad()
        loss.backward()
        learning = {n for n in names if any(p.grad.any() for p in learner.experts.network(n).parameters())}
        assert learning == (set(names) if epoch % 2 else {turn})
        learner.after_epoch(epoch, {}, {})


def test_validation_is_the_likelihood_of_the_product_whosever_turn_it_is() -> None:
    learner, (x, y) = method(ReconBoost, ("a", "b")).eval(), batch()
    chosen = torch.nn.functional.one_hot(y, 2).bool()
    assert_close(learner.losses(x, y)["likelihood"], -sum(learner.experts(x).values()).log_softmax(-1)[chosen].mean())


def test_unknown_labels_weigh_nothing() -> None:
    learner, (x, y) = method(ReconBoost, ("a", "b")).train(), batch()
    y[10:] = -1
    few = {m: values[:10] for m, values in x.items()}
    assert_close(learner.losses(x, y)["likelihood"], learner.losses(few, y[:10])["likelihood"])
