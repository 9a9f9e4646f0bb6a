"""Greedy: its decisions on a recorded sequence of gradients, and its gates by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from knee_i2m2.methods.greedy import Greedy, caring, learning_speed
from tests.methods.shared_experts import batch, method

NAMES = ("a", "b")
GENERATOR = torch.Generator()


def greedy() -> Greedy:
    return method(Greedy, NAMES).train()


def test_the_speed_sums_over_all_layers_before_it_divides() -> None:
    first, second = torch.tensor([3.0, 4.0], requires_grad=True), torch.tensor([[1.0, 2.0]], requires_grad=True)
    first.grad, second.grad = torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 3.0]])
    assert float(learning_speed([first, second])) == pytest.approx((1 + 4 + 9) / (9 + 16 + 1 + 4))


@pytest.mark.parametrize(
    ("main", "bypass", "expected"),
    [
        ((1, 1), (1, 10), 1),  # S = 0, 1: modality 1 learns faster from the other, and loses sight of it
        ((1, 1), (10, 1), 0),
        ((10, 1), (1, 1), 1),
        ((1, 1), (1, 1.02), -1),  # log10 1.02 = .0086 is below eps
        ((1, 1), (1, 1.03), 1),  # log10 1.03 = .0128
        ((2, 2, 2), (5, 7, 6), 1),
    ],
)
def test_the_modality_with_the_largest_ratio_is_cared_for(main, bypass, expected) -> None:
    assert caring(torch.tensor(main).float(), torch.tensor(bypass).float(), 0.01) == expected


def owners(name: str) -> set[str]:
    """Returns the sums that a parameter counts for."""
    if name.startswith("squeeze"):
        return {"gate a", "gate b"}
    if name.startswith("gates"):
        return {f"gate {NAMES[int(name.split('.')[1])]}"}
    return {f"main {name.split('.')[2]}"}


def test_decisions_on_a_recorded_sequence_of_gradients() -> None:
    learner, generator = greedy(), torch.Generator().manual_seed(0)
    sums = dict.fromkeys(("gate a", "gate b", "main a", "main b"), 0.0)
    squares = {n: float(p.detach().double().square().sum()) for n, p in learner.named_parameters()}
    left, expected, decided = 0, [], []
    for step in range(60):
        if step == 7:
            learner.after_epoch(0, {}, {})
        gradients, sizes = dict.fromkeys(sums, 0.0), dict.fromkeys(sums, 0.0)
        for name, parameter in learner.named_parameters():
            size = 3.0 ** (step % 5) if "gates.1" in name else 100.0 if step > 30 and "gates.0" in name else 1.0
            parameter.grad = size * torch.randn(parameter.shape, generator=generator)
            for owner in owners(name):
                gradients[owner] += float(parameter.grad.double().square().sum())
                sizes[owner] += squares[name]
        if left:
            left -= 1
        else:
            sums = {owner: sums[owner] + gradients[owner] / sizes[owner] for owner in sums}
            d = math.log10(sums["gate a"] / sums["main a"]) - math.log10(sums["gate b"] / sums["main b"])
            if step >= 7 and abs(d) > 0.01:
                left, cared = 5, 0 if d > 0 else 1
        expected.append((left, cared if left else None))
        learner.modulate(lambda values: values, generator)
        decided.append((int(learner.counts[3]), int(learner.counts[2]) if learner.counts[3] else None))
    assert decided == expected
    steps_left = [steps for steps, _ in decided[:14]]
    assert steps_left == [0, 0, 0, 0, 0, 0, 0, 5, 4, 3, 2, 1, 0, 5]  # from the second epoch on, and exactly 5
    assert {cared for _, cared in decided} == {None, 0, 1}
    recorded = [[sums["main a"], sums["main b"]], [sums["gate a"], sums["gate b"]]]
    assert_close(learner.speeds, torch.tensor(recorded), rtol=1e-4, atol=0)


def gates(learner: Greedy, x: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the encodings and the gates that they open."""
    z = {m: learner.experts.encoders[m](x[m]) for m in NAMES}
    joined = torch.cat([z["a"], z["b"]], dim=1)
    squeezed = (joined @ learner.squeeze.weight.T + learner.squeeze.bias).clamp(min=0)
    opened = (1 / (1 + torch.exp(-(squeezed @ gate.weight.T + gate.bias))) for gate in learner.gates)
    return z, dict(zip(NAMES, opened, strict=True))


def said(learner: Greedy, z: dict[str, Tensor], opened: dict[str, Tensor]) -> dict[str, Tensor]:
    return {m: learner.experts.head(m)(opened[m] * z[m]) for m in NAMES}


def test_a_regular_step_has_live_gates_a_loss_per_modality_and_the_mean_as_its_answer() -> None:
    learner, (x, y) = greedy(), batch()
    z, opened = gates(learner, x)
    logits = said(learner, z, opened)
    for m, loss in learner.losses(x, y).items():
        assert_close(loss, cross_entropy(logits[m].flatten(0, 1), y.flatten()))
    assert_close(learner.eval()(x), ((logits["a"] + logits["b"]) / 2).log_softmax(-1))
    assert learner.squeeze.out_features == 16 // 2


def stepped(learner: Greedy, x: dict[str, Tensor], y: Tensor) -> None:
    learner.zero_grad()
    sum(learner.losses(x, y).values()).backward()
    learner.modulate(lambda values: values, GENERATOR)


def test_the_constant_gate_is_its_own_running_mean_with_the_present_batch_and_the_other_stays_live() -> None:
    learner, seen = greedy(), []
    for _ in range(3):
        x, y = batch()
        seen.append({m: gate.detach().mean(0) for m, gate in gates(learner, x)[1].items()})
        stepped(learner, x, y)
    means = learner.means.clone()
    assert_close(means, torch.cat([torch.stack([gate[m] for gate in seen]).mean(0) for m in NAMES]))
    learner.counts[2:] = torch.tensor([1, 5])  # b is cared for
    x, y = batch()
    x = {m: values + 3 for m, values in x.items()}  # a batch that moves the mean
    z, opened = gates(learner, x)
    constant = torch.stack([*(gate["b"] for gate in seen), opened["b"].detach().mean(0)]).mean(0)
    logits = said(learner, z, {"a": opened["a"], "b": constant})
    losses = learner.losses(x, y)
    for m, loss in losses.items():
        assert_close(loss, cross_entropy(logits[m].flatten(0, 1), y.flatten()))
    # b learns from itself alone: its loss moves neither gate nor the other encoder
    others = [*learner.gates.parameters(), *learner.squeeze.parameters(), *learner.experts.encoders["a"].parameters()]
    found = torch.autograd.grad(losses["b"], others, retain_graph=True, allow_unused=True)
    assert all(g is None or not g.any() for g in found)
    assert torch.autograd.grad(losses["a"], learner.gates[0].weight)[0].any()
    stepped(learner, x, y)
    assert_close(learner.means, means, rtol=0, atol=0)  # nothing accumulates in balanced steps
    with torch.no_grad():  # evaluation has live gates, and moves nothing
        z, opened = gates(learner, x)
        answer = sum(said(learner, z, opened).values()) / 2
        assert_close(learner.eval()(x), answer.log_softmax(-1))
    assert_close(learner.means, means, rtol=0, atol=0)


def test_every_modality_was_fitted_with_the_weights_and_their_mean_is_shifted_once() -> None:
    learner, (x, _) = greedy().eval(), batch()
    before, weights = learner(x), torch.tensor([[0.5, 2.0], [3.0, 0.7]])
    learner.weights.copy_(weights)
    shifted = {name: z + weights.log() / 2 for name, z in learner.opinions(x).items()}
    assert_close(learner.answer(shifted), before)


def test_without_a_modality_the_other_one_s_gate_is_its_running_mean() -> None:
    learner, (x, _) = greedy().eval(), batch()
    learner.means.uniform_()
    z = learner.experts.encoders["b"](x["b"])
    assert_close(learner({"b": x["b"]}), learner.experts.head("b")(learner.means[8:] * z).log_softmax(-1))
