r"""Low-rank tensor fusion: a linear layer on the outer product of all encodings, whose tensor is never built.

.. math:: \tilde z_m = [1; z_m], \quad h = \sum_r w_r \textstyle\prod_m \tilde z_m W_m^{(r)} + b

with :math:`W_m` of shape (R, values + 1, hidden), then a perceptron to the logits.

Efficient Low-rank Multimodal Fusion with Modality-Specific Factors (Liu et al., ACL 2018). The factors are parameters;
in MultiBench's copy they are not, and stay as they were drawn, which `frozen_factors` reproduces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["LowRankHead"]


class LowRankHead(nn.Module):
    """Answers from the fused encodings.

    Args:
        widths: Values of each encoding, flattened.
        answers: Shape of a sample's logits, (*targets, classes).
        rank: R.
        hidden: Values of h.
        frozen_factors: Whether the factors stay as they were drawn.
    """

    def __init__(
        self,
        widths: Sequence[int],
        answers: tuple[int, ...],
        rank: int = 40,
        hidden: int = 120,
        frozen_factors: bool = False,
    ) -> None:
        super().__init__()
        self.widths, self.answers = tuple(widths), answers
        factors = [nn.init.xavier_normal_(torch.empty(rank, width + 1, hidden)) for width in widths]
        self.factors = nn.ParameterList(nn.Parameter(f, requires_grad=not frozen_factors) for f in factors)
        self.weights = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, rank))[0])
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.perceptron = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, math.prod(answers)))

    def forward(self, *features: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch *answers"]:
        """Returns the logits."""
        return self.perceptron(self.fused(*features)).unflatten(-1, self.answers)

    def fused(self, *features: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch hidden"]:
        """Returns h."""
        product = 1
        for z, factor in zip(features, self.factors, strict=True):
            extended = nn.functional.pad(z.flatten(1), (1, 0), value=1.0)
            product = product * torch.einsum("bi,rih->rbh", extended, factor)
        return torch.einsum("r,rbh->bh", self.weights, product) + self.bias
