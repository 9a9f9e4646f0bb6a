r"""MMPareto: every encoder follows a Pareto direction of the joint and its own unimodal loss.

With :math:`g_J, g_m` of encoder m: if :math:`g_J \cdot g_m > 0`, :math:`a = (.5, .5)`, else the min-norm weights

.. math:: a_J = (|g_m|^2 - g_J \cdot g_m) / |g_J - g_m|^2, \quad a_m = 1 - a_J.

Every parameter follows :math:`g = 2 a_J g_J + 2 a_m g_m`, lengthened to at least :math:`|g_J + g_m|`, times
:math:`\gamma`. Heads follow the summed gradient.

MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance (Wei and Hu, ICML 2024). The weights are not
clamped, which the closed form does not need.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from knee_i2m2.fusion.joint import largest
from knee_i2m2.methods.method import Gradients, Method
from knee_i2m2.types import Modalities

__all__ = ["MMPareto", "min_norm_weight"]


def min_norm_weight(joint: Float[Tensor, " values"], own: Float[Tensor, " values"]) -> Float[Tensor, ""]:
    r"""Returns :math:`a_J`: 1/2 where both gradients agree, else that of the shortest vector between them."""
    dot, difference = joint @ own, joint - own
    shortest = (own @ own - dot) / (difference @ difference).clamp(min=1e-30)
    return torch.where(dot > 0, torch.full_like(dot, 0.5), shortest)


class MMPareto(Method):
    """Minimises the joint and the unimodal losses, and answers with the joint expert."""

    combiner = "joint"
    shared = encoder_per_modality = True
    gamma = 1.5

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns every expert's cross-entropy."""
        return self.each(x, y)

    def direction(self, gradients: Mapping[str, Gradients]) -> Gradients:
        """Returns the Pareto direction of every encoder, and the summed gradient of everything else."""
        joint = largest(gradients)
        total = {name: sum(g[name] for g in gradients.values()) for name in gradients[joint]}
        for modality, encoder in self.experts.encoders.items():
            own = {id(parameter) for parameter in encoder.parameters()}
            names = [name for name, parameter in self.named_parameters() if id(parameter) in own and name in total]
            if modality in gradients and names:
                total |= self._pareto(*({n: gradients[loss][n] for n in names} for loss in (joint, modality)))
        return total

    def _pareto(self, joint: Gradients, own: Gradients) -> dict[str, Tensor]:
        a = min_norm_weight(*(torch.cat([g.flatten() for g in part.values()]) for part in (joint, own)))
        mixed = {name: 2 * a * joint[name] + 2 * (1 - a) * own[name] for name in joint}
        return {
            name: g * self.gamma * ((joint[name] + own[name]).norm() / g.norm().clamp(min=1e-30)).clamp(min=1)
            for name, g in mixed.items()
        }
