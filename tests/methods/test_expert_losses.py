"""I2M2 with a loss per expert, masking or weights: losses by hand and limits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from knee_i2m2.methods.expert_losses import ExpertLosses, ExpertMasking, ExpertWeights, SharedTrunk
from knee_i2m2.methods.method import Method
from tests.methods.shared_experts import EVERY, batch, method


def mean_surprise(logits: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, -2), y.flatten())


@pytest.mark.parametrize("kind", [ExpertLosses, SharedTrunk])
def test_every_expert_s_own_loss_counts_three_tenths(kind: type[ExpertLosses]) -> None:
    learner, (x, y) = method(kind), batch()
    logits = learner.experts(x)
    losses = learner.losses(x, y)
    assert_close(losses["likelihood"], mean_surprise(sum(logits.values()), y))
    for name in EVERY:
        assert_close(losses[name], 0.3 * mean_surprise(logits[name], y))
    assert losses.keys() == {"likelihood", *EVERY}


def masked(learner: ExpertMasking, x: dict[str, Tensor], y: Tensor) -> list[tuple[str, ...]]:
    """Returns for each sample the experts whose logits its loss depends on."""
    logits = {name: z.detach().requires_grad_() for name, z in learner.experts(x).items()}
    learner.experts.forward = lambda x: logits
    gradients = torch.autograd.grad(learner.losses(x, y)["likelihood"], list(logits.values()))
    return [tuple(n for n, g in zip(logits, gradients, strict=True) if g[i].any()) for i in range(len(y))]


def test_masking_leaves_out_every_set_of_experts_at_times_and_never_all() -> None:
    learner, (x, y) = method(ExpertMasking).train(), batch(600)
    kept = masked(learner, x, y)
    sets = {names: kept.count(names) for names in set(kept)}
    assert () not in sets
    assert len(sets) == 7
    # 1/8 of samples would keep none and keep the one of the lowest draw: 1/8 + 1/24 for each alone, 1/8 for the rest
    for names, count in sets.items():
        assert count / 600 == pytest.approx(1 / 6 if len(names) == 1 else 1 / 8, abs=0.05)


def test_what_is_masked_has_no_part_in_the_sample_s_product() -> None:
    learner, (x, y) = method(ExpertMasking).train(), batch(30)
    logits = {name: z.detach() for name, z in learner.experts(x).items()}
    torch.manual_seed(7)
    loss = learner.losses(x, y)["likelihood"].detach()
    torch.manual_seed(7)
    kept = masked(learner, x, y)
    products = torch.stack([sum(logits[n][i] for n in names) for i, names in enumerate(kept)])
    assert_close(loss, mean_surprise(products, y))


def test_nothing_is_masked_in_evaluation() -> None:
    learner, (x, y) = method(ExpertMasking).eval(), batch()
    product = sum(learner.experts(x).values())
    assert_close(learner.losses(x, y)["likelihood"], mean_surprise(product, y))
    assert_close(learner(x), product.log_softmax(-1))


def test_weights_start_at_one_as_the_plain_product() -> None:
    learner, (x, _) = method(ExpertWeights), batch()
    assert_close(torch.stack([*learner.beta.values()]), torch.ones(3))
    assert_close(learner(x), sum(learner.experts(x).values()).log_softmax(-1))


def test_weights_are_learned_and_never_fall_below_zero() -> None:
    learner, (x, y) = method(ExpertWeights), batch()
    optimiser = torch.optim.SGD([learner.raw], lr=20.0)
    for _ in range(60):
        optimiser.zero_grad()
        learner.losses(x, 1 - y if _ < 30 else y)["likelihood"].backward()
        optimiser.step()
        assert all(beta.isfinite() and beta >= 0 for beta in learner.beta.values())
    logits = learner.experts(x)
    weighted = sum(learner.beta[name] * z for name, z in logits.items())
    assert_close(learner.losses(x, y)["likelihood"], mean_surprise(weighted, y))
    assert_close(learner.answer({"b": logits["b"]}), (learner.beta["b"] * logits["b"]).log_softmax(-1))
    assert not torch.allclose(torch.stack([*learner.beta.values()]), torch.ones(3))


@pytest.mark.parametrize("kind", [ExpertLosses, SharedTrunk, ExpertMasking, ExpertWeights])
def test_a_product_that_is_fitted_jointly_undoes_the_class_weights_once(kind: type[Method]) -> None:
    learner, (x, _) = method(kind).eval(), batch()
    before, weights = learner(x), torch.tensor([[0.5, 2.0], [3.0, 0.7]])
    learner.weights.copy_(weights)
    assert_close(learner(x), (before - weights.log()).log_softmax(-1))
