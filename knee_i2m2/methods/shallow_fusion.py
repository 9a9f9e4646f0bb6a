r"""Shallow fusion: experts fitted apart, weighted on validation.

.. math:: \log p(y \mid x) = \log p_1(y \mid x) + \sum_{k > 1} \beta_k \log p_k(y \mid x) - \log Z

with :math:`\beta_k \ge 0` of the largest validation likelihood, which is concave in them; expert 1 is the joint one.

On Using Monolingual Corpora in Neural Machine Translation (Gulcehre et al., 2015); a reconstruction for experts on
modalities, where the paper has one main and one auxiliary model and tries values of beta.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from scipy.optimize import minimize
from torch import Tensor

from knee_i2m2.fusion.joint import largest
from knee_i2m2.methods.method import Method, cross_entropy
from knee_i2m2.types import Modalities, Opinions

__all__ = ["ShallowFusion"]


class ShallowFusion(Method):
    """Weighs experts that stay as they were fitted alone."""

    combiner = "weighted_product"
    warm, fine_tuned = True, False
    beta: Tensor

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.register_buffer("beta", torch.ones(len(self.experts.sees)))

    def answer(self, opinions: Opinions) -> Float[Tensor, "batch *targets classes"]:
        """Returns the weighted product, without the shift that class weights give to every expert's log p."""
        beta = dict(zip(self.experts.sees, self.beta, strict=True))
        return (self.combine(opinions, beta) + self.bias(opinions)).log_softmax(dim=-1)

    def bias(self, opinions: Opinions) -> Float[Tensor, "*targets classes"]:
        r"""Returns :math:`-\sum_k \beta_k \log w` over the experts that answer."""
        beta = dict(zip(self.experts.sees, self.beta, strict=True))
        return -sum(beta[name] for name in opinions) * self.weights.log()

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns each expert's class-weighted cross-entropy."""
        return self.each(x, y)

    def fit_combiner(self, opinions: Opinions, y: Int64[Tensor, "samples *targets"]) -> None:
        """Fits beta; that of the expert that sees most stays 1."""
        main = tuple(opinions).index(largest(opinions))
        shifted = [(z - self.weights.log().to(z)).log_softmax(dim=-1) for z in opinions.values()]

        def negative(beta) -> tuple[float, list[float]]:
            free = torch.tensor(beta, dtype=torch.float64, requires_grad=True)
            weights = torch.cat([free[:main], free.new_ones(1), free[main:]])
            logp = sum(b * logp for b, logp in zip(weights, shifted, strict=True)).log_softmax(dim=-1)
            loss = cross_entropy(logp, y, torch.ones_like(self.weights, dtype=torch.float64))
            return loss.item(), torch.autograd.grad(loss, free)[0].tolist()

        start = [1.0] * (len(opinions) - 1)
        fitted = torch.from_numpy(minimize(negative, start, jac=True, bounds=[(0, None)] * len(start)).x)
        self.beta.copy_(torch.cat([fitted[:main], fitted.new_ones(1), fitted[main:]]))
