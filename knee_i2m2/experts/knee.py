"""Knee experts: MONAI networks on magnitude, phase and slice position."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.experts.experts import Stacked, View
from knee_i2m2.experts.shared import Encoders, Head, LinearHead, Shared, heads
from knee_i2m2.modalities.magnitude_phase import cos_sin
from knee_i2m2.types import modalities_of

__all__ = [
    "NETWORKS",
    "PHASES",
    "knee_expert",
    "knee_shared",
    "position_features",
    "preact_resnet18",
    "renormalised",
    "resnet18",
    "small",
]

_GROUPS, _POWERS, _FEATURES = 32, 4, 128
_RELU = ("RELU", {"inplace": True})


def knee_expert(
    name: str, answers: tuple[int, ...], matrix: tuple[int, int], network: str = "resnet18", phase: str = "cos_sin"
) -> nn.Module:
    """Returns the network of the expert `name`, whose modalities are joined by `+`.

    Args:
        name: Such as `magnitude+phase`; `position` is a small perceptron of the slice's place.
        answers: Shape of a sample's logits, (targets, classes).
        matrix: Rows and columns of the images.
        network: A name in `NETWORKS`.
        phase: A name in `PHASES`.
    """
    if modalities_of(name) == ("position",):
        perceptron = nn.Sequential(nn.Linear(_POWERS, 32), nn.Tanh(), nn.Linear(32, math.prod(answers)))
        return Stacked({"position": position_features}, perceptron, answers)
    return _stacked(modalities_of(name), answers, matrix, network, phase)


def knee_shared(
    experts: Collection[str],
    answers: tuple[int, ...],
    matrix: tuple[int, int],
    network: str = "resnet18",
    phase: str = "cos_sin",
    head: Head = LinearHead,
) -> Shared:
    """Returns experts on one encoder per modality, whose heads read 128 features of each.

    Args:
        experts: Names, such as `magnitude`, `phase` and `magnitude+phase`.
        answers: Shape of a sample's logits, (targets, classes).
        matrix: Rows and columns of the images.
        network: A name in `NETWORKS`, whose outputs are the features.
        phase: A name in `PHASES`.
        head: Makes the joint experts' heads.
    """
    names = dict.fromkeys(modality for expert in experts for modality in modalities_of(expert))
    encoders = {m: _Encoder(m, _stacked((m,), (_FEATURES,), matrix, network, phase)) for m in names}
    return Shared(Encoders(encoders), heads(experts, dict.fromkeys(names, _FEATURES), answers, head))


class _Encoder(nn.Module):
    """One modality's features, from its tensor alone."""

    def __init__(self, modality: str, network: Stacked) -> None:
        super().__init__()
        self.modality, self.network = modality, network

    def forward(self, x: Tensor) -> Tensor:
        return self.network({self.modality: x})


def _stacked(
    names: tuple[str, ...], answers: tuple[int, ...], matrix: tuple[int, int], network: str, phase: str
) -> Stacked:
    """Returns one network on the channels of some images."""
    views = {m: PHASES[phase] if m == "phase" else unchanged for m in names}
    channels = sum(2 if view is cos_sin else 1 for view in views.values())
    return Stacked(views, NETWORKS[network](channels, math.prod(answers), matrix), answers)


def unchanged(x: Tensor) -> Tensor:
    """Returns its argument."""
    return x


def position_features(position: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch powers"]:
    """Returns the first powers of the position, moved from [0, 1] to [-1, 1]."""
    z = 2 * position - 1
    return (z.unsqueeze(-1) ** z.new_tensor(range(1, _POWERS + 1))).flatten(1)


def resnet18(channels: int, outputs: int, matrix: tuple[int, int], width: float = 1.0) -> nn.Module:
    """Returns MONAI's 2-D ResNet-18 with a stride-2 stem (He et al., 2016): a quarter of the cost of stride 1.

    All 20 normalisation layers are GroupNorm: a slice's answer depends on no other slice, in whatever batch or process.

    Args:
        channels: Of an image.
        outputs: Logits of an image.
        matrix: Rows and columns of an image; any do.
        width: Channels of a layer, and groups of its channels, as a share of ResNet-18's own.
    """
    from monai.networks.nets import resnet18 as monai_resnet18

    network = monai_resnet18(
        spatial_dims=2,
        n_input_channels=channels,
        num_classes=outputs,
        conv1_t_stride=2,
        shortcut_type="B",
        widen_factor=width,
    )
    return renormalised(network, partial(nn.GroupNorm, int(_GROUPS * width)))


def renormalised(network: nn.Module, norm: Callable[[int], nn.Module]) -> nn.Module:
    """Returns the network with `norm(channels)` in place of every batch or group normalisation.

    MONAI hands the norm of its ResNets to the stem alone (MONAI#9028), so that it cannot be asked for.
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d | nn.GroupNorm):
                parent.register_module(name, norm(len(child.weight)))
    return network


def small(channels: int, outputs: int, matrix: tuple[int, int]) -> nn.Module:
    """Returns four stride-2 convolutions of 16-32-64-128 channels, dropout .3 and a linear layer: for the phantom."""
    from monai.networks.blocks import Convolution

    widths = (channels, 16, 32, 64, 128)
    layers = [Convolution(2, a, b, strides=2, act=_RELU, norm="BATCH") for a, b in itertools.pairwise(widths)]
    rows, columns = (math.ceil(n / 16) for n in matrix)
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * rows * columns, outputs))


def preact_resnet18(channels: int, outputs: int, matrix: tuple[int, int]) -> nn.Module:
    """Returns the network of I2M2's own knee experiments (identity mappings of He et al., 2016).

    Widths 64-128-256-512, stem of stride 1 without pooling, GroupNorm(32), average-pooled to 10 x 10, one linear
    layer; with four targets of two classes 11.58 M parameters, of which the original leaves 2,642 unused that are
    not built here.
    """
    stages = [_PreActBlock(a, b, s) for a, b, s in _preact_plan()]
    pool = nn.AdaptiveAvgPool2d((10, 10))
    stem = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    network = nn.Sequential(stem, *stages, pool, nn.Flatten(), nn.Linear(51200, outputs))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _preact_plan() -> list[tuple[int, int, int]]:
    """Returns (channels in, channels out, stride) of the eight blocks."""
    widths, strides = (64, 128, 256, 512), (1, 2, 2, 2)
    plan, before = [], 64
    for width, stride in zip(widths, strides, strict=True):
        plan += [(before, width, stride), (width, width, 1)]
        before = width
    return plan


class _PreActBlock(nn.Module):
    """Norm, ReLU, convolution, twice, plus the shortcut of the activated input where the shape changes."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.activate = nn.Sequential(nn.GroupNorm(32, before), nn.ReLU())
        same = before == width and stride == 1
        self.shortcut = None if same else nn.Conv2d(before, width, 1, stride=stride, bias=False)
        self.residual = nn.Sequential(
            nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(32, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        activated = self.activate(x)
        return self.residual(activated) + (x if self.shortcut is None else self.shortcut(activated))


NETWORKS: dict[str, Callable[[int, int, tuple[int, int]], nn.Module]] = {
    "resnet18": resnet18,
    "preact_resnet18": preact_resnet18,
    "small": small,
}
"""(channels, outputs, matrix) -> network."""

PHASES: dict[str, View] = {"cos_sin": cos_sin, "angle": unchanged}
"""How phase in rad enters a network."""
