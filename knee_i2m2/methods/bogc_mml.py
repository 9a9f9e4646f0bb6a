r"""BOGC-MML, a reconstruction: heads follow gradients weighted by how certain they are.

Late fusion, :math:`s_J = \sum_m s_m` with :math:`s_m = W_m z_m`. For each head and both losses k, that of :math:`s_m`
and that of :math:`s_J`: draw :math:`W_s = W_m + \epsilon / \sqrt{N h + \tau}` with the diagonal curvature
:math:`h = \mathrm{mean}_i\, z_i^2 p_i (1 - p_i)` (Laplace), take the gradients' mean :math:`\mu` and variance v over
draws, the evidence :math:`e = \bar v / v` with the layer's mean variance :math:`\bar v` (a mean of precisions would
leave none to the others where a weight hardly varies), and the opinion with belief :math:`b = e / (e + 2)` in the sign
of :math:`\mu` and uncertainty :math:`u = 2 / (e + 2)`. The reduced Dempster rule combines the opinions, and

.. math:: g = (1 - u) \frac{\sum_k (1 - u_k) \mu_k}{\sum_k (1 - u_k)}

Rethinking Multi-Modal Learning from Gradient Uncertainty (Guo et al., arXiv 2505.23071): reconstructed from
descriptions of it, without code or equations; encoders follow the summed gradient, and nothing is kept between steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from knee_i2m2.methods.method import Mean, Method, full_precision
from knee_i2m2.types import Modalities

__all__ = ["BOGCMML", "dempster", "opinion"]

_LEAST = 1e-20

Belief = tuple[Tensor, Tensor, Tensor]
"""Beliefs in a positive and in a negative sign, and the uncertainty."""


def opinion(mean: Tensor, variance: Tensor) -> Belief:
    """Returns the beliefs and the uncertainty of a gradient's signs from its mean and variance."""
    evidence = (variance.mean() + _LEAST) / (variance + _LEAST)
    belief, uncertainty = evidence / (evidence + 2), 2 / (evidence + 2)
    return belief * (mean > 0), belief * (mean <= 0), uncertainty


def dempster(first: Belief, second: Belief) -> Belief:
    """Returns two opinions combined by the reduced Dempster rule."""
    (p1, n1, u1), (p2, n2, u2) = first, second
    masses = p1 * p2 + p1 * u2 + p2 * u1, n1 * n2 + n1 * u2 + n2 * u1, u1 * u2
    agreement = sum(masses)  # 1 - C, without the digits that the difference loses
    return masses[0] / agreement, masses[1] / agreement, masses[2] / agreement


class BOGCMML(Method):
    """Minimises the joint and the unimodal losses of linear heads, and answers with the sum of their logits."""

    shared = encoder_per_modality = True
    own_experts = staticmethod(tuple)
    draws, prior = 8, 1.0

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[tuple[dict[str, Tensor], Tensor]] = []

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the cross-entropies of the sum and of every modality; the encodings are kept for `modulate`."""
        features = self.experts.features(x, self.experts.able(x))
        opinions = {name: full_precision(self.experts.head(name)(z)) for name, z in features.items()}
        if torch.is_grad_enabled():
            self.seen.append(({name: full_precision(z.detach().flatten(1)) for name, z in features.items()}, y))
        alone = {n: self.loss_of(logits, y) for n, logits in opinions.items()}
        return {"joint": self.loss(self.combine(opinions), y, self.weights), **alone}

    def modulate(self, mean: Mean, generator: torch.Generator) -> None:
        """Replaces the gradients of the heads' weights."""
        seen, self.seen = self.seen, []
        for name in seen[0][0]:
            linear = self.experts.head(name).linear
            draws = [torch.randn(linear.weight.shape, generator=generator) for _ in range(self.draws)]
            moments = [self._moments(name, alone, seen, draws, mean) for alone in (True, False)]
            linear.weight.grad = _combined(moments).to(linear.weight.grad)

    def _moments(self, name: str, alone: bool, seen: Sequence, draws: Sequence[Tensor], mean: Mean):
        """Returns the mean and the variance over draws of the gradient of one loss, over all batches and processes."""
        batches = [self._gradients(name, alone, *batch, draws) for batch in seen]
        gradients = mean(torch.stack(batches).mean(dim=0))
        return gradients.mean(dim=0), gradients.var(dim=0, correction=0)

    def _gradients(
        self, name: str, alone: bool, features: Mapping[str, Tensor], y: Tensor, draws: Sequence[Tensor]
    ) -> Float[Tensor, "draws outputs values"]:
        """Returns the gradients along a head's weights as drawn around it."""
        with torch.no_grad():
            logits = {other: full_precision(self.experts.head(other)(z)) for other, z in features.items()}
            rest = 0 if alone else sum(z for other, z in logits.items() if other != name)
            z, weight = features[name], self.experts.head(name).linear.weight
            p = (logits[name] + rest).softmax(dim=-1).flatten(1)
            curvature = (p * (1 - p)).T @ z.square() / len(z)
            deviation = (len(z) * curvature + self.prior).rsqrt()
        drawn = [logits[name] + (z @ (noise.to(weight) * deviation).T).view_as(logits[name]) + rest for noise in draws]
        return torch.stack([self._slope(each, y).flatten(1).T @ z for each in drawn])

    def _slope(self, logits: Tensor, y: Tensor) -> Tensor:
        """Returns the gradient of the loss along logits."""
        with torch.enable_grad():
            logits = logits.detach().requires_grad_()
            return torch.autograd.grad(self.loss_of(logits, y), logits)[0]


def _combined(moments: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Returns the certain part of the gradients' weighted mean."""
    opinions = [opinion(mean, variance) for mean, variance in moments]
    certainty = torch.stack([1 - u for _, _, u in opinions])
    weighted = (certainty * torch.stack([mean for mean, _ in moments])).sum(dim=0) / certainty.sum(dim=0)
    combined = opinions[0]
    for other in opinions[1:]:
        combined = dempster(combined, other)
    return (1 - combined[2]) * weighted
