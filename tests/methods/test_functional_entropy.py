"""Functional entropy: its noise, its information by hand, its gradient against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from knee_i2m2.errors import ConfigError
from knee_i2m2.methods.functional_entropy import FunctionalEntropy, information
from tests.methods.shared_experts import method


def learner(strength: float = 1.0) -> FunctionalEntropy:
    made = method(FunctionalEntropy, ("a+b",)).double()
    made.strength = strength
    return made


def numbers(samples: int = 6) -> dict[str, Tensor]:
    return {m: (n + 1.0) * torch.randn(samples, 3, dtype=torch.float64) for n, m in enumerate("ab")}


def labels(samples: int = 6) -> Tensor:
    return torch.randint(0, 2, (samples, 2))


def noisy(x: dict[str, Tensor], copies: int = 10) -> dict[str, Tensor]:
    """Returns the copies as drawn after seed 5: the deviation is that of the repeated batch."""
    torch.manual_seed(5)
    made = {}
    for m, values in x.items():
        size = len(values)
        deviation = values.std(0) * math.sqrt(copies * (size - 1) / (size * copies - 1))  # .92 of B 6, n 10
        rows = torch.stack([values[i // copies] for i in range(size * copies)])
        made[m] = rows + torch.randn(rows.shape, dtype=torch.float64) * deviation
    return made


def test_copies_are_adjacent_and_their_noise_has_the_deviation_of_the_repeated_batch() -> None:
    model, x, y, seen = learner(), numbers(), labels(), []
    model.experts.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    torch.manual_seed(5)
    model.losses(x, y)
    assert math.sqrt(10 * 5 / 59) == pytest.approx(0.92, abs=0.001)
    for m, values in noisy(x).items():
        assert_close(seen[1][m], values)


def test_the_information_of_a_linear_answer_is_the_one_worked_out() -> None:
    weights = {m: torch.randn(3, 4, dtype=torch.float64) for m in "ab"}
    x, wanted = numbers(), torch.rand(6, 4, dtype=torch.float64)
    inputs = {m: values.requires_grad_() for m, values in x.items()}
    logits = inputs["a"] @ weights["a"] + inputs["b"] @ weights["b"]
    p = 1 / (1 + torch.exp(-logits.detach()))
    entropy = -(wanted * p.log() + (1 - wanted) * (1 - p).log()).mean()
    found = information(torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted), inputs)
    slopes = (p - wanted) / 24  # along each of 6 x 4 logits
    by_hand = [sum(float((slopes[i] @ weights[m].T).square().sum()) for i in range(6)) / 6 / entropy for m in "ab"]
    assert_close(found, torch.stack(by_hand))


def regulariser(model: FunctionalEntropy, x: dict[str, Tensor]) -> Tensor:
    """Returns the length of (1 / I_a, 1 / I_b) from its definition."""
    copies = {m: values.requires_grad_() for m, values in noisy(x).items()}
    wanted = model.experts(x)["a+b"].softmax(-1).repeat_interleave(10, 0)
    p = torch.sigmoid(model.experts(copies)["a+b"])
    entropy = -(wanted * p.log() + (1 - wanted) * (1 - p).log()).mean()
    gradients = torch.autograd.grad(entropy, [*copies.values()])
    inverse = [float(entropy.detach()) / float(g.square().sum(1).mean()) for g in gradients]
    return torch.tensor(math.hypot(*inverse), dtype=torch.float64)


def test_the_regulariser_is_the_length_of_the_inverse_information() -> None:
    model, x, y = learner(1e-10), numbers(), labels()
    torch.manual_seed(5)
    losses = model.losses(x, y)
    assert_close(losses["regulariser"].detach(), 1e-10 * regulariser(model, x), atol=0, rtol=1e-9)
    assert losses["likelihood"] < 5
    with torch.no_grad():
        assert model.losses(x, y).keys() == {"likelihood"}


def test_the_double_backward_agrees_with_finite_differences() -> None:
    model, x, y = learner(), numbers(), labels()
    torch.manual_seed(5)
    model.losses(x, y)["regulariser"].backward()
    step = 1e-6
    for parameter in model.parameters():
        for position in range(0, parameter.numel(), 7):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter.view(-1)[position] += sign * step
                ends.append(regulariser(model, x))
                with torch.no_grad():
                    parameter.view(-1)[position] -= sign * step
            slope = float(ends[0] - ends[1]) / (2 * step)
            assert float(parameter.grad.view(-1)[position]) == pytest.approx(slope, rel=1e-4, abs=1e-3)


def test_what_the_expert_does_not_see_has_no_noise() -> None:
    model, x, y, place = learner(), numbers(), labels(), torch.rand(6, 1)
    torch.manual_seed(5)
    wanted = model.losses(x, y)["regulariser"]
    torch.manual_seed(5)
    assert_close(model.losses({**x, "position": place}, y)["regulariser"], wanted, rtol=0, atol=0)


def test_a_modality_without_influence_has_a_finite_loss_and_gradient() -> None:
    model, x = method(FunctionalEntropy, ("a+b",)), numbers()
    with torch.no_grad():
        model.experts.network("a+b").network[0].weight[:, 3:] = 0
    loss = sum(model.losses({m: values.float() for m, values in x.items()}, labels()).values())
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.parameters())


def test_whole_numbers_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="b is no measured number"):
        learner().losses({**numbers(), "b": torch.ones(6, 3, dtype=torch.int64)}, labels())
