"""MDRNN's joint layer: the mean field by hand, and its fixed point."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from knee_i2m2.experts.heads.recurrent import RecurrentHead


def head(modalities: int = 2, steps: int = 10) -> RecurrentHead:
    """Returns a head whose parameters are all drawn."""
    made = RecurrentHead([3] * modalities, (2, 2), units=4, steps=steps).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def features(modalities: int = 2) -> list[torch.Tensor]:
    return [torch.randn(5, 3, dtype=torch.float64) for _ in range(modalities)]


def sigmoid(values: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + torch.exp(-values))


def test_with_every_modality_there_is_nothing_to_fill_in() -> None:
    network, z = head(), features()
    v = [sigmoid(x @ layer.weight.T + layer.bias) for x, layer in zip(z, network.inputs, strict=True)]
    h = sigmoid(v[0] @ network.weights[0] + v[1] @ network.weights[1] + network.bias)
    assert_close(network(*z), (h @ network.linear.weight.T + network.linear.bias).view(5, 2, 2))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_missing_modality_is_filled_in_step_by_step(steps: int) -> None:
    network, (first, _, third) = head(3, steps), features(3)
    w, c, b = network.weights, network.biases, network.bias
    v0, v2 = (sigmoid(z @ network.inputs[n].weight.T + network.inputs[n].bias) for n, z in ((0, first), (2, third)))
    h = sigmoid(3 / 2 * (v0 @ w[0] + v2 @ w[2]) + b)  # two of three are there
    for _ in range(steps):
        v1 = sigmoid(h @ w[1].T + c[1])
        h = sigmoid(v0 @ w[0] + v1 @ w[1] + v2 @ w[2] + b)
    hidden, _ = network.mean_field(network.visible(first, None, third))
    assert_close(hidden, h)
    assert_close(network(first, None, third), (h @ network.linear.weight.T + network.linear.bias).view(5, 2, 2))
    visible = network.visible(*features(3)[:1], first, third)
    told, _ = network.mean_field([visible[0], None, visible[2]])
    assert_close(network.missing(visible, 1), told @ w[1].T + c[1])


def test_many_steps_reach_the_fixed_point_whatever_the_modality_that_is_missing() -> None:
    network, z = head(steps=2000), features()
    for parameter in network.weights:
        parameter.data.mul_(0.5)
    for missing in (0, 1):
        given = [None if n == missing else x for n, x in enumerate(z)]
        hidden, filled = network.mean_field(network.visible(*given))
        assert_close(filled[missing], sigmoid(hidden @ network.weights[missing].T + network.biases[missing]))
        total = sum(v @ w for v, w in zip(filled, network.weights, strict=True)) + network.bias
        assert_close(hidden, sigmoid(total))
        assert_close(filled[1 - missing], network.visible(*z)[1 - missing])  # what was seen stays
