"""What is minimised is torch's weighted cross-entropy, and what the weights shift is undone in the answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from knee_i2m2.experts.experts import Separate, Stacked
from knee_i2m2.fusion.product import product_of_experts
from knee_i2m2.methods.likelihood import Likelihood, SeparateLikelihoods
from knee_i2m2.methods.method import Method, class_weights, cross_entropy, summed_cross_entropy
from knee_i2m2.types import modalities_of

METHODS = [Likelihood, SeparateLikelihoods]
NAMES = ("magnitude", "phase", "magnitude+phase")
COUNTS = torch.tensor([[30, 10], [5, 35]])
"""(targets, classes): how often the samples of a problem without any evidence show each class."""


def labels(*shape: int, classes: int, unknown: bool = False) -> Tensor:
    y = torch.randint(-1 if unknown else 0, classes, shape)
    y[:classes] = torch.arange(classes).view(-1, *[1] * (len(shape) - 1))
    return y


def method(kind: type[Method], answers: tuple[int, ...] = (3, 2), names: tuple[str, ...] = NAMES) -> Method:
    def expert(name: str) -> nn.Module:
        joined = modalities_of(name)
        outputs = int(np.prod(answers))
        perceptron = nn.Sequential(nn.Linear(4 * len(joined), 8), nn.Tanh(), nn.Linear(8, outputs))
        return Stacked({m: nn.Identity() for m in joined}, perceptron, answers)

    weights = 0.5 + torch.rand(answers)
    return kind(Separate({name: expert(name) for name in names}), product_of_experts, weights)


def modalities(samples: int = 12) -> dict[str, Tensor]:
    return {"magnitude": torch.randn(samples, 4), "phase": torch.randn(samples, 4)}


# The weights and the loss ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "classes"), [((40,), 10), ((40, 4), 2), ((40, 3), 3)])
def test_the_weights_are_sklearn_s_balanced_ones(shape: tuple[int, ...], classes: int) -> None:
    y = labels(*shape, classes=classes, unknown=True)
    found = class_weights(y, classes).reshape(-1, classes)
    for column, weights in zip(y.reshape(len(y), -1).T, found, strict=True):
        known = column[column >= 0].numpy()
        oracle = compute_class_weight("balanced", classes=np.arange(classes), y=known)
        assert_close(weights, torch.from_numpy(oracle), check_dtype=False)


def test_an_absent_class_and_a_target_nobody_labelled_weigh_one() -> None:
    y = torch.tensor([[0, -1], [0, -1], [2, -1]])
    assert_close(class_weights(y, 3), torch.tensor([[0.5, 1.0, 1.0], [1.0, 1.0, 1.0]]))


@pytest.mark.parametrize(("shape", "classes"), [((20,), 10), ((20, 1), 2)])
def test_the_loss_is_torch_s_weighted_cross_entropy(shape: tuple[int, ...], classes: int) -> None:
    y = labels(*shape, classes=classes, unknown=True)
    logp = torch.randn(*shape, classes).log_softmax(-1)
    weight = 0.5 + torch.rand(classes)
    oracle = functional.cross_entropy(logp.reshape(-1, classes), y.reshape(-1), weight, ignore_index=-1)
    assert_close(cross_entropy(logp, y, weight.expand(*shape[1:], classes)), oracle)


def test_every_target_has_its_own_weights() -> None:
    y, logp, weight = labels(20, 3, classes=2), torch.randn(20, 3, 2).log_softmax(-1), 0.5 + torch.rand(3, 2)
    each = [functional.cross_entropy(logp[:, t], y[:, t], weight[t], reduction="sum") for t in range(3)]
    weights = [weight[t][y[:, t]].sum() for t in range(3)]
    assert_close(cross_entropy(logp, y, weight), sum(each) / sum(weights))


@pytest.mark.parametrize("shape", [(16, 4), (1, 4), (16, 1), (5, 2, 3)])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_sum_over_targets_is_separate_weighted_means_of_torch(shape: tuple[int, ...], classes: int) -> None:
    y = torch.randint(0, classes, shape)
    y[1:3] = -1
    logp = torch.randn(*shape, classes, dtype=torch.float64).log_softmax(-1)
    weight = 0.1 + torch.rand(*shape[1:], classes, dtype=torch.float64)
    targets = zip(
        logp.flatten(1, -2).unbind(1), y.flatten(1).unbind(1), weight.reshape(-1, classes).unbind(), strict=True
    )
    separate = [functional.cross_entropy(*target, ignore_index=-1).item() for target in targets]
    assert abs(summed_cross_entropy(logp, y, weight).item() - sum(separate)) < 1e-12


def test_a_target_of_which_nothing_is_known_adds_nothing_to_the_sum() -> None:
    y, weight = torch.tensor([[0, -1], [1, -1]]), torch.ones(2, 2)
    logits = torch.zeros(2, 2, 2, requires_grad=True)
    loss = summed_cross_entropy(logits.log_softmax(-1), y, weight)
    loss.backward()
    assert_close(loss.detach(), torch.tensor(2.0).log())
    assert logits.grad[:, 1].abs().max() == 0 and logits.grad[:, 0].abs().min() > 0


def test_an_unknown_label_changes_nothing_whatever_is_answered() -> None:
    y, logp = labels(6, 2, classes=2), torch.randn(6, 2, 2).log_softmax(-1).requires_grad_()
    y[2, 0] = -1
    other = logp.detach().clone()
    other[2, 0] = torch.tensor([-50.0, 0.0])
    weight = torch.ones(2, 2)
    loss = cross_entropy(logp, y, weight)
    loss.backward()
    assert_close(cross_entropy(other, y, weight), loss.detach())
    assert logp.grad[2, 0].eq(0).all()
    assert logp.grad[2, 1].ne(0).any()


@pytest.mark.parametrize("kind", METHODS)
def test_a_batch_without_any_known_label_teaches_nothing_and_breaks_nothing(kind: type[Method]) -> None:
    learner = method(kind)
    loss = sum(learner.losses(modalities(), torch.full((12, 3), -1)).values())
    loss.backward()
    assert loss == 0
    assert all(parameter.grad.eq(0).all() for parameter in learner.parameters())


# The shift of the weights ---------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """An expert without evidence: it can only fit the frequencies of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return self.logits.expand(len(next(iter(x.values()))), 2, 2)


def fitted(kind: type[Method], experts: int) -> Method:
    """Returns constants fitted to `COUNTS` with balanced weights."""
    y = torch.stack([torch.arange(2).repeat_interleave(counts) for counts in COUNTS], dim=-1)
    networks = {f"a.{n}": Constant() for n in range(experts)}
    learner = kind(Separate(networks), product_of_experts, class_weights(y, 2).double())
    optimiser = torch.optim.LBFGS(learner.parameters(), max_iter=100, tolerance_grad=1e-12, tolerance_change=1e-14)
    x = {"a": torch.zeros(len(y), 1)}

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = sum(learner.losses(x, y).values())
        loss.backward()
        return loss

    optimiser.step(closure)
    return learner


@pytest.mark.parametrize("experts", [1, 3])
def test_a_product_fitted_with_balanced_weights_answers_the_frequencies(experts: int) -> None:
    learner = fitted(Likelihood, experts)
    x = {"a": torch.zeros(1, 1)}
    frequencies = COUNTS / COUNTS.sum(-1, keepdim=True)
    assert_close(learner(x)[0].exp(), frequencies.double(), atol=1e-6, rtol=0)
    shifted = product_of_experts(learner.experts(x))[0].exp()
    assert_close(shifted, torch.full((2, 2), 0.5, dtype=torch.float64), atol=1e-6, rtol=0)  # what the loss had wanted


@pytest.mark.parametrize("experts", [1, 3])
def test_experts_fitted_alone_with_balanced_weights_answer_the_product_of_their_frequencies(experts: int) -> None:
    learner = fitted(SeparateLikelihoods, experts)
    frequencies = (COUNTS / COUNTS.sum(-1, keepdim=True)).double()
    product = product_of_experts({str(n): frequencies.log() for n in range(experts)})
    assert_close(learner({"a": torch.zeros(1, 1)})[0], product, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kind", "times"), [(Likelihood, (1, 1)), (SeparateLikelihoods, (3, 1))])
def test_the_shift_is_undone_once_for_a_product_and_once_for_each_separate_expert_that_answers(
    kind: type[Method], times: tuple[int, int]
) -> None:
    learner, x = method(kind), modalities()
    for given, undone in zip((x, {"phase": x["phase"]}), times, strict=True):
        opinions = learner.experts(given)
        assert_close(learner.bias(opinions), -undone * learner.weights.log())
        assert_close(learner(given), (sum(opinions.values()) - undone * learner.weights.log()).log_softmax(-1))


# Both methods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", METHODS)
def test_a_missing_modality_is_answered_by_the_rest_or_refused_in_words(kind: type[Method]) -> None:
    x = {"phase": modalities()["phase"]}
    learner, y = method(kind), labels(12, 3, classes=2)
    assert learner(x).isfinite().all()
    assert all(loss.isfinite() for loss in learner.losses(x, y).values())
    with pytest.raises(ValueError, match="no expert of magnitude can answer from phase"):
        method(kind, names=("magnitude",))(x)


@pytest.mark.parametrize("kind", METHODS)
def test_one_expert_alone_learns_and_answers_the_same_by_either_method(kind: type[Method]) -> None:
    learner = method(kind, names=("phase",))
    other = Likelihood(learner.experts, product_of_experts, learner.weights)
    x, y = modalities(), labels(12, 3, classes=2)
    assert_close(sum(learner.losses(x, y).values()), sum(other.losses(x, y).values()))
    assert_close(learner(x), other(x))
