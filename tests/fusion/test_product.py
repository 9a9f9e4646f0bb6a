"""The product of experts obeys its laws."""

from __future__ import annotations

import doctest

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from knee_i2m2.fusion import product
from knee_i2m2.fusion.product import product_of_experts

SHAPES = [(2,), (3, 2), (5, 4, 2), (3, 10), (2, 3, 11)]


def logits(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_product_obeys_its_laws(shape: tuple[int, ...]) -> None:
    a, b, c = (logits(*shape, seed=seed) for seed in range(3))
    whole = product_of_experts({"m": a, "p": b, "m+p": c})
    assert_close(product_of_experts({"m+p": c, "p": b, "m": a}), whole)  # order is nothing
    assert_close(product_of_experts({"m": a, "p": 0 * b}), a.log_softmax(-1))  # the ignorant are silent
    assert_close(product_of_experts({"m": a}), a.log_softmax(-1))  # one expert is that expert
    constants = logits(*shape[:-1], 1, seed=3)
    assert_close(product_of_experts({"m": a + constants, "p": b - 7, "m+p": c}), whole)  # normalisers cancel
    assert_close(product_of_experts({"i": product_of_experts({"m": a, "p": b}), "m+p": c}), whole)  # products nest
    assert_close(whole.exp().sum(-1), torch.ones(shape[:-1], dtype=torch.float64))  # it is a distribution


@pytest.mark.parametrize("shape", SHAPES)
def test_the_product_is_the_normalised_product_of_probabilities(shape: tuple[int, ...]) -> None:
    experts = {str(seed): logits(*shape, seed=seed) for seed in range(3)}
    multiplied = torch.ones(shape, dtype=torch.float64)
    for z in experts.values():
        multiplied = multiplied * z.exp() / z.exp().sum(-1, keepdim=True)
    assert_close(product_of_experts(experts).exp(), multiplied / multiplied.sum(-1, keepdim=True))


def test_experts_that_agree_are_surer_together() -> None:
    z = torch.tensor([1.0, 0.0])
    together = product_of_experts({"m": z, "p": z})
    assert_close(together[0] - together[1], torch.tensor(2.0))  # log-odds add


def test_very_sure_experts_that_disagree_leave_no_nan() -> None:
    z = torch.tensor([1e4, -1e4])
    assert_close(product_of_experts({"m": z, "p": -z}).exp(), torch.tensor([0.5, 0.5]))


def test_the_example_of_the_documentation_runs() -> None:
    failed, attempted = doctest.testmod(product, extraglobs={"torch": torch})
    assert (failed, attempted) == (0, 2)
