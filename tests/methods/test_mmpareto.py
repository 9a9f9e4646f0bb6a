"""MMPareto's weight is the min-norm one, and its direction the equation's."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from knee_i2m2.methods.mmpareto import MMPareto, min_norm_weight
from tests.methods.shared_experts import batch, method


def test_the_weight_is_the_one_worked_out_by_hand() -> None:
    joint, own = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])  # |g_m|^2 = 2, dot = -1, |difference|^2 = 5
    assert min_norm_weight(joint, own) == pytest.approx(3 / 5)
    assert min_norm_weight(joint, torch.tensor([0.5, 2.0])) == 0.5  # they agree


def test_no_other_weight_makes_the_mixed_gradient_shorter() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        joint, own = torch.randn(2, 7, dtype=torch.float64, generator=generator)
        own = own if joint @ own < 0 else -own
        a = min_norm_weight(joint, own)
        grid = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
        lengths = (grid * joint + (1 - grid) * own).norm(dim=1)
        assert (a * joint + (1 - a) * own).norm() <= lengths.min() + 1e-12
        assert 0 < a < 1


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_every_parameter_of_an_encoder_follows_its_pair_and_the_heads_the_sum(sign: float) -> None:
    learner, (x, y) = method(MMPareto), batch()
    parameters = dict(learner.named_parameters())
    gradients = {}
    for name, loss in learner.losses(x, y).items():
        found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
        gradients[name] = {
            n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(parameters.items(), found, strict=True)
        }
    gradients["a"] = {n: sign * g for n, g in gradients["a"].items()}
    direction = learner.direction(gradients)
    names = [n for n in parameters if n.startswith("experts.encoders.a.")]
    joint, own = (torch.cat([gradients[k][n].flatten() for n in names]) for k in ("a+b", "a"))
    a = 0.5 if joint @ own > 0 else float((own @ own - joint @ own) / (joint - own).square().sum())
    for n in names:
        g = 2 * a * gradients["a+b"][n] + 2 * (1 - a) * gradients["a"][n]
        longer = max(1.0, float((gradients["a+b"][n] + gradients["a"][n]).norm() / g.norm()))
        assert_close(direction[n], 1.5 * longer * g)
    for n in parameters:
        if ".heads." in n:
            assert_close(direction[n], sum(g[n] for g in gradients.values()))
    assert direction.keys() == parameters.keys()
