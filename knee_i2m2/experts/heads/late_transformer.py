"""A late-fusion Transformer: one token per modality, and one that answers.

After the plain rival that 19 tuned fusion methods did not reliably beat (SimBaMM; Rheude, Eils, Wild, 2025, arXiv
2512.22991): a reconstruction from its description. A modality that is missing has no token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["TransformerHead"]


class TransformerHead(nn.Module):
    """Answers from the tokens of the modalities that are there.

    Args:
        widths: Values of each encoding, flattened.
        answers: Shape of a sample's logits, (*targets, classes).
        width: Values of a token.
        layers: Of the Transformer.
    """

    partial = True

    def __init__(self, widths: Sequence[int], answers: tuple[int, ...], width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.widths, self.answers = tuple(widths), answers
        self.projections = nn.ModuleList(nn.Linear(values, width) for values in widths)
        self.kinds = nn.Parameter(0.02 * torch.randn(len(widths) + 1, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.linear = nn.Linear(width, math.prod(answers))

    def forward(self, *features: Float[Tensor, "batch ..."] | None) -> Float[Tensor, "batch *answers"]:
        """Returns the logits; None is a missing modality."""
        given = [(n, z) for n, z in enumerate(features) if z is not None]
        tokens = [self.projections[n](z.flatten(1)) + self.kinds[n] for n, z in given]
        tokens.append(self.kinds[-1].expand_as(tokens[0]))
        return self.linear(self.transformer(torch.stack(tokens, dim=1))[:, -1]).unflatten(-1, self.answers)
