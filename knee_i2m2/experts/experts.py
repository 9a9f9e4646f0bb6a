"""Sets of experts: which modalities each one sees, how these enter its network, and their opinions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.types import Modalities, Opinions, modalities_of

__all__ = ["Experts", "Separate", "Stacked", "View", "module_key"]

View = Callable[[Tensor], Tensor]
"""A pure function of one modality, such as phase in rad -> (cos, sin)."""


class Experts(nn.Module, ABC):
    """A set of experts.

    Attributes:
        sees: Expert name -> its modalities, without which it cannot answer.
        partial: Experts that answer also where some, but not all, of theirs are missing.
    """

    sees: dict[str, frozenset[str]]
    partial: frozenset[str] = frozenset()

    @abstractmethod
    def forward(self, x: Modalities) -> Opinions:
        """Returns the opinions of the experts that can answer from the modalities in `x`.

        Raises:
            ValueError: No expert can answer.
        """

    def able(self, x: Modalities) -> tuple[str, ...]:
        """Returns the experts whose modalities are all there; the others stay silent."""
        names = tuple(
            name
            for name, needs in self.sees.items()
            if needs <= x.keys() or (name in self.partial and needs & x.keys())
        )
        if not names:
            raise ValueError(f"no expert of {', '.join(self.sees)} can answer from {', '.join(x) or 'nothing'}")
        return names


class Separate(Experts):
    """One network per expert, nothing shared: the knee and AV-MNIST models of the paper.

    Args:
        networks: Expert name -> network that maps its modalities, `{name: tensor}`, to logits.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.sees = {name: frozenset(modalities_of(name)) for name in networks}
        self.networks = nn.ModuleDict({module_key(name): network for name, network in networks.items()})

    def forward(self, x: Modalities) -> Opinions:
        """Returns `{expert: logits (batch, *targets, classes)}`."""
        return {name: self.network(name)({m: x[m] for m in modalities_of(name)}) for name in self.able(x)}

    def network(self, name: str) -> nn.Module:
        """Returns the network of an expert."""
        return self.networks[module_key(name)]


def module_key(name: str) -> str:
    """Returns the name as torch allows it: a dot separates modules there."""
    return name.replace(".", "#")


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
