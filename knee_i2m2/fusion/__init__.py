"""Fusion: opinions to log p."""

from collections.abc import Callable, Mapping

from torch import Tensor

from knee_i2m2.fusion.joint import joint_expert
from knee_i2m2.fusion.product import product_of_experts, weighted_product
from knee_i2m2.fusion.votes import majority_vote, mean_of_experts

__all__ = ["COMBINERS"]

COMBINERS: Mapping[str, Callable[..., Tensor]] = {
    "product": product_of_experts,
    "joint": joint_expert,
    "weighted_product": weighted_product,
    "mean": mean_of_experts,
    "vote": majority_vote,
}
"""Name in a rival's identity -> combiner."""
