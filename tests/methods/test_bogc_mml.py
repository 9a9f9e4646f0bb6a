"""BOGC-MML: Dempster's rule on a worked example, opinions, and moments by brute force."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from knee_i2m2.methods.bogc_mml import BOGCMML, dempster, opinion
from tests.methods.shared_experts import batch, method

NAMES = ("a", "b")


def masses(*values: float) -> tuple[Tensor, ...]:
    return tuple(torch.tensor([v], dtype=torch.float64) for v in values)


def test_dempster_s_rule_on_a_worked_example() -> None:
    combined = dempster(masses(0.6, 0.1, 0.3), masses(0.2, 0.5, 0.3))  # C = .6 (.5) + .1 (.2) = .32
    assert [float(m) for m in combined] == pytest.approx([0.36 / 0.68, 0.23 / 0.68, 0.09 / 0.68])


def test_the_order_of_opinions_is_nothing_the_ignorant_change_nothing_and_masses_sum_to_1() -> None:
    held = [masses(0.6, 0.1, 0.3), masses(0.0, 0.7, 0.3), masses(0.4, 0.4, 0.2)]
    results = [dempster(dempster(a, b), c) for a, b, c in itertools.permutations(held)]
    for result in results:
        assert float(sum(result)) == pytest.approx(1)
        assert_close(result, results[0])
    assert_close(dempster(held[0], masses(0, 0, 1)), held[0])


@pytest.mark.parametrize("doubt", [1e-4, 1e-8, 1e-14])
def test_two_that_are_sure_of_opposites_leave_finite_masses(doubt: float) -> None:
    belief, doubt = torch.tensor([1 - doubt]), torch.tensor([doubt])
    combined = dempster((belief, torch.zeros(1), doubt), (torch.zeros(1), belief, doubt))
    assert float(sum(combined)) == pytest.approx(1)
    assert float(combined[0]) == pytest.approx(0.5, abs=0.01)


def test_an_opinion_by_hand() -> None:
    mean, variance = (torch.tensor(v, dtype=torch.float64) for v in ([1.0, -2, 3], [1.0, 2, 3]))
    positive, negative, uncertainty = opinion(mean, variance)  # e = 2, 1, 2/3 with a mean variance of 2
    assert_close(positive, torch.tensor([1 / 2, 0, 1 / 4], dtype=torch.float64))
    assert_close(negative, torch.tensor([0, 1 / 3, 0], dtype=torch.float64))
    assert_close(uncertainty, torch.tensor([1 / 2, 2 / 3, 3 / 4], dtype=torch.float64))


def test_a_weight_that_never_varies_leaves_the_others_their_evidence() -> None:
    variance = torch.tensor([0.0, 1.0, 1.0, 1.0])
    _, _, uncertainty = opinion(torch.ones(4), variance)
    assert uncertainty[0] < 1e-6
    assert_close(uncertainty[1:], torch.full((3,), 2 / 2.75))
    assert_close(opinion(torch.ones(3), torch.zeros(3))[2], torch.full((3,), 2 / 3))


def drawn_gradients(learner: BOGCMML, name: str, noise: Tensor, x: dict, y: Tensor) -> dict[str, Tensor]:
    """Returns the gradients of both losses, by autograd, where one head is drawn around its weights."""
    experts = learner.experts
    z = {m: experts.encoders[m](x[m]).detach() for m in NAMES}
    linear, found = experts.head(name).linear, {}
    for loss in ("alone", "joint"):
        others = sum(experts.head(m)(z[m]).detach() for m in NAMES if m != name) if loss == "joint" else 0
        p = (experts.head(name)(z[name]).detach() + others).softmax(-1).flatten(1)
        curvature = torch.zeros_like(linear.weight)
        for i in range(len(y)):
            curvature += torch.outer(p[i] * (1 - p[i]), z[name][i] ** 2) / len(y)
        weight = linear.weight.detach() + noise / (len(y) * curvature + learner.prior).sqrt()
        weight = weight.detach().requires_grad_()
        said = functional_call(linear, {"weight": weight, "bias": linear.bias.detach()}, z[name]).view(-1, 2, 2)
        surprise = cross_entropy((said + others).flatten(0, 1), y.flatten())
        (found[loss],) = torch.autograd.grad(surprise, weight)
    return found


def test_heads_follow_the_certain_part_of_the_drawn_gradients() -> None:
    learner, (x, y) = method(BOGCMML, NAMES).double(), batch(12)
    x = {m: values.double() for m, values in x.items()}
    sum(learner.losses(x, y).values()).backward()
    summed = {n: p.grad.clone() for n, p in learner.named_parameters()}
    learner.modulate(lambda values: values, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    for name in NAMES:
        weight = learner.experts.head(name).linear.weight
        noises = [torch.randn(weight.shape, generator=generator).double() for _ in range(learner.draws)]
        draws = [drawn_gradients(learner, name, noise, x, y) for noise in noises]
        opinions, shares, means = [], [], []
        for loss in ("alone", "joint"):
            samples = torch.stack([draw[loss] for draw in draws])
            mean = samples.sum(0) / learner.draws
            variance = (samples - mean).square().sum(0) / learner.draws
            evidence = variance.mean() / variance
            belief, doubt = evidence / (evidence + 2), 2 / (evidence + 2)
            opinions.append((torch.where(mean > 0, belief, 0), torch.where(mean > 0, 0, belief), doubt))
            shares.append(1 - doubt)
            means.append(mean)
        (p1, n1, u1), (p2, n2, u2) = opinions
        doubt = u1 * u2 / (1 - p1 * n2 - n1 * p2)
        expected = (1 - doubt) * (shares[0] * means[0] + shares[1] * means[1]) / (shares[0] + shares[1])
        assert_close(weight.grad, expected)
    for n, p in learner.named_parameters():
        if not n.endswith("linear.weight"):
            assert_close(p.grad, summed[n], rtol=0, atol=0)  # encoders and biases keep the summed gradient


def test_features_that_are_always_zero_stop_no_head() -> None:
    learner, (x, y) = method(BOGCMML, NAMES), batch()
    with torch.no_grad():
        for encoder in learner.experts.encoders.values():
            encoder[0].weight[:6], encoder[0].bias[:6] = 0, 0
    sum(learner.losses(x, y).values()).backward()
    before = {m: learner.experts.head(m).linear.weight.grad.norm() for m in NAMES}
    learner.modulate(lambda values: values, torch.Generator().manual_seed(0))
    for m in NAMES:
        gradient = learner.experts.head(m).linear.weight.grad
        assert gradient.isfinite().all() and gradient.norm() > before[m] / 20
        assert gradient[:, :6].eq(0).all()
