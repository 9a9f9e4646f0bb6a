"""I2MoE's interaction losses and mixture by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from knee_i2m2.methods.i2moe import I2MoE, interactions, redundancy, synergy, uniqueness
from tests.methods.shared_experts import batch, method

ANCHOR = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
WITHOUT = [torch.tensor([[3.0, 5.0], [1.0, 0.0]]), torch.tensor([[6.0, 8.0], [0.0, 1.0]])]
"""Distances from the anchor: 1 and 0 without modality 0, 5 and sqrt 2 without modality 1."""


def experts(modalities: tuple[str, ...] = ("a", "b")) -> I2MoE:
    return method(I2MoE, interactions(modalities))


def test_uniqueness_is_the_triplet_loss_of_margin_1() -> None:
    assert float(uniqueness(ANCHOR, WITHOUT, 0)) == pytest.approx(((5 - 1 + 1) + (math.sqrt(2) - 0 + 1)) / 2, rel=1e-5)
    assert float(uniqueness(ANCHOR, WITHOUT, 1)) == pytest.approx(
        0.0, abs=1e-5
    )  # 1 - 5 + 1 and -sqrt 2 + 1 are below 0
    third = [*WITHOUT, ANCHOR]  # positives are averaged: distances 5, sqrt 2 and 0, 0
    first, second = (5 - 1 + 1 + math.sqrt(2) + 1) / 2, (0 + 1) / 2
    assert float(uniqueness(ANCHOR, third, 0)) == pytest.approx((first + second) / 2, rel=1e-5)


def test_synergy_and_redundancy_are_mean_cosines() -> None:
    cosines = (29 / (5 * math.sqrt(34)) + 1) / 2, (1 + 0) / 2
    assert float(synergy(ANCHOR, WITHOUT)) == pytest.approx(sum(cosines) / 2)
    assert float(redundancy(ANCHOR, WITHOUT)) == pytest.approx(1 - sum(cosines) / 2)


def test_there_is_one_expert_per_modality_one_for_synergy_and_one_for_redundancy() -> None:
    assert interactions(("a", "b")) == ("a+b", "a+b.2", "a+b.3", "a+b.4")
    assert len(interactions(("a", "b", "c"))) == 5


def mixture(learner: I2MoE, z: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Returns the weights of the experts (batch, experts), and their logits."""
    first, _, last = learner.mixing
    hidden = (torch.cat(z, dim=1) @ first.weight.T + first.bias).clamp(min=0)
    shares = (hidden @ last.weight.T + last.bias).exp()  # T is 1
    logits = torch.stack([learner.experts.head(name)(*z) for name in learner.experts.sees], dim=1)
    return shares / shares.sum(1, keepdim=True), logits


def test_the_product_of_the_weighted_opinions_is_the_mixture_of_logits() -> None:
    learner, (x, _) = experts().eval(), batch()
    z = [learner.experts.encoders[m](x[m]) for m in "ab"]
    shares, logits = mixture(learner, z)
    assert_close(shares.sum(1), torch.ones(40))
    assert_close(learner(x), torch.einsum("be,betc->btc", shares, logits).log_softmax(-1))
    for head in list(learner.experts.heads.values())[1:]:
        head.load_state_dict(next(iter(learner.experts.heads.values())).state_dict())
    assert_close(learner(x), logits[:, 0].log_softmax(-1))  # weights sum to 1


@pytest.mark.parametrize("modalities", [("a", "b"), ("a", "b", "c")])
def test_the_loss_is_that_of_the_mixture_and_three_tenths_of_the_mean_of_the_m_and_2_others(modalities) -> None:
    learner, y = experts(modalities), torch.randint(0, 2, (12, 2))
    x = {m: torch.randn(12, 3) for m in modalities}
    torch.manual_seed(5)
    losses = learner.losses(x, y)
    torch.manual_seed(5)
    noise = [torch.randn(12, 8) for _ in modalities]
    z = [learner.experts.encoders[m](x[m]) for m in modalities]
    shares, logits = mixture(learner, z)
    assert_close(
        losses["likelihood"], cross_entropy(torch.einsum("be,betc->btc", shares, logits).flatten(0, 1), y.flatten())
    )
    replaced = [[noise[m] if n == m else value for n, value in enumerate(z)] for m in range(len(z))]
    parts = []
    for k, name in enumerate(learner.experts.sees):
        head = learner.experts.head(name)
        o, without = head(*z).flatten(1), [head(*given).flatten(1) for given in replaced]
        distances = [(o - other + 1e-6).square().sum(1).sqrt() for other in without]  # torch adds 1e-6 to differences
        cosine = sum(((o * w).sum(1) / (o.norm(dim=1) * w.norm(dim=1))).mean() for w in without) / len(without)
        triplets = [
            (d - distances[k] + 1).clamp(min=0).mean() for j, d in enumerate(distances) if k < len(z) and j != k
        ]
        parts.append(sum(triplets) / len(triplets) if k < len(z) else cosine if k == len(z) else 1 - cosine)
    assert_close(losses["interaction"], 0.3 * sum(parts) / (len(modalities) + 2))
    encoder = learner.experts.encoders["a"][0].weight
    assert torch.autograd.grad(losses["interaction"], encoder)[0].any()  # it reaches the encoders, too
