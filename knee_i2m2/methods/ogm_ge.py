r"""OGM-GE: on-the-fly gradient modulation with generalisation enhancement.

The joint head is linear, so its logits split by modality, :math:`s_m = W_m z_m + b / M`. With
:math:`S_m = \sum_i p_m(y_i)` and :math:`\rho_m = S_m / \min_j S_j`, encoder m follows

.. math:: g \leftarrow k_m g + \epsilon, \quad k_m = 1 - \tanh(\alpha \rho_m) \text{ if } \rho_m > 1 \text{ else } 1,

with :math:`\epsilon \sim N(0, \mathrm{std}(g) + 10^{-8})` of the unscaled gradient.

Balanced Multimodal Learning via On-the-fly Gradient Modulation (Peng et al., CVPR 2022). Unlike the official code a tie
scales no modality, any number of modalities goes, and linear layers of encoders count as convolutions do.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from knee_i2m2.experts.shared import LinearHead
from knee_i2m2.methods.method import Mean, Method, joint_alone
from knee_i2m2.types import Modalities

__all__ = ["OGMGE", "coefficients"]


def coefficients(scores: Float[Tensor, " modalities"], alpha: float) -> Float[Tensor, " modalities"]:
    r"""Returns :math:`k_m` from the scores :math:`S_m`."""
    ratios = scores / scores.min()
    return torch.where(ratios > 1, 1 - torch.tanh(alpha * ratios), torch.ones_like(ratios))


class OGMGE(Method):
    """Slows down the encoders of the modalities that are ahead, and adds noise to all."""

    combiner = "joint"
    shared = encoder_per_modality = True
    head = LinearHead
    own_experts = staticmethod(joint_alone)
    alpha = 0.3

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.scores: dict[str, Tensor] = {}

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the cross-entropy of the joint answer; the modalities' scores are kept for `modulate`."""
        logits, parts = self.experts.split(x)
        if torch.is_grad_enabled():
            batch = {name: _score(part.detach(), y) for name, part in parts.items()}
            self.scores = {name: self.scores.get(name, 0) + score for name, score in batch.items()}
        return {"likelihood": self.loss_of(logits, y)}

    def modulate(self, mean: Mean, generator: torch.Generator) -> None:
        """Scales the gradients of every encoder, and adds the noise."""
        factors = coefficients(mean(torch.stack(list(self.scores.values()))), self.alpha)
        names, self.scores = tuple(self.scores), {}
        for factor, name in zip(factors, names, strict=True):
            for parameter in self.experts.encoders[name].parameters():
                if parameter.grad is not None and parameter.grad.ndim > 1:
                    noise = torch.randn(parameter.shape, generator=generator).to(parameter.grad)
                    noise = noise * (parameter.grad.std(correction=0) + 1e-8)
                    parameter.grad.mul_(factor).add_(noise)


def _score(logits: Float[Tensor, "batch *targets classes"], y: Int64[Tensor, "batch *targets"]) -> Float[Tensor, ""]:
    """Returns the summed probability of the truth, where it is known."""
    probability = logits.float().softmax(dim=-1).gather(-1, y.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return (probability * (y >= 0)).sum()
