"""The loop calls the hooks that a method overrides, with gradients, means and losses as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from knee_i2m2.methods import METHODS
from knee_i2m2.methods.method import Method, overrides
from knee_i2m2.training.batches import InOrder, loader
from knee_i2m2.training.fit import fit_combiner
from knee_i2m2.training.rivals import learning, method_rivals
from tests.methods.shared_experts import batch, experts, method
from tests.training import tiny

RIVALS = method_rivals(("a", "b"))


class Summed(Method):
    """Every expert's loss; the direction is the sum of its gradients, and all hooks keep what they were given."""

    combiner = "joint"

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.calls: list[tuple] = []

    def losses(self, x, y):
        return self.each(x, y)

    def direction(self, gradients):
        self.calls.append(("direction", tuple(gradients)))
        return {name: sum(g[name] for g in gradients.values()) for name in next(iter(gradients.values()))}

    def modulate(self, mean, generator) -> None:
        self.calls.append(("modulate", int(torch.randint(10**6, (1,), generator=generator))))

    def after_epoch(self, epoch, train, valid) -> None:
        self.calls.append(("after_epoch", epoch, tuple(train), tuple(valid)))


class Plain(Method):
    """The same losses, without hooks."""

    combiner = "joint"

    def losses(self, x, y):
        return self.each(x, y)


def trained(kind: type[Method], folder: Path, **options) -> Method:
    torch.manual_seed(3)
    return tiny.learn(folder, method(kind), epochs=2, samples=32, **options)[0]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_sum_of_one_gradient_per_loss_is_the_gradient_of_the_sum(tmp_path: Path, accumulate: int) -> None:
    directed, plain = (trained(kind, tmp_path / kind.__name__, accumulate=accumulate) for kind in (Summed, Plain))
    assert_close(tiny.state(directed), tiny.state(plain), rtol=1e-5, atol=1e-6)


def test_hooks_are_called_once_a_step_and_once_an_epoch_and_draw_the_same_again(tmp_path: Path) -> None:
    first, second = (trained(Summed, tmp_path / name).calls for name in ("first", "second"))
    assert first == second
    assert [call[0] for call in first] == (["direction", "modulate"] * 4 + ["after_epoch"]) * 2
    draws = [call[1] for call in first if call[0] == "modulate"]
    assert len(set(draws)) == len(draws)
    assert first[-1] == ("after_epoch", 1, ("a", "b", "a+b"), ("a", "b", "a+b"))


def test_only_what_is_overridden_counts_as_a_hook() -> None:
    assert [overrides(method(Plain), hook) for hook in ("direction", "modulate", "after_epoch", "fit_combiner")] == [
        False
    ] * 4
    assert overrides(method(METHODS["mmpareto"]), "direction")


@pytest.mark.parametrize("name", ["gblend", "mmpareto"])
def test_without_a_modality_the_other_one_s_expert_answers(name: str) -> None:
    learner, (x, _) = method(METHODS[name]), batch()
    assert_close(learner({"a": x["a"]}), learner.opinions(x)["a"].log_softmax(-1))


def test_a_combiner_is_fitted_on_validation_and_kept_with_the_weights(tmp_path: Path) -> None:
    rival = RIVALS["shallow_fusion"]
    assert rival.warm
    learner = learning(rival, experts(rival.experts), torch.ones(2, 2))
    valid = loader(tiny.Samples(60, 5), InOrder(60, 16))
    fit_combiner(tiny.on_cpu(), learner, valid, tmp_path)
    assert learner.beta.tolist() != [1, 1, 1]
    from knee_i2m2.training import checkpoint

    other = learning(rival, experts(rival.experts), torch.ones(2, 2))
    checkpoint.load_weights(tmp_path / "best", other)
    assert torch.equal(other.beta, learner.beta)
