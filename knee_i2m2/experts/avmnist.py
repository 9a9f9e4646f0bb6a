"""The paper's experts on AV-MNIST: LeNets that meet before the last layers.

After MultiBench (Liang et al., 2021), whose LeNets the paper trains. New is that sound may be averaged before it enters.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.types import Modalities

__all__ = ["LateFusion", "avmnist_expert", "lenet", "mlp"]

_BLOCKS = {"image": 3, "audio": 5}
_HIDDEN, _CLASSES = 100, 10
_ALONE, _TOGETHER = 3, 6


class LateFusion(nn.Module):
    r"""Answers with :math:`h([f_1(x_1), \dots, f_m(x_m)])`: encoders side by side, then one head.

    Args:
        encoders: Modality -> network to features of shape (batch, features, ...); their order is that of the features.
        head: From all features to logits (batch, classes).
    """

    def __init__(self, encoders: Mapping[str, nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.head = head

    def forward(self, x: Modalities) -> Float[Tensor, "batch classes"]:
        """Returns the logits; modalities that have no encoder are not looked at."""
        features = [encoder(x[name]).flatten(1) for name, encoder in self.encoders.items()]
        return self.head(torch.cat(features, dim=1))


def lenet(channels_in: int, channels: int, blocks: int, skipped: int = 0, last=False) -> nn.Sequential:
    widths = [channels_in, *(channels * 2**i for i in range(blocks + 1))]
    layers = []
    for i in range(blocks + 1):
        layers += _block(widths[i], widths[i + 1], 3 if i else 5, (i <= blocks - skipped) if last else i >= skipped)
    return nn.Sequential(*layers)


def _block(channels_in: int, channels: int, kernel: int, pool: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_uniform_(convolution.weight)
    layers = [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
    return [*layers, nn.MaxPool2d(2)] if pool else layers


def mlp(features: int, hidden: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))
