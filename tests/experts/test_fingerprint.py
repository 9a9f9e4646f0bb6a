"""A fingerprint tells architectures apart, and not their weights, devices or processes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from knee_i2m2.experts.fingerprint import fingerprint, normalisations
from knee_i2m2.experts.knee import resnet18, small


def network(norm: nn.Module, bias: bool = True, outputs: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, outputs, bias=bias), norm)


PLAIN = fingerprint(network(nn.GroupNorm(2, 4)))


def test_other_weights_are_the_same_architecture() -> None:
    assert fingerprint(network(nn.GroupNorm(2, 4)).to(torch.float16).eval()) == PLAIN


@pytest.mark.parametrize(
    "other",
    [
        network(nn.GroupNorm(2, 4), bias=False),
        network(nn.GroupNorm(2, 8), outputs=8),
        network(nn.GroupNorm(4, 4)),
        network(nn.LayerNorm(4)),
        network(nn.BatchNorm1d(4)),
        network(nn.BatchNorm1d(4, track_running_stats=False)),
        nn.Sequential(nn.GroupNorm(2, 4), nn.Linear(3, 4)),
    ],
)
def test_other_names_shapes_buffers_or_norms_are_another_architecture(other: nn.Module) -> None:
    assert fingerprint(other) != PLAIN


def test_batch_norm_that_several_processes_share_is_the_same_architecture() -> None:
    shared = nn.SyncBatchNorm.convert_sync_batchnorm(small(3, 8, (64, 64)))
    assert fingerprint(shared) == fingerprint(small(3, 8, (64, 64)))


def test_the_normalisation_layers_are_named_with_their_groups() -> None:
    assert set(normalisations(resnet18(3, 8, (64, 64))).values()) == {"GroupNorm32"}
    assert set(normalisations(small(3, 8, (64, 64))).values()) == {"BatchNorm"}
