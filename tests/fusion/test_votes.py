"""Averages and votes, by hand."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from torch.testing import assert_close

from knee_i2m2.fusion import votes
from knee_i2m2.fusion.votes import majority_vote, mean_of_experts


def test_the_examples_are_right() -> None:
    assert doctest.testmod(votes).attempted > doctest.testmod(votes).failed == 0


def logits(*probabilities: float) -> torch.Tensor:
    """Returns logits of these probabilities, with a normaliser of their own."""
    return torch.tensor(probabilities, dtype=torch.float64).log() + sum(probabilities) + 3


def test_the_mean_is_of_probabilities_and_not_of_logits() -> None:
    opinions = {"a": logits(0.2, 0.8), "b": logits(0.6, 0.4), "a+b": logits(0.1, 0.9)}
    assert_close(mean_of_experts(opinions).exp(), torch.tensor([0.3, 0.7], dtype=torch.float64))
    assert_close(mean_of_experts({"a": opinions["a"]}).exp(), torch.tensor([0.2, 0.8], dtype=torch.float64))


def test_the_mean_of_experts_that_are_sure_of_something_else_is_finite() -> None:
    opinions = {"a": torch.tensor([900.0, 0.0]), "b": torch.tensor([0.0, 900.0])}
    assert_close(mean_of_experts(opinions), torch.full((2,), -math.log(2)))


@pytest.mark.parametrize(
    ("answers", "votes_of"),
    [
        ([(0.9, 0.1, 0.0001), (0.6, 0.3, 0.1), (0.1, 0.2, 0.7)], (2, 0, 1)),
        ([(0.9, 0.1, 0.0001), (0.1, 0.8, 0.1)], (1, 1, 0)),  # a tie of experts
        ([(0.4, 0.4, 0.2)], (0.5, 0.5, 0)),  # a tie inside of one
        ([(1, 1, 1), (0.1, 0.8, 0.1)], (1 / 3, 4 / 3, 1 / 3)),
        ([(0.1, 0.1, 0.8)], (0, 0, 1)),
        ([(0.1, 0.1, 0.8)] * 4, (0, 0, 4)),
    ],
)
def test_votes_are_counted_with_one_more_that_all_classes_share(answers, votes_of) -> None:
    opinions = {f"a.{n}": logits(*p) for n, p in enumerate(answers)}
    expected = torch.tensor([(n + 1 / 3) / (len(answers) + 1) for n in votes_of], dtype=torch.float64)
    assert_close(majority_vote(opinions).exp(), expected)
    turned = {name: z.flip(0) for name, z in opinions.items()}
    assert_close(majority_vote(turned), majority_vote(opinions).flip(0))  # the order of classes is nothing


def test_targets_vote_apart() -> None:
    opinions = {name: torch.randn(5, 4, 2) for name in ("a", "b", "a+b")}
    for combine in (majority_vote, mean_of_experts):
        whole = combine(opinions)
        assert whole.shape == (5, 4, 2)
        assert_close(whole[2, 3], combine({name: z[2, 3] for name, z in opinions.items()}))
