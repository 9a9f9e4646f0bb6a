"""The NLVR2 experts share one backbone and see what their names say."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.fiber.fiber import BASE, TINY
from knee_i2m2.experts.pairs.nlvr2 import nlvr2_experts
from knee_i2m2.experts.shared import Shared
from tests.experts.fiber import reference
from tests.experts.fiber.reference import SMALL, difference, roused, sample

NAMES = ("images", "sentence", "images+sentence")


@pytest.fixture(scope="module")
def experts() -> Shared:
    return roused(nlvr2_experts(NAMES, SMALL))


@pytest.fixture(scope="module")
def x() -> dict[str, Tensor]:
    return sample(SMALL, batch=3)


def test_the_joint_expert_is_that_of_the_equations(experts: Shared, x: dict[str, Tensor]) -> None:
    state, head = experts.encoders.fiber.state_dict(), experts.head("images+sentence").state_dict()
    assert difference(experts(x)["images+sentence"], reference.nlvr2(state, head, SMALL, x)) < 1e-10


def test_the_unimodal_experts_read_the_passes_of_the_equations(experts: Shared, x: dict[str, Tensor]) -> None:
    state = experts.encoders.fiber.state_dict()
    encoded = experts.encoders(x, NAMES)
    pictures = [reference.image(state, SMALL, x["images"][:, n])[1] for n in (0, 1)]
    assert difference(encoded["images"], torch.cat(pictures, dim=1)) < 1e-10
    assert difference(encoded["sentence"], reference.text(state, SMALL, x["sentence"])[1]) < 1e-10


def test_swapping_the_pictures_changes_what_sees_them_and_only_that(experts: Shared, x: dict[str, Tensor]) -> None:
    swapped = {**x, "images": x["images"].flip(1)}
    before, after = experts.encoders(x, NAMES), experts.encoders(swapped, NAMES)
    width = SMALL.width
    torch.testing.assert_close(after["images"], before["images"].roll(width, dims=1))
    torch.testing.assert_close(after["images+sentence"], before["images+sentence"].roll(2 * width, dims=1))
    torch.testing.assert_close(after["sentence"], before["sentence"])
    assert all(difference(after[name], before[name]) > 1e-3 for name in ("images", "images+sentence"))
    answers, swapped_answers = experts(x), experts(swapped)
    assert all(difference(swapped_answers[name], answers[name]) > 1e-3 for name in ("images", "images+sentence"))


def test_an_expert_is_blind_to_what_its_name_does_not_say(experts: Shared, x: dict[str, Tensor]) -> None:
    other = {"images": x["images"].flip(0), "sentence": x["sentence"].flip(0)}
    torch.testing.assert_close(experts({**other, "images": x["images"]})["images"], experts(x)["images"])
    torch.testing.assert_close(experts({**other, "sentence": x["sentence"]})["sentence"], experts(x)["sentence"])
    for name in other:
        assert difference(experts({**x, name: other[name]})["images+sentence"], experts(x)["images+sentence"]) > 1e-3


def test_a_missing_modality_leaves_the_other_s_expert(experts: Shared, x: dict[str, Tensor]) -> None:
    for name in ("images", "sentence"):
        alone = experts({name: x[name]})
        assert tuple(alone) == (name,)
        torch.testing.assert_close(alone[name], experts(x)[name])


def test_the_blocks_below_the_fusion_run_once_for_all_experts(experts: Shared, x: dict[str, Tensor]) -> None:
    fiber, calls = experts.encoders.fiber, []
    blocks = {"first": fiber.vit_model.layers[0].blocks[0], "last": fiber.vit_model.layers[3].blocks[1]}
    hooks = [block.register_forward_hook(lambda m, x, y, n=name: calls.append(n)) for name, block in blocks.items()]
    experts(x)
    for hook in hooks:
        hook.remove()
    assert sorted(calls) == ["first", "last", "last"]


def test_the_heads_of_the_full_size_have_the_shapes_of_the_sheet() -> None:
    with torch.device("meta"):
        full = nlvr2_experts(NAMES, BASE)
    shapes = {name: [tuple(p.shape) for p in full.head(name).parameters() if p.ndim > 1] for name in NAMES}
    assert shapes == {name: [(1536, n), (2, 1536)] for name, n in zip(NAMES, (1536, 768, 3072), strict=True)}
    backbone = sum(p.numel() for p in full.encoders.fiber.parameters())
    heads = sum(p.numel() for p in full.heads.parameters())
    assert sum(p.numel() for p in full.parameters()) == backbone + heads  # one backbone, whatever the experts


@pytest.mark.parametrize("names", [("images",), ("sentence",), ("images+sentence",), NAMES, ("images+sentence.2",)])
def test_the_gradient_reaches_every_parameter_that_is_not_frozen(names: tuple[str, ...]) -> None:
    experts, x = nlvr2_experts(names, TINY), sample(TINY, batch=3)
    sum(z.square().sum() for z in experts(x | {"images": x["images"].float()}).values()).backward()
    assert all((p.grad is not None) == p.requires_grad for p in experts.parameters())
    assert any(p.requires_grad for p in experts.encoders.parameters())


def test_one_picture_per_sentence_is_answered_too() -> None:
    experts, x = nlvr2_experts(NAMES, TINY, pictures=1), sample(TINY, batch=1, pictures=1)
    assert {z.shape for z in experts(x | {"images": x["images"].float()}).values()} == {(1, 2)}


def test_recomputing_changes_no_answer() -> None:
    x = sample(TINY)
    x["images"] = x["images"].float()
    kept, again = (nlvr2_experts(NAMES, TINY, recompute=r) for r in (False, True))
    again.load_state_dict(kept.state_dict())
    torch.testing.assert_close(dict(kept(x)), dict(again(x)))


def test_a_few_steps_lower_the_loss() -> None:
    experts, x = nlvr2_experts(NAMES, dataclasses.replace(TINY, alpha=0.1)), sample(TINY, batch=4)
    x["images"], y = x["images"].float(), torch.tensor([0, 1, 1, 0])
    optimiser = torch.optim.AdamW([p for p in experts.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(sum(experts(x).values()), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_an_unknown_expert_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError) as caught:
        nlvr2_experts(["image"], TINY)
    assert str(caught.value) == "expert image: NLVR2 has none; did you mean images?"
