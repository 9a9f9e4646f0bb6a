"""What every method obeys, whatever it minimises: shapes, gradients, states, missing modalities and labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor
from torch.testing import assert_close

from knee_i2m2.errors import ConfigError
from knee_i2m2.methods import METHODS
from knee_i2m2.methods.method import Method
from knee_i2m2.training.rivals import learning
from knee_i2m2.types import Rival
from tests.methods import shared_experts
from tests.training import tiny

SHARED = [name for name, kind in METHODS.items() if kind.shared]
ANSWERS = [(4, 2), (10,)]
MODALITIES = [("a",), ("a", "b"), ("a", "b", "c")]


def own(name: str, modalities: Sequence[str] = ("a", "b"), answers: tuple[int, ...] = (2, 2)) -> Method:
    """Returns a method on the experts of its own rival."""
    return shared_experts.method(METHODS[name], METHODS[name].own_experts(modalities), answers)


def numbers(modalities: Sequence[str] = ("a", "b"), samples: int = 12) -> dict[str, Tensor]:
    return {name: torch.randn(samples, 3) for name in modalities}


def labels(answers: tuple[int, ...] = (2, 2), samples: int = 12) -> Tensor:
    return torch.randint(0, answers[-1], (samples, *answers[:-1]))


def total(method: Method, x: dict[str, Tensor], y: Tensor) -> Tensor:
    """Returns the sum of losses, with the same draws at every call."""
    torch.manual_seed(5)
    return sum(method.losses(x, y).values())


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("modalities", MODALITIES)
@pytest.mark.parametrize("name", METHODS)
def test_one_to_three_modalities_get_a_distribution_whatever_their_order(
    name: str, modalities: tuple[str, ...], answers: tuple[int, ...]
) -> None:
    method, x = own(name, modalities, answers).eval(), numbers(modalities)
    logp = method(x)
    assert logp.shape == (12, *answers)
    assert_close(logp.exp().sum(-1), torch.ones(logp.shape[:-1]))
    assert_close(method({m: x[m] for m in reversed(modalities)}), logp, rtol=0, atol=0)
    assert total(method.train(), x, labels(answers)).isfinite()


class Watched(torch.optim.SGD):
    """Plain steps; it keeps which parameters ever had a gradient."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.reached: set[int] = set()
        Watched.latest = self

    def step(self, *arguments, **options) -> None:
        held = [p for group in self.param_groups for p in group["params"]]
        self.reached |= {id(p) for p in held if p.grad is not None and p.grad.ne(0).any()}
        super().step(*arguments, **options)


@pytest.mark.parametrize("name", METHODS)
def test_training_reaches_every_parameter(name: str, tmp_path: Path) -> None:
    method = own(name)
    tiny.learn(tmp_path, method, epochs=6, lr=0.01, optimiser=Watched)
    assert [n for n, p in method.named_parameters() if id(p) not in Watched.latest.reached] == []


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("name", METHODS)
def test_a_step_lowers_the_loss(name: str, answers: tuple[int, ...]) -> None:
    method, x, y = own(name, answers=answers), numbers(), labels(answers)
    before = total(method, x, y)
    before.backward()
    torch.optim.SGD(method.parameters(), lr=0.01).step()
    assert total(method, x, y) < before


@pytest.mark.parametrize("name", METHODS)
def test_a_method_saved_and_loaded_answers_the_same_and_knows_its_weights(name: str, tmp_path: Path) -> None:
    method, again, x = own(name), own(name), numbers()
    method.weights.uniform_(0.5, 1.5)
    assert not torch.allclose(again(x), method(x))
    save_model(method, str(tmp_path / "weights.safetensors"))
    load_model(again, str(tmp_path / "weights.safetensors"))
    assert_close(again.eval()(x), method.eval()(x), rtol=0, atol=0)
    assert_close(again.weights, method.weights, rtol=0, atol=0)


@pytest.mark.parametrize("name", METHODS)
def test_a_training_that_was_interrupted_ends_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    ends = []
    for stops in ((6,), (2, 4, 6)):
        torch.manual_seed(1)
        folder, method = tmp_path / str(len(stops)), own(name)
        for stop in stops:
            torch.manual_seed(1)
            method, rate = own(name), lambda passed, share=stop / 6: tiny.warm_cosine(min(passed * share, 1))
            tiny.learn(folder, method, epochs=stop, rate=rate, resume=stop > stops[0])
        ends.append(tiny.state(method))
    assert tiny.same(*ends)


@pytest.mark.parametrize("missing", ["a", "b"])
@pytest.mark.parametrize("name", METHODS)
def test_a_missing_modality_is_answered_by_the_rest_or_refused_in_words(name: str, missing: str) -> None:
    method, x = own(name).eval(), numbers()
    del x[missing]
    try:
        assert method(x).isfinite().all()
    except ValueError as error:
        assert f"can answer from {next(iter(x))}" in str(error)


@pytest.mark.parametrize("name", METHODS)
def test_unknown_labels_cost_nothing(name: str) -> None:
    x, y = numbers(), labels()
    method, samples = own(name), torch.arange(12) >= 4
    assert total(method, x, torch.full_like(y, -1)).isfinite()
    half = torch.where(samples.unsqueeze(-1), y, -1)
    loss = total(method, x, half)
    loss.backward()
    assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


@pytest.mark.parametrize("name", SHARED)
def test_experts_without_shared_encoders_are_refused_in_words(name: str) -> None:
    names = METHODS[name].own_experts(("a", "b"))
    rival = Rival(names, name, METHODS[name].combiner)
    with pytest.raises(ConfigError, match=f"method {name} needs experts that share"):
        learning(rival, shared_experts.separate(names), torch.ones(2, 2))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("likelihood", "separate_likelihoods")])
def test_the_readme_names_every_method_and_marks_reconstructions(name: str) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    kind = METHODS[name]
    alone = [k for k in METHODS.values() if k.__module__ == kind.__module__] == [kind]
    words = (kind.__doc__ or "") + (sys.modules[kind.__module__].__doc__ if alone else "")
    assert f"`{name}`" in readme
    assert (f"`{name}` (R" in readme) == ("reconstruction" in words)
