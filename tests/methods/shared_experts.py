"""Tiny experts on one encoder per modality, for the tests of methods."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from knee_i2m2.experts.experts import Experts, Separate, Stacked
from knee_i2m2.experts.shared import Encoders, Head, LinearHead, Shared, heads
from knee_i2m2.fusion import COMBINERS
from knee_i2m2.methods.method import Method
from knee_i2m2.types import modalities_of

EVERY = ("a", "b", "a+b")


def experts(names: Sequence[str] = EVERY, answers: tuple[int, ...] = (2, 2), head: Head = LinearHead) -> Shared:
    """Returns experts on numbers (batch, 3), by default two targets of two classes."""
    modalities = dict.fromkeys(m for name in names for m in modalities_of(name))
    encoders = Encoders({m: nn.Sequential(nn.Linear(3, 8), nn.Tanh()) for m in modalities})
    return Shared(encoders, heads(names, dict.fromkeys(modalities, 8), answers, head))


def separate(names: Sequence[str] = EVERY, answers: tuple[int, ...] = (2, 2)) -> Separate:
    """Returns experts that share nothing, on numbers (batch, 3)."""

    def expert(name: str) -> nn.Module:
        seen, outputs = modalities_of(name), math.prod(answers)
        perceptron = nn.Sequential(nn.Linear(3 * len(seen), 8), nn.Tanh(), nn.Linear(8, outputs))
        return Stacked({m: nn.Identity() for m in seen}, perceptron, answers)

    return Separate({name: expert(name) for name in names})


def method(kind: type[Method], names: Sequence[str] = EVERY, answers: tuple[int, ...] = (2, 2)) -> Method:
    """Returns a method on fresh experts, without class weights."""
    made: Experts = experts(names, answers, kind.head) if kind.shared else separate(names, answers)
    return kind(made, COMBINERS[kind.combiner], torch.ones(answers))


def batch(samples: int = 40) -> tuple[dict[str, Tensor], Tensor]:
    """Returns numbers, and labels that depend on both."""
    x = {name: torch.randn(samples, 3) for name in ("a", "b")}
    return x, torch.stack([x["a"][:, 0] > 0, x["a"][:, 0] * x["b"][:, 0] > 0], dim=-1).long()
