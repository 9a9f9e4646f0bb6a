"""Single experts come first, start from their own draws, and are what a product starts from."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from knee_i2m2.errors import CheckpointError
from knee_i2m2.methods.likelihood import Likelihood, SeparateLikelihoods
from knee_i2m2.training import checkpoint
from knee_i2m2.training.rivals import assemble, order, single, standard_rivals, warm_start
from knee_i2m2.types import Rival

RIVALS = {
    "a": Rival(("a",)),
    "inter": Rival(("a+b",)),
    "inter2": Rival(("a+b", "a+b.2"), warm=True),
    "frozen": Rival(("a", "b", "a+b"), "separate_likelihoods", warm=True),
    "i2m2": Rival(("a", "b", "a+b"), warm=True),
    "intra2": Rival(("a", "b", "a.2", "b.2"), warm=True),
    "tuned": Rival(("a+b",), warm=True),
}


def test_an_expert_alone_goes_by_the_name_of_its_rival_or_by_its_own() -> None:
    assert [single(name, RIVALS) for name in ("a", "a+b", "a+b.2", "b")] == ["a", "inter", "a+b.2", "b"]


@pytest.mark.parametrize(
    ("wanted", "trained"),
    [
        (["a"], ["a"]),
        (["i2m2"], ["a", "b", "inter", "i2m2"]),
        (["i2m2", "frozen", "a"], ["a", "b", "inter", "i2m2", "frozen"]),
        (["inter2", "a"], ["inter", "a+b.2", "a", "inter2"]),
        (["tuned"], ["inter", "tuned"]),
        (["intra2"], ["a", "b", "a.2", "b.2", "intra2"]),
        (list(RIVALS), ["a", "inter", "a+b.2", "b", "a.2", "b.2", "inter2", "frozen", "i2m2", "intra2", "tuned"]),
    ],
)
def test_single_experts_are_trained_before_the_products_that_start_from_them_and_each_once(wanted, trained) -> None:
    assert list(order(wanted, RIVALS)) == trained


def test_what_is_trained_under_a_rival_s_name_is_that_rival() -> None:
    ordered = order(RIVALS, RIVALS)
    assert {name: ordered[name] for name in RIVALS} == RIVALS
    assert all(len(ordered[name].experts) == 1 for name in ("b", "a+b.2"))


@pytest.mark.parametrize("modalities", [("a", "b"), ("a", "b", "c")])
def test_the_controls_are_as_many_experts_without_a_joint_one_and_the_joint_one_trained_as_long(modalities) -> None:
    warm, cold = standard_rivals(modalities), standard_rivals(modalities, warm=False)
    assert warm["intra2"] == Rival((*modalities, *(f"{m}.2" for m in modalities)), warm=True)
    assert warm["inter_tuned"] == Rival(("+".join(modalities),), warm=True)
    assert set(warm) - set(cold) == {"intra2", "inter_tuned", "frozen"}
    assert single("+".join(modalities), warm) == "inter"  # what is fitted alone is not what was trained further


def test_a_rival_without_an_expert_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an expert"):
        Rival(())


def test_a_product_is_fitted_as_one_and_a_frozen_one_is_not(tiny: ModuleType) -> None:
    kinds = [type(assemble(RIVALS[name], tiny.expert, torch.ones(2, 2), 0)) for name in ("i2m2", "frozen", "a")]
    assert kinds == [Likelihood, SeparateLikelihoods, Likelihood]


def test_an_expert_s_first_weights_are_drawn_from_its_name_and_the_seed_alone(tiny: ModuleType) -> None:
    def weights(rival: str, expert: str, seed: int = 0) -> dict:
        torch.rand(3)  # whatever was drawn before
        return tiny.state(assemble(RIVALS[rival], tiny.expert, torch.ones(2, 2), seed).experts.network(expert))

    assert tiny.same(weights("inter", "a+b"), weights("i2m2", "a+b"))
    assert tiny.same(weights("inter2", "a+b.2"), weights("inter2", "a+b.2"))
    assert not tiny.same(weights("inter2", "a+b"), weights("inter2", "a+b.2"))
    assert not tiny.same(weights("i2m2", "a"), weights("i2m2", "b"))
    assert not tiny.same(weights("inter", "a+b", 0), weights("inter", "a+b", 1))


def keep_alone(tiny: ModuleType, folder: Path, expert: str, number: float) -> Path:
    alone = assemble(Rival((expert,)), tiny.expert, torch.full((2, 2), 7.0), 0)
    for values in alone.experts.state_dict().values():
        values.fill_(number)
    checkpoint.save(folder / expert, alone, {})
    return folder / expert


@pytest.mark.parametrize("rival", ["i2m2", "frozen", "inter2", "intra2", "tuned"])
def test_a_product_starts_from_exactly_its_experts_and_keeps_its_own_class_weights(
    tiny: ModuleType, tmp_path: Path, rival: str
) -> None:
    names = RIVALS[rival].experts
    folders = {name: keep_alone(tiny, tmp_path, name, number) for number, name in enumerate(names, 2)}
    method = assemble(RIVALS[rival], tiny.expert, torch.ones(2, 2), 0)
    warm_start(method, folders)
    for number, name in enumerate(names, 2):
        assert all(values.eq(number).all() for values in method.experts.network(name).state_dict().values())
    assert method.weights.eq(1).all()


def test_an_expert_is_not_started_from_another_one(tiny: ModuleType, tmp_path: Path) -> None:
    method = assemble(RIVALS["inter2"], tiny.expert, torch.ones(2, 2), 0)
    with pytest.raises(CheckpointError, match="holds another model"):
        warm_start(method, {"a+b": keep_alone(tiny, tmp_path, "a", 1)})


def test_a_missing_expert_is_a_sentence(tiny: ModuleType, tmp_path: Path) -> None:
    method = assemble(RIVALS["i2m2"], tiny.expert, torch.ones(2, 2), 0)
    with pytest.raises(CheckpointError, match="holds no checkpoint; train this rival first"):
        warm_start(method, {"a": tmp_path / "a" / "0" / "best"})
