r"""Deep fusion's head: the first encoding, and the others behind a gate that each opens by itself.

.. math:: h = [z_1; g_2 z_2; \dots], \quad g_m = \sigma(v_m \cdot z_m + b_m)

On Using Monolingual Corpora in Neural Machine Translation (Gulcehre et al., 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.experts.heads.perceptron import PerceptronHead

__all__ = ["GatedHead"]


class GatedHead(PerceptronHead):
    """Answers from gated encodings that it leaves as they are: no gradient reaches the encoders.

    Args:
        widths: Values of each encoding, flattened.
        answers: Shape of a sample's logits, (*targets, classes).
    """

    def __init__(self, widths: Sequence[int], answers: tuple[int, ...]) -> None:
        super().__init__(widths, answers)
        self.gates = nn.ModuleList(nn.Linear(width, 1) for width in widths[1:])

    def forward(self, *features: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch *answers"]:
        """Returns the logits."""
        main, *others = (z.flatten(1).detach() for z in features)
        gated = [torch.sigmoid(gate(z)) * z for gate, z in zip(self.gates, others, strict=True)]
        return super().forward(main, *gated)
