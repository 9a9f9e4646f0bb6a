r"""Products of experts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["product_of_experts", "weighted_product"]


def product_of_experts(
    opinions: Mapping[str, Float[Tensor, "*batch classes"]],
) -> Float[Tensor, "*batch classes"]:
    r"""Returns :math:`\log p(y \mid x) = \sum_k \log p_k(y \mid x) - \log Z`.

    Each expert's own normaliser is constant over the classes and cancels.

    References:
        Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002);
        Jointly Modeling Inter- & Intra-Modality Dependencies for Multi-modal Learning (Madaan et al., 2024)

    Example:
        >>> sure, unsure = torch.tensor([4.0, 0.0]), torch.tensor([0.0, 0.0])
        >>> product_of_experts({"magnitude": sure, "phase": unsure}).exp()
        tensor([0.9820, 0.0180])
    """
    return torch.stack(tuple(opinions.values())).sum(dim=0).log_softmax(dim=-1)


def weighted_product(
    opinions: Mapping[str, Float[Tensor, "*batch classes"]], weights: Mapping[str, Float[Tensor, ""]]
) -> Float[Tensor, "*batch classes"]:
    r"""Returns :math:`\sum_k \beta_k \log p_k(y \mid x) - \log Z`; with all weights 1, the plain product.

    Args:
        opinions: Logits.
        weights: Expert -> :math:`\beta_k`.
    """
    return product_of_experts({name: weights[name] * logits for name, logits in opinions.items()})
