"""What a method is, and the loss that all of them start from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from knee_i2m2.experts.experts import Experts
from knee_i2m2.types import Modalities, Opinions

__all__ = ["Method", "class_weights", "cross_entropy"]


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
    known = y >= 0
    chosen = y.clamp(min=0).unsqueeze(-1)
    w = weight.expand_as(logp).gather(-1, chosen).squeeze(-1) * known
    return -(w * logp.gather(-1, chosen).squeeze(-1)).sum() / w.sum().clamp(min=torch.finfo(w.dtype).tiny)


class Method(nn.Module, ABC):
    """Experts, and the way in which they learn and answer together.

    Args:
        experts: The experts; the method trains their parameters.
        combine: Opinions -> log p; it owns no parameters.
        weights: Class weights of the loss, of shape (*targets, classes). The shift of the log-odds that weighting
            causes is undone in the answer.
    """

    weights: Tensor

    def __init__(
        self, experts: Experts, combine: Callable[[Opinions], Tensor], weights: Float[Tensor, "*targets classes"]
    ) -> None:
        super().__init__()
        self.experts, self.combine = experts, combine
        self.register_buffer("weights", weights)

    def forward(self, x: Modalities) -> Float[Tensor, "batch *targets classes"]:
        """Returns log p."""
        return self.answer(self.opinions(x))

    def opinions(self, x: Modalities) -> Opinions:
        """Returns what the experts say, in 32 bit where they computed in 16: sums of logits need the digits."""
        return {name: logits.float() if logits.itemsize < 4 else logits for name, logits in self.experts(x).items()}

    def answer(self, opinions: Opinions) -> Float[Tensor, "batch *targets classes"]:
        """Returns log p from opinions."""
        return (self.combine(opinions) + self.bias(opinions)).log_softmax(dim=-1)

    @abstractmethod
    def bias(self, opinions: Opinions) -> Float[Tensor, "*targets classes"]:
        """Returns what is added to the combined log p, in nats."""

    @abstractmethod
    def losses(self, x: Modalities, y: Int64[Tensor, "batch *targets"]) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the named losses whose sum is minimised."""
