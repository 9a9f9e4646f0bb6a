"""RUBi's masks and stopped gradients by hand."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from knee_i2m2.methods.rubi import RUBi
from tests.methods.shared_experts import batch, method


def parts(learner: RUBi, x: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Returns the encodings, what each modality says (its encoder stopped), and the joint logits."""
    z = {m: learner.experts.encoders[m](x[m]) for m in x}
    said = {m: learner.experts.head(m)(z[m].detach()) for m in x}
    return z, said, learner.experts.head("+".join(x))(*z.values())


def sigmoid(values: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-values))


def mean_surprise(logits: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, -2), y.flatten())


def test_the_joint_logits_are_masked_by_every_modality_and_second_layers_learn_by_themselves() -> None:
    learner, (x, y) = method(RUBi).double(), batch()
    x = {m: values.double() for m, values in x.items()}
    _, said, joint = parts(learner, x)
    losses = learner.losses(x, y)
    assert_close(losses["joint"], mean_surprise(joint * sigmoid(said["a"]) * sigmoid(said["b"]), y))
    for m in x:
        assert_close(losses[m], mean_surprise(learner.biases[m](said[m]), y))  # lambda is 1
    assert losses.keys() == {"joint", "a", "b"}


def test_encoders_learn_from_the_masked_joint_loss_alone_and_masks_from_both() -> None:
    learner, (x, y) = method(RUBi), batch()
    encoders = list(learner.experts.encoders.parameters())
    found = torch.autograd.grad(sum(learner.losses(x, y).values()), encoders)
    _, said, joint = parts(learner, x)
    masked = joint * sigmoid(said["a"]).detach() * sigmoid(said["b"]).detach()  # constants for the encoders
    for gradient, alone in zip(found, torch.autograd.grad(mean_surprise(masked, y), encoders), strict=True):
        assert_close(gradient, alone)
    losses = learner.losses(x, y)
    assert torch.autograd.grad(losses["a"], encoders, retain_graph=True, allow_unused=True) == (None,) * len(encoders)
    head = learner.experts.head("a").linear.weight
    for name in ("joint", "a"):
        assert torch.autograd.grad(losses[name], head, retain_graph=True)[0].ne(0).any()


def test_the_answer_is_the_joint_one_without_masks() -> None:
    learner, (x, _) = method(RUBi).eval(), batch()
    assert_close(learner(x), parts(learner, x)[2].log_softmax(-1))
