r"""G-Blend: losses weighted by how much each head generalises for how much it overfits.

Between epochs N and N + n, on mean losses, with :math:`O = L^{val} - L^{train}`: :math:`\Delta O = O_{N+n} - O_N`,
:math:`\Delta G = L^{val}_N - L^{val}_{N+n}`, and :math:`w_k \propto \max(\Delta G_k, 0) / \Delta O_k^2`, summing to 1.

What Makes Training Multi-modal Classification Networks Hard? (Wang, Tran, Feiszli, CVPR 2020). Online, but measured on
the heads that are trained together instead of on copies of each branch, and no share falls below .01, so that none is
left at 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from knee_i2m2.methods.method import Method
from knee_i2m2.types import Modalities

__all__ = ["GBlend", "blend_weights"]

_FLOOR, _EPSILON = 0.01, 1e-8


def blend_weights(before: Float[Tensor, "2 heads"], after: Float[Tensor, "2 heads"]) -> Float[Tensor, " heads"]:
    """Returns the weights, summing to 1, from mean losses (training, validation); equal where no head gains."""
    gain = (before[1] - after[1]).clamp(min=0)
    overfitting = (after[1] - after[0]) - (before[1] - before[0])
    ratio = gain / (overfitting**2 + _EPSILON)
    shares = ratio / ratio.sum() if ratio.sum() > 0 else torch.full_like(ratio, 1 / len(ratio))
    return shares.clamp(min=_FLOOR) / shares.clamp(min=_FLOOR).sum()


class GBlend(Method):
    """Minimises the weighted losses of every head, and answers with the joint one."""

    combiner = "joint"
    shared = True
    super_epoch = 2
    blend: Tensor
    past: Tensor

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        heads = len(self.experts.sees)
        self.register_buffer("blend", torch.full((heads,), 1 / heads))
        self.register_buffer("past", torch.full((2, heads), torch.nan))

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the weighted cross-entropies."""
        weight = dict(zip(self.experts.sees, self.blend, strict=True))
        return {name: weight[name] * loss for name, loss in self.each(x, y).items()}

    def after_epoch(self, epoch: int, train: Mapping[str, float], valid: Mapping[str, float]) -> None:
        """Estimates the weights anew, once in a super-epoch."""
        if epoch % self.super_epoch:
            return
        weighted = torch.tensor([[losses[name] for name in self.experts.sees] for losses in (train, valid)])
        now = weighted.to(self.blend) / self.blend
        if self.past.isfinite().all():
            self.blend.copy_(blend_weights(self.past, now))
        self.past.copy_(now)
