r"""I2MoE: one expert for what each modality alone tells, one for synergy, one for redundancy, mixed per sample.

All M + 2 experts see every modality; :math:`o_k` are logits and :math:`o_k^{-m}` those with noise for modality m.

.. math:: s = \sum_k w_k(z)\, o_k, \quad w = \mathrm{softmax}(\mathrm{MLP}([z_1; \dots; z_M]) / T)

The loss is :math:`\mathrm{CE}(s)` plus :math:`\lambda` times the mean of the interaction losses: uniqueness of m, a
triplet margin (anchor :math:`o`, negative :math:`o^{-m}`, positives :math:`o^{-j}`), synergy :math:`\cos(o, o^{-m})`,
and redundancy :math:`1 - \cos(o, o^{-m})`.

I2MoE: Interpretable Multimodal Interaction-aware Mixture-of-Experts (Xin et al., ICML 2025). Lambda and T differ by
data set there; a missing modality is 0 here, the mean of their noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from knee_i2m2.experts.heads.perceptron import FilledHead, side_by_side
from knee_i2m2.methods.method import Method, full_precision
from knee_i2m2.types import Modalities, Opinions

__all__ = ["I2MoE", "redundancy", "synergy", "uniqueness"]

Outputs = Float[Tensor, "batch values"]


def uniqueness(anchor: Outputs, without: Sequence[Outputs], m: int) -> Float[Tensor, ""]:
    """Returns the triplet loss of margin 1: without m it is another answer, without any other the same."""
    others = [o for j, o in enumerate(without) if j != m]
    losses = [functional.triplet_margin_loss(anchor, positive, without[m]) for positive in others]
    return torch.stack(losses).mean() if losses else anchor.sum() * 0


def synergy(anchor: Outputs, without: Sequence[Outputs]) -> Float[Tensor, ""]:
    """Returns the mean cosine: without any modality it is another answer."""
    return torch.stack([functional.cosine_similarity(anchor, o).mean() for o in without]).mean()


def redundancy(anchor: Outputs, without: Sequence[Outputs]) -> Float[Tensor, ""]:
    """Returns 1 - the mean cosine: without any modality it is the same answer."""
    return 1 - synergy(anchor, without)


def interactions(modalities: Sequence[str]) -> tuple[str, ...]:
    """Returns the M + 2 experts on all modalities: unique to each, synergy, redundancy."""
    joint = "+".join(modalities)
    return (joint, *(f"{joint}.{n}" for n in range(2, len(modalities) + 3)))


class I2MoE(Method):
    """Mixes the logits of interaction experts by weights that depend on the sample."""

    shared = encoder_per_modality = True
    head, own_experts = FilledHead, staticmethod(interactions)
    interaction, temperature, hidden = 0.3, 1.0, 64

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        names = tuple(self.experts.sees)
        self.reads, self.widths = self.experts.reads[names[0]], self.experts.head(names[0]).widths
        self.mixing = nn.Sequential(
            nn.Linear(sum(self.widths), self.hidden), nn.ReLU(), nn.Linear(self.hidden, len(names))
        )

    def opinions(self, x: Modalities) -> Opinions:
        """Returns every expert's weighted logits, which sum to the answer's."""
        return self._weighted(self._features(x))

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the cross-entropy of the mixture, and the interaction losses."""
        features = self._features(x)
        likelihood = self.loss(self.combine(self._weighted(features)), y, self.weights)
        return {"likelihood": likelihood, "interaction": self.interaction * self._interactions(features)}

    def _features(self, x: Modalities) -> list[Tensor | None]:
        found = self.experts.features(x, self.experts.able(x))
        return [found.get(name) for name in self.reads]

    def _weighted(self, features: Sequence[Tensor | None]) -> dict[str, Tensor]:
        shares = (self.mixing(side_by_side(features, self.widths)) / self.temperature).softmax(dim=-1)
        shares = full_precision(shares).unflatten(-1, (*[1] * self.weights.ndim, -1)).unbind(dim=-1)
        return {
            name: share * full_precision(self.experts.head(name)(*features))
            for name, share in zip(self.experts.sees, shares, strict=True)
        }

    def _interactions(self, features: list[Tensor | None]) -> Float[Tensor, ""]:
        """Returns the mean of the M + 2 losses."""
        there = [n for n, z in enumerate(features) if z is not None]
        noisy = [[torch.randn_like(z) if n == m else z for n, z in enumerate(features)] for m in there]
        losses = []
        for number, name in enumerate(self.experts.sees):
            anchor, *without = (self.experts.head(name)(*given).flatten(1) for given in (features, *noisy))
            if number in there:
                losses.append(uniqueness(anchor, without, there.index(number)))
            elif number >= len(features):
                losses.append((synergy, redundancy)[number - len(features)](anchor, without))
        return torch.stack(losses).mean()
