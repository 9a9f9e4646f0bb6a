"""The nouns that travel between the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Int64
from torch import Tensor

__all__ = [
    "SPLITS",
    "Batch",
    "Modalities",
    "Opinions",
    "Progress",
    "Rival",
    "Task",
    "encoding_of",
    "modalities_of",
    "silent",
]

SPLITS = ("train", "val", "test")
"""What models are fitted on, what is fitted to their answers, and what they are evaluated on."""

Modalities = Mapping[str, Tensor]
"""Modality name -> tensor; the batch axis is first: `"magnitude": (batch, 1, 320, 320)`."""

Opinions = Mapping[str, Tensor]
"""Expert name -> logits of shape `(batch, *targets, classes)`."""


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


class Batch(NamedTuple):
    """What a model is shown and asked.

    Attributes:
        x: The modalities.
        y: Classes of shape `(batch, *targets)`; -1 is unknown and ignored everywhere.
        key: Positions of the samples in their index, of shape `(batch,)`.
    """

    x: Modalities
    y: Int64[Tensor, "batch *targets"]
    key: Int64[Tensor, " batch"]


@dataclass(frozen=True)
class Task:
    """What is predicted: every target is one question with `classes` answers."""

    name: str
    targets: tuple[str, ...]
    classes: int

    @property
    def answers(self) -> tuple[int, ...]:
        """The shape of a sample's logits: (targets, classes), or (classes,) where the only target is `label`."""
        return (self.classes,) if self.targets == ("label",) else (len(self.targets), self.classes)


@dataclass(frozen=True)
class Rival:
    """A row of a results table; these four attributes are its identity, whatever its name.

    Attributes:
        experts: Names of its experts.
        method: How they learn: a name in `knee_i2m2.methods.METHODS`.
        combiner: How their logits become log p: a name in `knee_i2m2.fusion.COMBINERS`.
        warm: Whether it starts from its experts, each fitted alone first; a single one is then trained further.

    Raises:
        ValueError: It has no expert.
    """

    experts: tuple[str, ...]
    method: str = "likelihood"
    combiner: str = "product"
    warm: bool = False

    def __post_init__(self) -> None:
        if not self.experts:
            raise ValueError("a rival needs an expert, and this one has none")


@runtime_checkable
class Progress(Protocol):
    """Called as work goes on, such as `progress("volumes", 3, 60)`; a recipe turns it into a bar."""

    def __call__(self, work: str, done: int, total: int | None, note: str = "") -> None:
        """Reports that `done` of `total` (None: not known yet) are finished."""


def silent(work: str, done: int, total: int | None, note: str = "") -> None:
    """Reports no progress."""
