"""Saliency: where in the image an expert's answer is most sensitive."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knee_i2m2.experts.experts import Stacked
from knee_i2m2.types import Modalities

__all__ = ["SALIENCY", "saliency"]

_SAMPLES, _SPREAD, _SEED = 16, 0.15, 0

Maps = Float[Tensor, "batch rows columns"]


def saliency(expert: Stacked, x: Modalities, target: int, method: str = "gradient") -> Maps:
    r"""Returns :math:`\sum_c |\partial z / \partial x_c|` of the log-odds :math:`z` of one target, over channels.

    The gradient is with respect to what enters the network, after the views; its sign tells nothing of where a finding
    lies. A map shows what an answer depends on, not why; whether it does even that is tested by `evaluate --cases`.

    Args:
        expert: An expert of images, in the state in which it answers.
        x: Its modalities.
        target: The place of the question among the targets.
        method: A name in `SALIENCY`.

    References:
        Deep inside convolutional networks: visualising image classification models (Simonyan et al., 2014)
        SmoothGrad: removing noise by adding noise (Smilkov et al., 2017)
    """
    channels = expert.channels(x)
    asked = _LogOdds(expert, target).eval()
    return torch.cat([SALIENCY[method](asked, one.clone()) for one in channels.split(1)]).abs().sum(dim=1)


class _LogOdds(nn.Module):
    """The log-odds of class 1 of one target, of shape (batch, 1), as MONAI's visualisers want it."""

    def __init__(self, expert: Stacked, target: int) -> None:
        super().__init__()
        self.network, self.answers, self.target = expert.network, expert.answers, target

    def forward(self, channels: Tensor) -> Float[Tensor, "batch 1"]:
        logits = self.network(channels).unflatten(-1, self.answers)[:, self.target]
        return logits[:, 1:] - logits[:, :1]


def _gradient(asked: nn.Module, channels: Tensor) -> Tensor:
    from monai.visualize import VanillaGrad

    return VanillaGrad(asked)(channels, index=0)


def _smooth_gradient(asked: nn.Module, channels: Tensor) -> Tensor:
    """Returns the mean gradient over noisy copies; the noise is drawn from a seed of its own."""
    from monai.visualize import SmoothGrad

    average = SmoothGrad(asked, stdev_spread=_SPREAD, n_samples=_SAMPLES, magnitude=False, verbose=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return average(channels, index=0)


SALIENCY: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "gradient": _gradient,
    "smooth_gradient": _smooth_gradient,
}
"""MONAI's visualisers by name: (log-odds, channels of one sample) -> map of every channel."""
