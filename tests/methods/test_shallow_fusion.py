"""Shallow fusion finds the beta of the largest likelihood."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.testing import assert_close

from knee_i2m2.fusion import COMBINERS
from knee_i2m2.methods.shallow_fusion import ShallowFusion
from tests.methods.shared_experts import experts


def fusion(names: tuple[str, ...], weights: torch.Tensor | None = None) -> ShallowFusion:
    return ShallowFusion(
        experts(names), COMBINERS["weighted_product"], torch.ones(2, 2) if weights is None else weights
    )


def opinions(names: tuple[str, ...], samples: int = 400) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(2, (samples, 2), generator=generator)
    shown = torch.nn.functional.one_hot(y, 2).double()
    noise = {name: torch.randn(shown.shape, dtype=torch.float64, generator=generator) for name in names}
    return {name: (1 + k) * 0.5 * shown + noise[name] for k, name in enumerate(names)}, y


def test_beta_is_the_one_worked_out_by_hand() -> None:
    """Two samples of which the auxiliary expert is right three times in four: its log-odds log 3 / 2 need beta 2."""
    learner = fusion(("a", "a+b"))
    z = torch.tensor([0.0, np.log(3) / 2], dtype=torch.float64)
    said = {"a": z.expand(4, 2, 2), "a+b": torch.zeros(4, 2, 2, dtype=torch.float64)}
    learner.fit_combiner(said, torch.tensor([[1, 1], [1, 1], [1, 1], [0, 0]]))
    assert_close(learner.beta, torch.tensor([2.0, 1.0]), atol=1e-3, rtol=0)


def test_beta_is_the_minimum_that_scipy_finds_and_the_joint_expert_keeps_weight_one() -> None:
    said, y = opinions(("a", "a+b"))
    learner = fusion(("a", "a+b"))
    learner.fit_combiner(said, y)

    def negative(beta: float) -> float:
        logp = (beta * said["a"].log_softmax(-1) + said["a+b"].log_softmax(-1)).log_softmax(-1)
        return -float(logp.gather(-1, y.unsqueeze(-1)).mean())

    assert learner.beta[0].item() == pytest.approx(
        minimize_scalar(negative, bounds=(0, 5), method="bounded").x, abs=1e-3
    )
    assert learner.beta[1] == 1


def test_an_expert_that_misleads_gets_nothing() -> None:
    said, y = opinions(("a", "b", "a+b"))
    learner = fusion(("a", "b", "a+b"))
    learner.fit_combiner(said | {"a": -said["a"]}, y)
    assert learner.beta[0] == 0
    assert learner.beta[1] > 0


def test_the_answer_is_the_weighted_product_of_what_experts_say_without_class_weights() -> None:
    weights = torch.tensor([[0.6, 3.0], [0.9, 1.2]])
    said, _ = opinions(("a", "a+b"), 5)
    learner = fusion(("a", "a+b"), weights)
    learner.beta.copy_(torch.tensor([0.3, 1.0]))
    logp = [(z - weights.log()).log_softmax(-1) for z in said.values()]
    assert_close(learner.answer(said), (0.3 * logp[0] + logp[1]).log_softmax(-1), check_dtype=False)
