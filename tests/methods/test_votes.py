"""Votes of experts fitted alone: class weights are undone in each, and MinCq is fitted per target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from knee_i2m2.fusion.mincq import c_bound, largest_margin, mincq
from knee_i2m2.methods.votes import MajorityVote, MeanOfExperts, MinCq
from tests.methods.shared_experts import EVERY, method


def opinions(samples: int = 40, answers: tuple[int, ...] = (2, 2)) -> dict[str, Tensor]:
    return {name: torch.randn(samples, *answers, dtype=torch.float64) for name in EVERY}


def shifted(plain: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
    """Returns what experts say that were each fitted with class weights: w p, normalised."""
    return {name: (z.log_softmax(-1).exp() * weights).log() for name, z in plain.items()}


@pytest.mark.parametrize("kind", [MeanOfExperts, MajorityVote, MinCq])
def test_the_shift_of_class_weights_is_undone_once_in_every_expert(kind: type[MeanOfExperts]) -> None:
    learner, plain, weights = method(kind), opinions(), torch.tensor([[0.6, 3.0], [2.0, 0.7]])
    before = learner.answer(plain)
    learner.weights.copy_(weights)
    assert_close(learner.answer(shifted(plain, weights.double())), before, rtol=1e-5, atol=1e-5)
    assert_close(before.exp().sum(-1), torch.ones(40, 2, dtype=torch.float64))
    assert not learner.bias(plain).any()  # what a prediction file would add to the logits


def test_a_majority_of_two_outvotes_one_that_is_sure() -> None:
    said = {"a": [0.1, 0.0], "b": [0.2, 0.0], "a+b": [0.0, 50.0]}
    answer = method(MajorityVote, answers=(2,)).answer({name: torch.tensor([z]) for name, z in said.items()})
    assert_close(answer.exp(), torch.tensor([[2.5 / 4, 1.5 / 4]]))


def test_mincq_takes_for_each_target_and_class_the_smallest_c_bound_of_ten() -> None:
    torch.manual_seed(0)
    learner, said = method(MinCq, answers=(2, 3)), opinions(60, (2, 3))
    y = torch.randint(0, 3, (60, 2))
    y[::4, 1] = -1
    for z in said.values():
        z.add_(torch.nn.functional.one_hot(y.clamp(min=0), 3))
    learner.fit_combiner(said, y)
    for target in range(2):
        known = y[:, target] >= 0
        for c in range(3):
            votes = np.stack([2 * z[known, target].softmax(-1)[:, c].numpy() - 1 for z in said.values()], axis=1)
            sides = np.where(y[known, target].numpy() == c, 1, -1)
            most = largest_margin(votes, sides)
            fitted = [mincq(votes, sides, most * k / 10) for k in range(1, 11)]
            bounds = np.array([c_bound(votes, sides, weights) for weights in fitted])
            best = np.flatnonzero(bounds < bounds.min() + 1e-6).max()  # equal ones differ in scale: the largest
            np.testing.assert_allclose(learner.voters[target, c], fitted[best], atol=1e-6)
    margins = sum(learner.voters[..., k].double() * (2 * z.softmax(-1) - 1) for k, z in enumerate(said.values()))
    assert_close(learner.answer(said), (learner.slope.double() * margins).log_softmax(-1))
    slopes = torch.linspace(-1, 6, 500, dtype=torch.float64).exp()
    truth = torch.nn.functional.one_hot(y.clamp(min=0), 3) * (y >= 0).unsqueeze(-1)
    losses = [-((s * margins).log_softmax(-1) * truth).sum() for s in slopes]
    assert float(learner.slope) == pytest.approx(float(slopes[int(torch.stack(losses).argmin())]), rel=0.03)


def test_of_two_classes_both_have_the_same_voters_so_that_margins_are_opposite() -> None:
    learner, said = method(MinCq), opinions()
    y = (said["a"][..., 1] > said["a"][..., 0]).long()
    learner.fit_combiner(said, y)
    assert_close(learner.voters[:, 0], learner.voters[:, 1])
    assert learner.voters.abs().max() <= 1 / 3 + 1e-6
    assert_close(learner.margins(said).sum(-1), torch.zeros(40, 2, dtype=torch.float64))
    assert ((learner.answer(said).argmax(-1) == y).double().mean(0) > 0.8).all()


@pytest.mark.parametrize("kept", ["one class", "nothing", "one sample"])
def test_a_target_that_tells_little_is_answered_and_leaves_the_others_as_they_are(kept: str) -> None:
    said, both = opinions(), method(MinCq)
    y = torch.stack([(said["b"][:, 0].diff(dim=-1)[:, 0] > 0).long(), torch.randint(0, 2, (40,))], dim=-1)
    both.fit_combiner(said, y)
    other, poor = method(MinCq), y.clone()
    poor[:, 1] = torch.ones(40, dtype=torch.int64) if kept == "one class" else -1
    poor[0, 1] = 1 if kept == "one sample" else poor[0, 1]
    other.fit_combiner(said, poor)
    assert_close(other.voters[0], both.voters[0])
    assert other.answer(said).isfinite().all() and other.voters.isfinite().all()
    if kept == "nothing":
        assert_close(other.voters[1], torch.full((2, 3), 1 / 3))


def test_without_any_known_label_the_slope_stays_as_it_was() -> None:
    learner, said = method(MinCq), opinions()
    learner.fit_combiner(said, torch.full((40, 2), -1))
    assert float(learner.slope) == 1


def test_experts_that_answer_are_weighed_as_before_when_another_is_missing() -> None:
    learner, said = method(MinCq), opinions()
    learner.fit_combiner(said, torch.randint(0, 2, (40, 2)))
    margins = learner.voters[..., 1].double() * (2 * said["b"].softmax(-1) - 1)
    assert_close(learner.margins({"b": said["b"]}), margins)
