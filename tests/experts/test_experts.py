"""An expert sees what its name says; the others answer where a modality is missing."""

from __future__ import annotations

import doctest

import pytest
import torch
from torch import Tensor, nn

from knee_i2m2.experts import experts
from knee_i2m2.experts.experts import Separate, modalities_of
from knee_i2m2.experts.views import Stacked

NAMES = ("magnitude", "phase", "magnitude+phase", "magnitude+phase.2")


def separate(names: tuple[str, ...] = NAMES) -> Separate:
    def expert(name: str) -> nn.Module:
        joined = modalities_of(name)
        perceptron = nn.Sequential(nn.Flatten(), nn.Linear(4 * len(joined), 6))
        return Stacked({m: nn.Identity() for m in joined}, perceptron, (3, 2))

    return Separate({name: expert(name) for name in names})


def modalities(*names: str) -> dict[str, Tensor]:
    return {name: torch.randn(5, 1, 2, 2) for name in names}


@pytest.mark.parametrize(
    ("name", "joined"),
    [
        ("position", ("position",)),
        ("phase+magnitude", ("phase", "magnitude")),  # in the order of the name
        ("magnitude+phase.2", ("magnitude", "phase")),
        ("image+audio+text.10", ("image", "audio", "text")),
    ],
)
def test_a_name_joins_modalities_and_a_copy_s_number_is_none(name: str, joined: tuple[str, ...]) -> None:
    assert modalities_of(name) == joined


def test_every_expert_answers_every_target_in_the_order_of_the_names() -> None:
    opinions = separate()(modalities("phase", "magnitude"))
    assert tuple(opinions) == NAMES
    assert {z.shape for z in opinions.values()} == {(5, 3, 2)}


def test_a_missing_modality_silences_its_experts_and_changes_nothing_for_the_rest() -> None:
    several, x = separate(), modalities("magnitude", "phase")
    alone = several({"phase": x["phase"]})
    assert tuple(alone) == ("phase",)
    torch.testing.assert_close(alone["phase"], several(x)["phase"])


def test_a_modality_that_nobody_sees_is_no_matter() -> None:
    assert tuple(separate(("phase",))(modalities("phase", "position"))) == ("phase",)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("phase",), "no expert of magnitude, magnitude+phase can answer from phase"),
        ((), "no expert of magnitude, magnitude+phase can answer from nothing"),
    ],
)
def test_when_nobody_can_answer_a_sentence_says_so(given: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"^{sentence.replace('+', '[+]')}$"):
        separate(("magnitude", "magnitude+phase"))(modalities(*given))


def test_copies_are_networks_of_their_own_under_their_own_names() -> None:
    several = separate()
    first, second = (several.network(name) for name in NAMES[2:])
    assert first is not second
    assert set(several.networks) == {"magnitude", "phase", "magnitude+phase", "magnitude+phase#2"}
    again = separate()
    again.load_state_dict(several.state_dict())
    x = modalities("magnitude", "phase")
    torch.testing.assert_close(dict(again(x)), dict(several(x)))


def test_an_expert_learns_only_from_its_own_opinion() -> None:
    several = separate()
    several(modalities("magnitude", "phase"))["phase"].sum().backward()
    touched = {name for name in NAMES if all(p.grad is not None for p in several.network(name).parameters())}
    untouched = {name for name in NAMES if all(p.grad is None for p in several.network(name).parameters())}
    assert touched == {"phase"}
    assert untouched == set(NAMES) - touched


def test_the_example_of_the_documentation_runs() -> None:
    assert doctest.testmod(experts) == (0, 1)
