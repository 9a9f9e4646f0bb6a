"""Low-rank fusion is a linear layer on the outer product that it never builds."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from knee_i2m2.experts.heads.low_rank import LowRankHead


def extended(z: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.ones(len(z), 1, dtype=z.dtype), z], dim=1)


def test_two_modalities_are_the_contraction_with_the_full_tensor() -> None:
    head = LowRankHead([3, 4], (2, 5), rank=6, hidden=7).double()
    a, b = torch.randn(9, 3, dtype=torch.float64), torch.randn(9, 2, 2, dtype=torch.float64)
    head.bias.data.normal_()
    first, second = head.factors
    tensor = (head.weights[:, None, None, None] * first[:, :, None, :] * second[:, None, :, :]).sum(dim=0)
    outer = extended(a)[:, :, None] * extended(b.flatten(1))[:, None, :]
    expected = torch.tensordot(outer, tensor, dims=2) + head.bias
    assert_close(head.fused(a, b), expected)
    assert_close(head(a, b), head.perceptron(expected).view(9, 2, 5))


def test_three_modalities_are_the_contraction_with_the_full_tensor() -> None:
    head = LowRankHead([2, 3, 4], (3,), rank=5, hidden=6).double()
    z = [torch.randn(4, width, dtype=torch.float64) for width in (2, 3, 4)]
    tensor = torch.zeros(3, 4, 5, 6, dtype=torch.float64)
    for r in range(5):
        for h in range(6):
            vectors = [factor[r, :, h] for factor in head.factors]
            tensor[..., h] += head.weights[r] * torch.einsum("i,j,k->ijk", *vectors)
    expected = torch.einsum("ni,nj,nk,ijkh->nh", *map(extended, z), tensor) + head.bias
    assert_close(head.fused(*z), expected)


def test_the_sizes_are_those_of_the_paper_s_av_mnist_and_every_factor_is_saved_and_trained() -> None:
    head = LowRankHead([48, 192], (10,))
    assert sum(factor.numel() for factor in head.factors) == 40 * 120 * (48 + 1 + 192 + 1) == 1_161_600
    head(torch.randn(3, 48), torch.randn(3, 192)).sum().backward()
    assert all(factor.grad.abs().sum() > 0 for factor in head.factors)
    assert {"factors.0", "factors.1", "weights", "bias"} <= head.state_dict().keys()


def test_frozen_factors_stay_as_they_were_drawn_but_are_saved() -> None:
    head = LowRankHead([3, 4], (2,), frozen_factors=True)
    drawn = [factor.detach().clone() for factor in head.factors]
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.1)
    head(torch.randn(9, 3), torch.randn(9, 4)).square().sum().backward()
    optimiser.step()
    assert all(torch.equal(now, before) for now, before in zip(head.factors, drawn, strict=True))
    assert head.weights.grad.abs().sum() > 0
    assert {"factors.0", "factors.1"} <= head.state_dict().keys()
