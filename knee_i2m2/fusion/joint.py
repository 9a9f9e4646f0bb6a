"""The answer of the joint expert alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jaxtyping import Float
from torch import Tensor

__all__ = ["joint_expert", "largest"]


def joint_expert(
    opinions: Mapping[str, Float[Tensor, "*batch classes"]],
) -> Float[Tensor, "*batch classes"]:
    r"""Returns :math:`\log p_J(y \mid x)` of the expert that sees most modalities; of equals, the first.

    The other experts only shape what it learns. Where a modality is missing, the largest expert that can answer does.

    Example:
        >>> joint_expert({"image": torch.zeros(2), "image+audio": torch.tensor([4.0, 0.0])}).exp()
        tensor([0.9820, 0.0180])
    """
    return opinions[largest(opinions)].log_softmax(dim=-1)


def largest(experts: Iterable[str]) -> str:
    """Returns the expert that sees most modalities; of equals, the first."""
    return max(experts, key=lambda name: name.count("+"))
