"""Modalities enter one network through their views, channel after channel."""

from __future__ import annotations

import torch
from torch import nn

from knee_i2m2.experts.views import Stacked
from knee_i2m2.modalities.magnitude_phase import cos_sin


def channels(**views) -> Stacked:
    """The channels themselves as the answer of one pixel."""
    return Stacked(views, nn.Flatten(), (3,))


def test_the_channels_stand_in_the_order_of_the_views_not_of_the_data() -> None:
    magnitude, phase = torch.rand(2, 1, 1, 1), torch.rand(2, 1, 1, 1)
    seen = channels(magnitude=nn.Identity(), phase=cos_sin)({"phase": phase, "magnitude": magnitude})
    torch.testing.assert_close(seen, torch.cat((magnitude, phase.cos(), phase.sin()), dim=1).flatten(1))


def test_a_modality_without_a_view_is_not_seen() -> None:
    x = {"phase": torch.rand(2, 3, 1, 1), "position": torch.rand(2, 1)}
    torch.testing.assert_close(channels(phase=nn.Identity())(x), x["phase"].flatten(1))


def test_the_answers_take_their_shape_with_classes_last() -> None:
    network = Stacked({"a": nn.Identity()}, nn.Identity(), (4, 2))
    x = torch.arange(8.0).repeat(3, 1)
    assert network({"a": x}).shape == (3, 4, 2)
    assert network({"a": x})[0, 1].tolist() == [2.0, 3.0]
