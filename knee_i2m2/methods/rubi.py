r"""RUBi: the joint answer is masked in training by what single modalities say, so that it learns what they do not.

With :math:`b_m = h_m(\mathrm{sg}(z_m))`, where sg stops the gradient to the encoder:

.. math:: L = \mathrm{CE}\big(s_J \odot \textstyle\prod_m \sigma(b_m)\big) + \lambda \sum_m \mathrm{CE}(c_m(b_m))

RUBi: Reducing Unimodal Biases for Visual Question Answering (Cadene et al., NeurIPS 2019). There one modality is
biased; here each is, and the masks multiply, a reconstruction. A linear :math:`h_m` stands for their perceptron.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float, Int64
from torch import Tensor, nn

from knee_i2m2.experts.experts import module_key
from knee_i2m2.fusion.joint import largest
from knee_i2m2.methods.method import Method, full_precision
from knee_i2m2.types import Modalities, Opinions

__all__ = ["RUBi"]


class RUBi(Method):
    """Learns from the masked joint answer, and answers with the joint expert."""

    combiner = "joint"
    shared = encoder_per_modality = True
    biased = 1.0

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        classes, single = self.weights.shape[-1], [name for name in self.experts.sees if "+" not in name]
        alone = len(self.experts.sees) == 1
        self.biases = nn.ModuleDict({} if alone else {module_key(m): nn.Linear(classes, classes) for m in single})

    def opinions(self, x: Modalities) -> Opinions:
        """Returns the joint expert's logits, and what each modality says through its second layer."""
        return self._both(x)[1]

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the loss of the masked joint answer, and those of the modalities."""
        masks, opinions = self._both(x)
        joint = largest(opinions)
        masked = opinions[joint]
        for name, mask in masks.items():
            masked = masked if name == joint else masked * mask.sigmoid()
        alone = {name: self.biased * self.loss_of(opinions[name], y) for name in opinions if name != joint}
        return {"joint": self.loss_of(masked, y), **alone}

    def _both(self, x: Modalities) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns the modalities' logits before their second layer, and all opinions."""
        able = self.experts.able(x)
        features = self.experts.features(x, able)
        masks, opinions = {}, {}
        for name in able:
            single = module_key(name) in self.biases
            read = (features[e].detach() if single else features[e] for e in self.experts.reads[name])
            logits = full_precision(self.experts.head(name)(*read))
            opinions[name] = self.biases[module_key(name)](logits) if single else logits
            masks |= {name: logits} if single else {}
        return masks, opinions
