"""Views: how the modalities that an expert sees enter one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.types import Modalities

__all__ = ["Stacked", "View"]

View = Callable[[Tensor], Tensor]
"""A pure function of one modality, such as phase in rad -> (cos, sin)."""


class Stacked(nn.Module):
    """One network on the channels of several modalities, each through its view, in the order of `views`.

    Args:
        views: Modality -> view.
        network: Maps (batch, channels, rows, columns) to (batch, outputs).
        answers: Shape of a sample's logits, (*targets, classes).
    """

    def __init__(self, views: Mapping[str, View], network: nn.Module, answers: tuple[int, ...]) -> None:
        super().__init__()
        self.views, self.network, self.answers = dict(views), network, answers

    def forward(self, x: Modalities) -> Float[Tensor, "batch *answers"]:
        """Returns logits."""
        return self.network(self.channels(x)).unflatten(-1, self.answers)

    def channels(self, x: Modalities) -> Tensor:
        """Returns what enters the network: the channels of all views."""
        return torch.cat([view(x[name]) for name, view in self.views.items()], dim=1)
