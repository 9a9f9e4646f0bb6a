"""Methods that are one joint head on an encoder per modality, fitted by maximum likelihood."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from knee_i2m2.experts.heads.gated import GatedHead
from knee_i2m2.experts.heads.late_transformer import TransformerHead
from knee_i2m2.experts.heads.low_rank import LowRankHead
from knee_i2m2.experts.heads.recurrent import RecurrentHead
from knee_i2m2.methods.likelihood import Likelihood
from knee_i2m2.methods.method import Method, full_precision, joint_alone
from knee_i2m2.types import Modalities

__all__ = ["MDRNN", "DeepFusion", "LateTransformer", "LowRankFusion"]


class LowRankFusion(Likelihood):
    """Fuses encodings through low-rank factors of their outer product (Liu et al., ACL 2018)."""

    combiner = "joint"
    shared = encoder_per_modality = True
    head, own_experts = LowRankHead, staticmethod(joint_alone)


class LateTransformer(Likelihood):
    """Fuses encodings as the tokens of a Transformer (SimBaMM; Rheude, Eils, Wild, 2025), a reconstruction."""

    combiner = "joint"
    shared = encoder_per_modality = True
    head, own_experts = TransformerHead, staticmethod(joint_alone)


class DeepFusion(Method):
    """Fits a gated head on encoders that only their own modality's loss shapes (Gulcehre et al., 2015).

    A reconstruction: encoders and head learn side by side, with the gradient between them stopped, where the paper fits
    the head when the encoders are done.
    """

    combiner = "joint"
    shared = encoder_per_modality = True
    head = GatedHead

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns every expert's class-weighted cross-entropy."""
        return self.each(x, y)


class MDRNN(Likelihood):
    r"""Fits the answer, and what every modality tells of each other one (Sohn, Shang, Lee, NIPS 2014).

    Minimises :math:`-\log p(y \mid h) + \lambda \sum_m \mathrm{BCE}(v_m, \hat v_m)`, where the mean field gives
    :math:`\hat v_m` without modality m, and the BCE is the mean over units: the variation of information, a
    reconstruction on features instead of pixels. Its targets :math:`v_m`, and the encoders, have no gradient from it.
    """

    combiner = "joint"
    shared = encoder_per_modality = True
    head, own_experts = RecurrentHead, staticmethod(joint_alone)
    variation = 0.1

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the cross-entropy, and the variation of information where several modalities are there."""
        (name,) = self.experts.sees
        found = self.experts.features(x, (name,))
        features = [found.get(encoding) for encoding in self.experts.reads[name]]
        head = self.experts.head(name)
        likelihood = self.loss(self.combine({name: full_precision(head(*features))}), y, self.weights)
        if not 1 < len(features) == len(found):
            return {"likelihood": likelihood}
        visible = head.visible(*(z.detach() for z in features))
        told = [
            functional.binary_cross_entropy_with_logits(head.missing(visible, n), v.detach())
            for n, v in enumerate(visible)
        ]
        return {"likelihood": likelihood, "variation": self.variation * torch.stack(told).sum()}
