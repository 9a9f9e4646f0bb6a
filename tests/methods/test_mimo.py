"""The smooth maximum: no overflow, its limits, its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from knee_i2m2.methods.mimo import MIMO, smooth_maximum
from tests.methods.shared_experts import batch, method


@pytest.mark.parametrize("mu", [0.01, 0.1, 1.0, 10.0])
def test_losses_of_1300_do_not_overflow(mu: float) -> None:
    losses = torch.tensor([1300.0, 1299.9, 3.0], dtype=torch.float64, requires_grad=True)
    value = smooth_maximum(losses, mu)
    by_hand = 1300 + mu * math.log((1 + math.exp(-0.1 / mu) + math.exp(-1297 / mu)) / 3)
    assert float(value.detach()) == pytest.approx(by_hand, rel=1e-12)
    value.backward()
    shares = [1.0, math.exp(-0.1 / mu), math.exp(-1297 / mu)]
    assert_close(losses.grad, torch.tensor(shares, dtype=torch.float64) / sum(shares))
    assert smooth_maximum(losses.detach().float(), mu).isfinite()


def test_large_mu_is_the_mean_and_small_mu_the_maximum() -> None:
    losses = torch.tensor([0.2, 0.9, 2.5], dtype=torch.float64)
    assert float(smooth_maximum(losses, 1e6)) == pytest.approx(1.2, abs=1e-5)
    assert float(smooth_maximum(losses, 1e-4)) == pytest.approx(2.5, abs=2e-4)
    assert float(smooth_maximum(losses[:1], 0.3)) == pytest.approx(0.2)
    equal = torch.full((4,), 0.7, dtype=torch.float64)
    assert float(smooth_maximum(equal, 0.01)) == pytest.approx(0.7)  # the mean, not the sum, inside


def test_the_worst_modality_weighs_most_beside_the_joint_loss() -> None:
    learner, (x, y) = method(MIMO), batch()
    with torch.no_grad():
        each, losses = learner.each(x, y), learner.losses(x, y)
    assert_close(losses["joint"], each["a+b"])
    worst, other = sorted((float(each["a"]), float(each["b"])), reverse=True)
    by_hand = 0.1 * math.log((math.exp(worst / 0.1) + math.exp(other / 0.1)) / 2)  # mu .1, lambda 1
    assert float(losses["unimodal"]) == pytest.approx(by_hand, rel=1e-5)
    assert list(losses) == ["joint", "unimodal"]
