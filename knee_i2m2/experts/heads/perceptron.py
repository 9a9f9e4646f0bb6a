"""A perceptron on the encodings of several modalities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["FilledHead", "PerceptronHead", "side_by_side"]


class PerceptronHead(nn.Module):
    """Answers from the encodings side by side; unlike a linear head, not by a sum of what each of them says.

    Args:
        widths: Values of each encoding, flattened.
        answers: Shape of a sample's logits, (*targets, classes).
        hidden: Units of the hidden layer.
    """

    def __init__(self, widths: Sequence[int], answers: tuple[int, ...], hidden: int = 64) -> None:
        super().__init__()
        self.widths, self.answers = tuple(widths), answers
        self.perceptron = nn.Sequential(
            nn.Linear(sum(widths), hidden), nn.ReLU(), nn.Linear(hidden, math.prod(answers))
        )

    def forward(self, *features: Float[Tensor, "batch ..."] | None) -> Float[Tensor, "batch *answers"]:
        """Returns the logits."""
        return self.perceptron(side_by_side(features, self.widths)).unflatten(-1, self.answers)


class FilledHead(PerceptronHead):
    """Answers also where an encoding is missing, which is None, with zeros in its place."""

    partial = True


def side_by_side(
    features: Sequence[Float[Tensor, "batch ..."] | None], widths: Sequence[int]
) -> Float[Tensor, "batch values"]:
    """Returns all encodings in one row a sample; a missing one is 0."""
    given = next(z for z in features if z is not None)
    rows = [
        given.new_zeros(len(given), width) if z is None else z.flatten(1)
        for z, width in zip(features, widths, strict=True)
    ]
    return torch.cat(rows, dim=1)
