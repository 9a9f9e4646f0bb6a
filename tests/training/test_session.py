"""The operations of learning are those of the answer and of its gradients, whatever a loss does inside."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from knee_i2m2.methods import METHODS
from knee_i2m2.methods.method import overrides
from knee_i2m2.training.session import cost_of, training_flops
from knee_i2m2.types import Batch
from tests.methods import shared_experts


class Numbers:
    """Samples that every tiny method takes."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, positions: list[int]) -> Batch:
        x = {name: torch.randn(len(positions), 3) for name in ("a", "b")}
        return Batch(x, torch.randint(2, (len(positions), 2)), torch.tensor(positions))


def method(name: str):
    return shared_experts.method(METHODS[name], METHODS[name].own_experts(("a", "b")))


@pytest.mark.parametrize("name", METHODS)
def test_learning_from_a_sample_costs_more_than_answering_it_and_changes_nothing(name: str) -> None:
    learner = method(name)
    state, drawn = {k: v.clone() for k, v in learner.state_dict().items()}, torch.random.get_rng_state()
    learnt, answered = training_flops(learner, Numbers()), cost_of(learner, Numbers())["flops"]
    assert learnt > 1.9 * answered
    assert_close(dict(learner.state_dict()), state, rtol=0, atol=0, equal_nan=True)
    assert all(p.grad is None for p in learner.parameters())
    assert drawn.shape == torch.random.get_rng_state().shape and learner.training


def test_the_operations_of_a_perceptron_are_those_counted_by_hand() -> None:
    """Layers of 6 x 8 and 8 x 4: two operations a weight forward, four backward but for the first layer's input."""
    (joint,) = METHODS["ogm_ge"].own_experts(("a", "b"))
    learner = shared_experts.method(METHODS["likelihood"], (joint,))
    assert cost_of(learner, Numbers())["flops"] == 2 * (6 * 8 + 8 * 4)
    assert training_flops(learner, Numbers()) == 2 * (6 * 8 + 8 * 4) * 3 - 2 * 6 * 8


def test_every_gradient_of_a_method_with_one_per_loss_is_counted() -> None:
    assert overrides(method("mmpareto"), "direction")
    assert training_flops(method("mmpareto"), Numbers()) > training_flops(method("gblend"), Numbers())
