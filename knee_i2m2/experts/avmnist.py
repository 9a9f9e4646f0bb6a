"""The paper's experts on AV-MNIST: LeNets that meet before the last layers.

After MultiBench (Liang et al., 2021), whose LeNets the paper trains; new is that sound may be averaged first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.shared import Encoders, Head, LinearHead, Shared, heads
from knee_i2m2.types import Modalities, modalities_of

__all__ = ["LateFusion", "avmnist_expert", "avmnist_shared", "lenet", "mlp"]

_SIZES = {"image": 28, "audio": 112}
_BLOCKS = {"image": 3, "audio": 5}
_HIDDEN, _CLASSES, _SHARED_CHANNELS = 100, 10, 6


def avmnist_expert(name: str, audio_pool: int = 4) -> nn.Module:
    """Returns the network of the expert `name`, with 3 channels in the first block alone and 6 together.

    Averaging leaves the number of parameters as it is: the sound's LeNet keeps its six blocks, and its last ones, whose
    maps are then 1 x 1, do not pool. It is no free saving: 4 takes a tenth of the full size's time and 2 a quarter, but
    sound alone reaches 43 % with 4 and 57 % with 2 (10 epochs on 20,000 pairs at -18 to -1 dB, one seed).

    Args:
        name: `image`, `audio` or `image+audio`; a copy's `.2` is no matter.
        audio_pool: Pixels of the spectrogram averaged along each axis, a divisor of 112; 1 is the paper's full size.

    Raises:
        ConfigError: A modality is unknown or `audio_pool` does not divide 112.
    """
    names = modalities_of(name)
    for unknown in sorted(set(names) - _SIZES.keys()):
        raise ConfigError(f"expert {name}: AV-MNIST has no modality {unknown}; join {' and '.join(_SIZES)} by +")
    if audio_pool < 1 or _SIZES["audio"] % audio_pool:
        raise ConfigError(f"--audio-pool {audio_pool} does not divide 112; give 1 for the full size, 2 or 4")
    channels = 3 if len(names) == 1 else 6
    encoders = {m: _encoder(m, channels, audio_pool if m == "audio" else 1) for m in names}
    features = sum(channels * 2 ** _BLOCKS[m] for m in names)
    return LateFusion(encoders, mlp(features, _HIDDEN, _CLASSES))


def avmnist_shared(experts: Collection[str], audio_pool: int = 4, head: Head = LinearHead) -> Shared:
    """Returns experts on one LeNet per modality.

    Args:
        experts: Names, such as `image`, `audio` and `image+audio`.
        audio_pool: As for `avmnist_expert`; the encoders have 6 channels in the first block, as the joint expert's.
        head: Makes the joint experts' heads.
    """
    names = dict.fromkeys(modality for expert in experts for modality in modalities_of(expert))
    pools = {m: audio_pool if m == "audio" else 1 for m in names}
    encoders = Encoders({m: _encoder(m, _SHARED_CHANNELS, pools[m]) for m in names})
    widths = {m: _SHARED_CHANNELS * 2 ** _BLOCKS[m] for m in names}
    return Shared(encoders, heads(experts, widths, (_CLASSES,), head))


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
        """Returns the logits; modalities without an encoder are ignored."""
        features = [encoder(x[name]).flatten(1) for name, encoder in self.encoders.items()]
        return self.head(torch.cat(features, dim=1))


def lenet(channels_in: int, channels: int, blocks: int, pools: int | None = None) -> nn.Sequential:
    """Returns a LeNet to `channels * 2**blocks` features: one 5 x 5 block, then 3 x 3 blocks that double the channels.

    Args:
        channels_in: Channels of the picture.
        channels: Channels of the first block.
        blocks: Blocks after the first.
        pools: How many blocks, from the first on, halve the map; all when None.
    """
    widths = [channels_in, *(channels * 2**i for i in range(blocks + 1))]
    halving = blocks + 1 if pools is None else pools
    layers = [_block(*widths[i : i + 2], kernel=3 if i else 5, halve=i < halving) for i in range(blocks + 1)]
    return nn.Sequential(*layers)


def mlp(features: int, hidden: int, classes: int) -> nn.Sequential:
    """Returns a perceptron with one hidden layer."""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def _encoder(modality: str, channels: int, average: int) -> nn.Sequential:
    """Returns the averaging and the LeNet whose maps end at 1 x 1."""
    pools = (_SIZES[modality] // average).bit_length() - 1
    return nn.Sequential(nn.AvgPool2d(average), lenet(1, channels, _BLOCKS[modality], pools))


def _block(channels_in: int, channels: int, kernel: int, halve: bool) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_uniform_(convolution.weight)
    pool = nn.MaxPool2d(2) if halve else nn.Identity()
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(), pool)
