r"""I2M2 with more than the likelihood of its product: experts that also answer alone, are left out, or are weighted.

All learn from :math:`\log p(y \mid x) = \sum_k \log p_k(y \mid x) - \log Z` (Madaan et al., 2024); the rest is ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from knee_i2m2.methods.likelihood import Likelihood
from knee_i2m2.types import Modalities, Opinions

__all__ = ["ExpertLosses", "ExpertMasking", "ExpertWeights", "SharedTrunk"]


class ExpertLosses(Likelihood):
    r"""Minimises :math:`-\log p + \lambda \sum_k -\log p_k`: every expert stays one that answers alone."""

    warm = True
    expert_loss = 0.3

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the cross-entropy of the product, and the weighted ones of the experts."""
        opinions = self.opinions(x)
        alone = {name: self.expert_loss * self.loss_of(logits, y) for name, logits in opinions.items()}
        return {"likelihood": self.loss(self.combine(opinions), y, self.weights), **alone}


class SharedTrunk(ExpertLosses):
    """The same on one encoder per modality, with a head per expert: all experts at about the cost of the joint one."""

    shared = encoder_per_modality = True
    warm = False


class ExpertMasking(Likelihood):
    """Leaves out experts at random, for each training sample another half, but never all of them."""

    warm = True

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the cross-entropy of the product of those that are left."""
        opinions = self.opinions(x)
        left = _left(len(y), len(opinions)) if self.training else torch.ones(len(opinions), len(y))
        masks = left.to(y.device).view(*left.shape, *[1] * self.weights.ndim)
        kept = {name: mask * logits for mask, (name, logits) in zip(masks, opinions.items(), strict=True)}
        return {"likelihood": self.loss(self.combine(kept), y, self.weights)}


def _left(samples: int, experts: int) -> Float[Tensor, "experts samples"]:
    """Returns 1 where an expert is left in."""
    draws = torch.rand(experts, samples)
    return ((draws < 0.5) | (draws == draws.amin(dim=0))).float()


class ExpertWeights(Likelihood):
    r"""Answers with :math:`\sum_k \beta_k \log p_k - \log Z`, with :math:`\beta_k \ge 0` learned beside the experts."""

    combiner = "weighted_product"
    warm = True

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        start = torch.full((len(self.experts.sees),), 1.0).expm1().log()  # softplus of it is 1
        self.raw = nn.Parameter(start)

    @property
    def beta(self) -> dict[str, Float[Tensor, ""]]:
        """Expert -> its weight."""
        return dict(zip(self.experts.sees, nn.functional.softplus(self.raw), strict=True))

    def answer(self, opinions: Opinions) -> Float[Tensor, "batch *targets classes"]:
        """Returns the weighted product, without the shift of the class weights."""
        return (self.combine(opinions, self.beta) + self.bias(opinions)).log_softmax(dim=-1)

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the cross-entropy of the weighted product."""
        return {"likelihood": self.loss(self.combine(self.opinions(x), self.beta), y, self.weights)}
