r"""MIMO, a reconstruction: the worst unimodal objective weighs most, through one smooth maximum.

.. math:: L = L_J + \lambda \mu \log \frac{1}{M} \sum_m e^{L_m / \mu}

whose gradient weighs the unimodal losses by :math:`\lambda\, \mathrm{softmax}(L / \mu)`.

Multi-modal learning as lexicographic multi-objective optimisation (Fernando et al., arXiv 2511.06686): reconstructed
from its summary, with our own mu and lambda; the authors' equations and schedule were not available.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from knee_i2m2.fusion.joint import largest
from knee_i2m2.methods.method import Method
from knee_i2m2.types import Modalities

__all__ = ["MIMO", "smooth_maximum"]


def smooth_maximum(losses: Float[Tensor, " losses"], mu: float) -> Float[Tensor, ""]:
    r"""Returns :math:`\mu \log \frac{1}{M} \sum_m e^{L_m / \mu}`: their mean for large mu, their maximum for small."""
    return mu * ((losses / mu).logsumexp(dim=0) - math.log(len(losses)))


class MIMO(Method):
    """Minimises the joint loss and the smooth maximum of the unimodal ones, and answers with the joint expert."""

    combiner = "joint"
    shared = True
    mu, unimodal = 0.1, 1.0

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the joint loss, where the joint expert answers, and the smooth maximum of the others."""
        each = self.each(x, y)
        joint = each.pop(largest(each))
        unimodal = smooth_maximum(torch.stack([*each.values()]), self.mu) if each else 0 * joint
        return {"joint": joint, "unimodal": self.unimodal * unimodal}
