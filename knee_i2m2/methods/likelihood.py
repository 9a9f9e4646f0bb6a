"""Maximum likelihood: of the product, or of each expert by itself."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float, Int64
from torch import Tensor

from knee_i2m2.methods.method import Method
from knee_i2m2.types import Modalities, Opinions

__all__ = ["Likelihood", "SeparateLikelihoods"]


class Likelihood(Method):
    r"""Minimises :math:`-\log p(y \mid x)` of the combined answer (Madaan et al., 2024).

    With one expert it is a unimodal or an inter-modality network, with all of them I2M2. Weighting classes by `w`
    moves the fitted log p by `log w` once, whatever the number of experts.
    """

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the class-weighted cross-entropy of the combined answer."""
        return {"likelihood": self.loss(self.combine(self.opinions(x)), y, self.weights)}


class SeparateLikelihoods(Method):
    r"""Minimises :math:`\sum_k -\log p_k(y \mid x)`: the experts meet only in the answer.

    Each of the K experts that answer was weighted on its own, so the shift is undone K times.
    """

    fine_tuned = False

    def bias(self, opinions: Opinions) -> Float[Tensor, "*targets classes"]:
        r"""Returns :math:`-K \log w`."""
        return -len(opinions) * self.weights.log()

    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns each expert's class-weighted cross-entropy."""
        return self.each(x, y)
