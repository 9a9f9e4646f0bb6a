"""Tiny experts on one encoder per modality, for the tests of methods."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from knee_i2m2.experts.shared import Encoders, LinearHead, Shared
from knee_i2m2.fusion import COMBINERS
from knee_i2m2.methods.method import Method
from knee_i2m2.types import modalities_of

EVERY = ("a", "b", "a+b")


def experts(names: tuple[str, ...] = EVERY) -> Shared:
    """Returns experts on numbers (batch, 3), two targets of two classes."""
    encoders = Encoders({m: nn.Sequential(nn.Linear(3, 8), nn.Tanh()) for m in ("a", "b")})
    return Shared(encoders, {name: LinearHead([8] * len(modalities_of(name)), (2, 2)) for name in names})


def method(kind: type[Method], names: tuple[str, ...] = EVERY) -> Method:
    """Returns a method on fresh experts, without class weights."""
    return kind(experts(names), COMBINERS[kind.combiner], torch.ones(2, 2))


def batch(samples: int = 40) -> tuple[dict[str, Tensor], Tensor]:
    """Returns numbers, and labels that depend on both."""
    x = {name: torch.randn(samples, 3) for name in ("a", "b")}
    return x, torch.stack([x["a"][:, 0] > 0, x["a"][:, 0] * x["b"][:, 0] > 0], dim=-1).long()
