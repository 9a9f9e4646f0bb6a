"""What a method is, and the loss that all of them start from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from knee_i2m2.experts.experts import Experts
from knee_i2m2.experts.heads.perceptron import PerceptronHead
from knee_i2m2.experts.shared import Head
from knee_i2m2.types import Modalities, Opinions

__all__ = [
    "TARGET_LOSSES",
    "Gradients",
    "Loss",
    "Mean",
    "Method",
    "class_weights",
    "cross_entropy",
    "every_expert",
    "full_precision",
    "joint_alone",
    "overrides",
    "summed_cross_entropy",
]

Gradients = Mapping[str, Tensor]
"""Parameter's name -> gradient."""

Mean = Callable[[Tensor], Tensor]
"""Tensor -> its mean over the processes that train together."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(log p, y, class weights) -> what is minimised."""


def class_weights(y: Int64[Tensor, "samples *targets"], classes: int) -> Float[Tensor, "*targets classes"]:
    r"""Returns :math:`w_c = n / (C\, n_c)` per target, so that its classes weigh the same; 1 for an absent class.

    Unknown labels (-1) are not counted.
    """
    counts = torch.stack([(y == c).sum(dim=0) for c in range(classes)], dim=-1).to(torch.get_default_dtype())
    balanced = counts.sum(dim=-1, keepdim=True) / (classes * counts)
    return torch.where(counts > 0, balanced, torch.ones_like(counts))


def cross_entropy(
    logp: Float[Tensor, "*batch classes"], y: Int64[Tensor, "*batch"], weight: Float[Tensor, "*targets classes"]
) -> Float[Tensor, ""]:
    r"""Returns :math:`-\sum_i w_{y_i} \log p(y_i) / \sum_i w_{y_i}` over the known labels; 0 if none is known."""
    surprise, w = _weighted(logp, y, weight)
    return _ratio(surprise.sum(), w.sum())


def summed_cross_entropy(
    logp: Float[Tensor, "batch *targets classes"],
    y: Int64[Tensor, "batch *targets"],
    weight: Float[Tensor, "*targets classes"],
) -> Float[Tensor, ""]:
    r"""Returns :math:`-\sum_t \sum_i w_{y_{it}} \log p(y_{it}) / \sum_i w_{y_{it}}`: every target weighs the same.

    Unknown labels are not counted; a target of which none is known adds 0.
    """
    surprise, w = _weighted(logp, y, weight)
    return _ratio(surprise.sum(dim=0), w.sum(dim=0)).sum()


TARGET_LOSSES: Mapping[str, Loss] = {"mean": cross_entropy, "sum": summed_cross_entropy}
"""How the targets' losses become one -> loss."""


def _weighted(logp: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Returns each label's weighted -log p, and its weight; 0 where it is unknown."""
    chosen = y.clamp(min=0).unsqueeze(-1)
    w = weight.expand_as(logp).gather(-1, chosen).squeeze(-1) * (y >= 0)
    return -w * logp.gather(-1, chosen).squeeze(-1), w


def _ratio(total: Tensor, w: Tensor) -> Tensor:
    return total / w.clamp(min=torch.finfo(w.dtype).tiny)


def full_precision(logits: Tensor) -> Tensor:
    """Returns logits in 32 bit where they were computed in 16: sums of logits need the digits."""
    return logits.float() if logits.itemsize < 4 else logits


def every_expert(modalities: Sequence[str]) -> tuple[str, ...]:
    """Returns the expert on each modality, and that on all of them."""
    return tuple(dict.fromkeys((*modalities, "+".join(modalities))))


def joint_alone(modalities: Sequence[str]) -> tuple[str, ...]:
    """Returns the expert on all modalities."""
    return ("+".join(modalities),)


class Method(nn.Module, ABC):
    """Experts, and the way in which they learn and answer together.

    A subclass is final. `direction`, `modulate`, `after_epoch` and `fit_combiner` are hooks: the training loop calls
    those that a subclass overrides, and no others.

    Args:
        experts: The experts; the method trains their parameters.
        combine: Opinions -> log p; it owns no parameters.
        weights: Class weights of the loss, of shape (*targets, classes). The shift of the log-odds that weighting
            causes is undone in the answer.
        loss: What an answer is judged by in training.

    Attributes:
        combiner: The combiner of the method's own rival.
        shared: Whether the experts must share encoders.
        encoder_per_modality: Whether each modality must have one of its own.
        head: Makes the joint experts' heads, where encoders are shared.
        own_experts: Modalities -> the experts of the method's own rival.
        warm: Whether that rival starts from its experts, each fitted alone.
        fine_tuned: Whether the experts are trained together; otherwise each stays as it was fitted alone.
    """

    combiner: ClassVar[str] = "product"
    shared: ClassVar[bool] = False
    encoder_per_modality: ClassVar[bool] = False
    head: ClassVar[Head] = PerceptronHead
    own_experts: ClassVar[Callable[[Sequence[str]], tuple[str, ...]]] = staticmethod(every_expert)
    warm: ClassVar[bool] = False
    fine_tuned: ClassVar[bool] = True
    weights: Tensor

    def __init__(
        self,
        experts: Experts,
        combine: Callable[..., Tensor],
        weights: Float[Tensor, "*targets classes"],
        loss: Loss = cross_entropy,
    ) -> None:
        super().__init__()
        self.experts, self.combine, self.loss = experts, combine, loss
        self.register_buffer("weights", weights)

    def forward(self, x: Modalities) -> Float[Tensor, "batch *targets classes"]:
        """Returns log p."""
        return self.answer(self.opinions(x))

    def opinions(self, x: Modalities) -> Opinions:
        """Returns the experts' logits."""
        return {name: full_precision(logits) for name, logits in self.experts(x).items()}

    def answer(self, opinions: Opinions) -> Float[Tensor, "batch *targets classes"]:
        """Returns log p from opinions."""
        return (self.combine(opinions) + self.bias(opinions)).log_softmax(dim=-1)

    def bias(self, opinions: Opinions) -> Float[Tensor, "*targets classes"]:
        r"""Returns what is added to the combined log p, in nats: :math:`-\log w`, by which weighting shifts it once."""
        return -self.weights.log()

    @abstractmethod
    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the named losses whose sum is minimised."""

    def each(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> dict[str, Float[Tensor, ""]]:
        """Returns every expert's own class-weighted cross-entropy."""
        return {name: self.loss_of(logits, y) for name, logits in self.opinions(x).items()}

    def loss_of(
        self, logits: Float[Tensor, "batch *targets classes"], y: Int64[Tensor, "batch *targets"]
    ) -> Float[Tensor, ""]:
        """Returns the class-weighted loss of one expert's logits."""
        return self.loss(logits.log_softmax(dim=-1), y, self.weights)

    def direction(self, gradients: Mapping[str, Gradients]) -> Gradients:
        """Returns the gradient to follow, from one gradient per loss.

        Args:
            gradients: Loss -> gradients, averaged over batches and processes; zero where a loss does not depend.
        """
        raise NotImplementedError

    def modulate(self, mean: Mean, generator: torch.Generator) -> None:
        """Changes the parameters' `.grad` in place, once per optimiser step, before clipping.

        Args:
            mean: Averages over processes.
            generator: On the CPU, seeded alike in all processes.
        """
        raise NotImplementedError

    def after_epoch(self, epoch: int, train: Mapping[str, float], valid: Mapping[str, float]) -> None:
        """Changes the method's buffers after an epoch.

        Args:
            epoch: From 0.
            train: Mean training losses by name, over all processes.
            valid: Mean validation losses.
        """
        raise NotImplementedError

    def fit_combiner(self, opinions: Opinions, y: Int64[Tensor, "samples *targets"]) -> None:
        """Fits the combiner's buffers on validation, after training.

        Args:
            opinions: Logits of all validation samples, float64, on the CPU.
            y: Their truth; -1 is unknown.
        """
        raise NotImplementedError


def overrides(method: Method, hook: str) -> bool:
    """Returns whether a method has a hook of its own."""
    return getattr(type(method), hook) is not getattr(Method, hook)
