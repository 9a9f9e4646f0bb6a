r"""Averages and votes of experts."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["majority_vote", "mean_of_experts"]


def mean_of_experts(
    opinions: Mapping[str, Float[Tensor, "*batch classes"]],
) -> Float[Tensor, "*batch classes"]:
    r"""Returns :math:`\log \frac{1}{K} \sum_k p_k(y \mid x)`.

    Example:
        >>> sure, unsure = torch.tensor([4.0, 0.0]), torch.tensor([0.0, 0.0])
        >>> mean_of_experts({"magnitude": sure, "phase": unsure}).exp()
        tensor([0.7410, 0.2590])
    """
    logp = torch.stack(tuple(opinions.values())).log_softmax(dim=-1)
    return logp.logsumexp(dim=0) - math.log(len(opinions))


def majority_vote(
    opinions: Mapping[str, Float[Tensor, "*batch classes"]],
) -> Float[Tensor, "*batch classes"]:
    r"""Returns :math:`\log\, (n_y + 1/C) / (K + 1)` where :math:`n_y` of K experts hold y for the most probable of C.

    One further vote, shared by all classes, keeps those that nobody names possible. An expert that holds several
    classes for equally probable shares its vote among them; classes with as many votes are equally probable.

    Example:
        >>> yes, no = torch.tensor([0.0, 0.1]), torch.tensor([9.0, 0.0])
        >>> majority_vote({"magnitude": yes, "phase": yes, "magnitude+phase": no}).exp()
        tensor([0.3750, 0.6250])
    """
    logits = torch.stack(tuple(opinions.values()))
    highest = (logits == logits.amax(dim=-1, keepdim=True)).to(logits.dtype)
    votes = (highest / highest.sum(dim=-1, keepdim=True)).sum(dim=0)
    return ((votes + 1 / logits.shape[-1]) / (len(logits) + 1)).log()
