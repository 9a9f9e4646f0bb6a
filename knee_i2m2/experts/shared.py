"""Experts on shared encoders: what is encoded once, and the heads that answer from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.experts import Experts, module_key
from knee_i2m2.types import Modalities, Opinions, encoding_of, modalities_of

__all__ = ["Concatenated", "Encoders", "EncodesAll", "Head", "LinearHead", "Shared", "heads"]

Head = Callable[[Sequence[int], tuple[int, ...]], nn.Module]
"""(values of each encoding, shape of a sample's logits) -> network from these encodings to logits."""


@runtime_checkable
class EncodesAll(Protocol):
    """A module that makes every encoding: `Encoders`, or one backbone with several passes.

    Attributes:
        names: Its encodings, named like experts by the modalities that they see: `image`, `image+audio`.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The encodings."""

    def __call__(self, x: Modalities, wanted: Collection[str]) -> Mapping[str, Tensor]:
        """Returns the wanted encodings, `{name: features (batch, ...)}`."""


class Encoders(nn.ModuleDict):
    """One network per encoding, each on its modalities as arguments, in the order of the name.

    Example:
        >>> encoders = Encoders({"image": nn.Flatten(), "audio": nn.Flatten()})
        >>> encoders({"image": torch.ones(2, 3, 3), "audio": torch.ones(2, 4)}, ["image"])["image"].shape
        torch.Size([2, 9])
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The encodings."""
        return tuple(self.keys())

    def forward(self, x: Modalities, wanted: Collection[str]) -> dict[str, Tensor]:
        """Returns the wanted encodings."""
        return {name: self[name](*(x[m] for m in modalities_of(name))) for name in wanted}


class Concatenated(nn.Module):
    r"""Answers with :math:`h([z_1, \dots, z_m])` from several encodings.

    Args:
        head: From all features to logits.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *features: Float[Tensor, "batch ..."]) -> Tensor:
        """Returns the logits."""
        return self.head(torch.cat([z.flatten(1) for z in features], dim=1))


class LinearHead(nn.Module):
    r"""Answers with :math:`\sum_m W_m z_m + b`, a linear layer whose logits split by encoding.

    Args:
        widths: Values of each encoding, flattened.
        answers: Shape of a sample's logits, (*targets, classes).
    """

    def __init__(self, widths: Sequence[int], answers: tuple[int, ...]) -> None:
        super().__init__()
        self.widths, self.answers = tuple(widths), answers
        self.linear = nn.Linear(sum(widths), math.prod(answers))

    def forward(self, *features: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch *answers"]:
        """Returns the logits."""
        return self.linear(torch.cat([z.flatten(1) for z in features], dim=1)).unflatten(-1, self.answers)

    def parts(self, *features: Float[Tensor, "batch ..."]) -> tuple[Float[Tensor, "batch *answers"], ...]:
        r"""Returns :math:`s_m = W_m z_m + b / M`, which sum to the logits."""
        weights, bias = self.linear.weight.split(self.widths, dim=1), self.linear.bias / len(self.widths)
        linear = (nn.functional.linear(z.flatten(1), w, bias) for z, w in zip(features, weights, strict=True))
        return tuple(logits.unflatten(-1, self.answers) for logits in linear)


def heads(
    experts: Collection[str], widths: Mapping[str, int], answers: tuple[int, ...], joint: Head = LinearHead
) -> dict[str, nn.Module]:
    """Returns a head for each expert, on the encodings of its modalities; that of a single modality is linear.

    Args:
        experts: Names, such as `image`, `audio` and `image+audio`.
        widths: Modality -> values of its encoding, flattened.
        answers: Shape of a sample's logits, (*targets, classes).
        joint: Makes the heads of several modalities.
    """
    seen = {expert: modalities_of(expert) for expert in experts}
    return {e: (joint if len(ms) > 1 else LinearHead)([widths[m] for m in ms], answers) for e, ms in seen.items()}


class Shared(Experts):
    """Experts that share encoders: every encoding that is needed is made once, whatever the number of its readers.

    A head reads the encoding that has its expert's name, a copy's number apart; where there is none, those of the
    expert's modalities, as arguments in the order of the name. A head whose attribute `partial` is true answers also
    where some of these are missing, which are then None.

    Args:
        encoders: Makes the encodings.
        heads: Expert name -> network from its encodings to logits (batch, *targets, classes).

    Raises:
        ValueError: A head has nothing to read.
    """

    def __init__(self, encoders: EncodesAll, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoders = encoders
        self.heads = nn.ModuleDict({module_key(name): head for name, head in heads.items()})
        self.sees = {name: frozenset(modalities_of(name)) for name in heads}
        self.reads = {name: _reads(name, encoders.names) for name in heads}
        self.partial = frozenset(name for name, head in heads.items() if getattr(head, "partial", False))
        self.frozen = False

    def freeze(self) -> None:
        """Fixes the encoders: they get no gradient and stay in evaluation mode, so that only the heads learn."""
        self.frozen = True
        self.encoders.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Shared:
        """Sets training or evaluation mode; frozen encoders are always in the latter."""
        super().train(mode)
        if self.frozen:
            self.encoders.eval()
        return self

    def forward(self, x: Modalities) -> Opinions:
        """Returns `{expert: logits (batch, *targets, classes)}`."""
        able = self.able(x)
        features = self.features(x, able)
        return {name: self.head(name)(*(features.get(e) for e in self.reads[name])) for name in able}

    def features(self, x: Modalities, experts: Collection[str]) -> Mapping[str, Tensor]:
        """Returns what these experts read of the modalities that are there, `{encoding: features (batch, ...)}`."""
        read = dict.fromkeys(encoding for name in experts for encoding in self.reads[name])
        return self.encoders(x, tuple(e for e in read if x.keys() >= set(modalities_of(e))))

    def split(self, x: Modalities) -> tuple[Tensor, dict[str, Tensor]]:
        r"""Returns the logits of the expert that sees most, and each modality's :math:`s_m`, which sum to them.

        Raises:
            ConfigError: Its head is not linear in the encodings of single modalities.
        """
        name = max(self.sees, key=lambda expert: len(self.sees[expert]))
        head, reads = self.head(name), self.reads[name]
        if not isinstance(head, LinearHead) or set(reads) != self.sees[name]:
            raise ConfigError(f"the head of expert {name} is not linear in one encoding per modality; use LinearHead")
        features = self.encoders(x, reads)
        parts = head.parts(*(features[modality] for modality in reads))
        return torch.stack(parts).sum(dim=0), dict(zip(reads, parts, strict=True))

    def head(self, name: str) -> nn.Module:
        """Returns the head of an expert."""
        return self.heads[module_key(name)]


def _reads(expert: str, encodings: Collection[str]) -> tuple[str, ...]:
    """Returns the encodings that an expert's head reads."""
    names = modalities_of(expert)
    reads = (encoding_of(expert),) if encoding_of(expert) in encodings else names
    if not set(reads) <= set(encodings):
        raise ValueError(
            f"expert {expert}: there is an encoding of {', '.join(encodings)}, and none that it could read"
        )
    return reads
