"""Sets of experts: which modalities each one sees, and their opinions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import nn

from knee_i2m2.types import Modalities, Opinions

__all__ = ["Experts", "Separate", "encoding_of", "modalities_of", "module_key"]


def modalities_of(expert: str) -> tuple[str, ...]:
    """Returns the modalities that an expert's name joins; a copy's number is no modality.

    Example:
        >>> modalities_of("magnitude+phase.2")
        ('magnitude', 'phase')
    """
    return tuple(encoding_of(expert).split("+"))


def encoding_of(expert: str) -> str:
    """Returns an expert's name without a copy's number: that of what it reads."""
    return expert.split(".", maxsplit=1)[0]


class Experts(nn.Module, ABC):
    """A set of experts.

    Attributes:
        sees: Expert name -> the modalities without which it cannot answer.
    """

    sees: dict[str, frozenset[str]]

    @abstractmethod
    def forward(self, x: Modalities) -> Opinions:
        """Returns the opinions of the experts that can answer from the modalities in `x`.

        Raises:
            ValueError: No expert can answer.
        """

    def able(self, x: Modalities) -> tuple[str, ...]:
        """Returns the experts whose modalities are all there; the others stay silent."""
        names = tuple(name for name, needs in self.sees.items() if needs <= x.keys())
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
