"""An expert sees what its name says; the others answer where a modality is missing."""

from __future__ import annotations

import doctest

import pytest
import torch
from torch import Tensor, nn

from knee_i2m2 import types
from knee_i2m2.experts.experts import Separate, Stacked
from knee_i2m2.modalities.magnitude_phase import cos_sin
from knee_i2m2.types import modalities_of

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
    assert doctest.testmod(types) == (0, 1)


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
