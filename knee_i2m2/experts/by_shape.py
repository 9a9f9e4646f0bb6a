"""Networks chosen by the shapes of the modalities, for data that no other file here knows.

A vector gets a perceptron, an image a small convolutional network, or MONAI's ResNet-18 above 128 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError, suggestion
from knee_i2m2.experts.avmnist import LateFusion, mlp
from knee_i2m2.experts.experts import Stacked, View
from knee_i2m2.experts.knee import NETWORKS, unchanged
from knee_i2m2.experts.shared import Encoders, Head, LinearHead, Shared, heads
from knee_i2m2.modalities.magnitude_phase import cos_sin
from knee_i2m2.types import Modalities, modalities_of

__all__ = ["Positional", "expert_by_shape", "shared_by_shape"]

_HIDDEN, _FEATURES, _LARGE = 64, 32, 128

Shapes = Mapping[str, tuple[int, ...]]
"""Modality -> shape of a sample: (values,) or (channels, rows, columns)."""


def expert_by_shape(expert: str, shapes: Shapes, answers: tuple[int, ...]) -> nn.Module:
    """Returns a network that maps `{modality: tensor}` to logits.

    Several vectors, or several images of one size, are stacked and enter one network. Otherwise each modality has an
    encoder of its own, and one linear layer answers from all features.

    Args:
        expert: Its name joins its modalities by `+`.
        shapes: Of all modalities.
        answers: Shape of a sample's logits, (*targets, classes).

    Raises:
        ConfigError: A modality is unknown, or neither a vector nor an image.
    """
    names = modalities_of(expert)
    _check(names, shapes)
    if len({shapes[name][1:] for name in names}) == 1:
        return _stacked(names, shapes, answers)
    head = nn.Linear(_FEATURES * len(names), math.prod(answers))
    return nn.Sequential(LateFusion(_encoders(names, shapes), head), nn.Unflatten(-1, answers))


def shared_by_shape(
    experts: Collection[str], shapes: Shapes, answers: tuple[int, ...], head: Head = LinearHead
) -> Shared:
    """Returns experts on one encoder per modality, whose heads read the features of those that they see.

    Args:
        experts: Names, such as `image`, `audio` and `image+audio`.
        shapes: Of all modalities.
        answers: Shape of a sample's logits, (*targets, classes).
        head: Makes the joint experts' heads.

    Raises:
        ConfigError: A modality is unknown, or neither a vector nor an image.
    """
    names = tuple(dict.fromkeys(name for expert in experts for name in modalities_of(expert)))
    encoders = Encoders(_encoders(names, shapes))
    return Shared(encoders, heads(experts, dict.fromkeys(names, _FEATURES), answers, head))


class Positional(nn.Module):
    """A network that takes its modalities as arguments, in the order of the expert's name.

    Args:
        network: Maps them to (batch, outputs) or to logits.
        answers: Shape of a sample's logits, (*targets, classes).
    """

    def __init__(self, network: nn.Module, answers: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.answers = network, answers

    def forward(self, x: Modalities) -> Float[Tensor, "batch *answers"]:
        """Returns logits."""
        return self.network(*x.values()).reshape(-1, *self.answers)


class _Viewed(nn.Sequential):
    """A network on a view of one modality."""

    def __init__(self, view: View, network: nn.Module) -> None:
        super().__init__(network)
        self.view = view

    def forward(self, values: Tensor) -> Tensor:
        return super().forward(self.view(values))


def _stacked(names: tuple[str, ...], shapes: Shapes, answers: tuple[int, ...]) -> Stacked:
    channels = sum(_channels(name, shapes[name]) for name in names)
    network = _network((channels, *shapes[names[0]][1:]), math.prod(answers))
    return Stacked({name: _view(name, shapes[name]) for name in names}, network, answers)


def _encoders(names: tuple[str, ...], shapes: Shapes) -> dict[str, nn.Module]:
    """Returns a network to `_FEATURES` values per modality."""
    _check(names, shapes)
    sizes = {name: (_channels(name, shapes[name]), *shapes[name][1:]) for name in names}
    return {name: _Viewed(_view(name, shapes[name]), _network(sizes[name], _FEATURES)) for name in names}


def _network(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Returns a network from (batch, *shape) to (batch, outputs); the values of a vector are standardised first."""
    if len(shape) == 1:
        return nn.Sequential(nn.BatchNorm1d(shape[0]), *mlp(shape[0], _HIDDEN, outputs))
    channels, *matrix = shape
    return NETWORKS["resnet18" if max(matrix) > _LARGE else "small"](channels, outputs, tuple(matrix))


def _view(name: str, shape: tuple[int, ...]) -> View:
    """Returns how a modality enters: images of `phase`, in rad, as cosine and sine."""
    return cos_sin if name == "phase" and len(shape) == 3 else unchanged


def _channels(name: str, shape: tuple[int, ...]) -> int:
    return shape[0] * (2 if _view(name, shape) is cos_sin else 1)


def _check(names: tuple[str, ...], shapes: Shapes) -> None:
    for name in names:
        if name not in shapes:
            raise ConfigError(f"there is no modality {name}; {suggestion(name, shapes)}")
        if len(shapes[name]) not in (1, 3):
            known = "only vectors (values,) and images (channels, rows, columns) have a network here; give one"
            raise ConfigError(f"modality {name} has samples of shape {shapes[name]}; {known}")
