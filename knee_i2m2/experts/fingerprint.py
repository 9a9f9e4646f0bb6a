"""Fingerprints of architectures: what has to agree before one network's weights mean the same in another."""

from __future__ import annotations

import hashlib
import json

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["fingerprint", "normalisations"]


def fingerprint(network: nn.Module) -> str:
    """Returns the SHA-256 of the names and shapes of parameters and buffers, and of the normalisation layers.

    A layer such as GroupNorm(16) has the parameters of GroupNorm(32) and gives other answers.
    """
    shapes = {name: list(values.shape) for name, values in network.state_dict().items()}
    return hashlib.sha256(json.dumps([shapes, normalisations(network)], sort_keys=True).encode()).hexdigest()


def normalisations(network: nn.Module) -> dict[str, str]:
    """Returns name -> kind of the normalisation layers; BatchNorm is the same whether or not processes share it."""
    return {name: _kind(module) for name, module in network.named_modules() if "Norm" in type(module).__name__}


def _kind(module: nn.Module) -> str:
    groups = getattr(module, "num_groups", "")
    return "BatchNorm" if isinstance(module, _BatchNorm) else f"{type(module).__name__}{groups}"
