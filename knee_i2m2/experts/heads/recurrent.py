r"""MDRNN's joint layer: hidden units that fill in what is missing by mean-field steps, and answer.

With :math:`v_m = \sigma(A_m z_m)`, and r the number of modalities over that of those that are there:

.. math::
    h_0 = \sigma\big(r \textstyle\sum_{m\ there} v_m W_m + b\big), \quad
    v_m \leftarrow \sigma(W_m h + c_m) \text{ if missing}, \quad h \leftarrow \sigma\big(\sum_m v_m W_m + b\big)

Improved Multimodal Deep Learning with Variation of Information (Sohn, Shang, Lee, NIPS 2014). A reconstruction on the
features of encoders: no pre-training by pathway, no sparsity, up and down factors of 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["RecurrentHead"]


class RecurrentHead(nn.Module):
    """Answers from hidden units, whichever modalities are there.

    Args:
        widths: Values of each encoding, flattened.
        answers: Shape of a sample's logits, (*targets, classes).
        units: Visible ones of a modality, and hidden ones.
        steps: Of the mean field.
    """

    partial = True

    def __init__(self, widths: Sequence[int], answers: tuple[int, ...], units: int = 64, steps: int = 10) -> None:
        super().__init__()
        self.widths, self.answers, self.steps = tuple(widths), answers, steps
        self.inputs = nn.ModuleList(nn.Linear(width, units) for width in widths)
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(units, units) / units**0.5) for _ in widths)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(units)) for _ in widths)
        self.bias = nn.Parameter(torch.zeros(units))
        self.linear = nn.Linear(units, math.prod(answers))

    def forward(self, *features: Float[Tensor, "batch ..."] | None) -> Float[Tensor, "batch *answers"]:
        """Returns the logits; None is a missing modality."""
        hidden, _ = self.mean_field(self.visible(*features))
        return self.linear(hidden).unflatten(-1, self.answers)

    def visible(self, *features: Float[Tensor, "batch ..."] | None) -> list[Float[Tensor, "batch units"] | None]:
        """Returns the visible units of the modalities that are there."""
        return [
            None if z is None else torch.sigmoid(layer(z.flatten(1)))
            for layer, z in zip(self.inputs, features, strict=True)
        ]

    def mean_field(
        self, visible: Sequence[Float[Tensor, "batch units"] | None]
    ) -> tuple[Float[Tensor, "batch units"], list[Float[Tensor, "batch units"]]]:
        """Returns the hidden units, and the visible ones with the missing filled in."""
        there = [v @ weight for v, weight in zip(visible, self.weights, strict=True) if v is not None]
        hidden = torch.sigmoid(len(visible) / len(there) * sum(there) + self.bias)
        filled = list(visible)
        for _ in range(self.steps if len(there) < len(visible) else 0):
            filled = [self._down(hidden, n) if v is None else v for n, v in enumerate(visible)]
            hidden = torch.sigmoid(sum(v @ weight for v, weight in zip(filled, self.weights, strict=True)) + self.bias)
        return hidden, filled

    def missing(self, visible: Sequence[Float[Tensor, "batch units"]], n: int) -> Float[Tensor, "batch units"]:
        """Returns the logits of the visible units of modality n, as told by all others."""
        hidden, _ = self.mean_field([None if m == n else v for m, v in enumerate(visible)])
        return hidden @ self.weights[n].T + self.biases[n]

    def _down(self, hidden: Tensor, n: int) -> Tensor:
        return torch.sigmoid(hidden @ self.weights[n].T + self.biases[n])
