r"""ReconBoost: in turns one expert learns what the others leave wrong, then all learn together.

With :math:`p_{-k} = \mathrm{sg}\,\mathrm{softmax} \sum_{j \ne k} s_j`, in its turn expert k minimises

.. math:: -(w_1 - w_2\, p_{-k}(y)) \log p_k(y)

and after each turn all minimise :math:`-\log p(y)` of the sum of logits.

ReconBoost: Boosting Can Achieve Modality Reconcilement (Hua et al., ICML 2024). A turn is one epoch here, four there;
their agreement loss, whose gradient is zero, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from knee_i2m2.methods.method import Method
from knee_i2m2.types import Modalities

__all__ = ["ReconBoost", "residual_weight"]


def residual_weight(
    others: Float[Tensor, "*batch classes"], y: Int64[Tensor, "*batch"], own: float = 5.0, rest: float = 1.0
) -> Float[Tensor, "*batch"]:
    r"""Returns :math:`w_1 - w_2\, p_{-k}(y)` from the summed logits of the others."""
    probability = others.detach().softmax(dim=-1).gather(-1, y.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return own - rest * probability


class ReconBoost(Method):
    """Alternates between the experts, and answers with their product."""

    own_experts = staticmethod(tuple)
    warm = True
    passed: Tensor

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.register_buffer("passed", torch.zeros((), dtype=torch.int64))

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the loss of the turn: that of one expert, or of the product."""
        opinions = self.opinions(x)
        turn, together = divmod(int(self.passed), 2)
        name = tuple(self.experts.sees)[turn % len(self.experts.sees)]
        if together or name not in opinions or not self.training:
            return {"likelihood": self.loss(self.combine(opinions), y, self.weights)}
        logp, others = opinions[name].log_softmax(dim=-1), sum(z for n, z in opinions.items() if n != name)
        others = others + torch.zeros_like(logp)
        weight = residual_weight(others, y).unsqueeze(-1)
        # processes wait for the gradient of every parameter, here 0
        return {"likelihood": self.loss(weight * logp + 0 * others, y, self.weights)}

    def after_epoch(self, epoch: int, train: Mapping[str, float], valid: Mapping[str, float]) -> None:
        """Goes on to the next turn."""
        self.passed.fill_(epoch + 1)
