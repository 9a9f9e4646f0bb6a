"""Rivals: which experts answer together, in which order they are trained, and how a product is warm-started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from knee_i2m2.experts.experts import Experts, Separate
from knee_i2m2.fusion.product import product_of_experts
from knee_i2m2.methods.likelihood import Likelihood, SeparateLikelihoods
from knee_i2m2.methods.method import Method
from knee_i2m2.training import checkpoint
from knee_i2m2.training.runner import seed_all

__all__ = ["Rival", "assemble", "learning", "order", "separate", "single", "warm_start"]


@dataclass(frozen=True)
class Rival:
    """A row of the results table.

    Attributes:
        experts: Names of its experts.
        joint: Whether a product is fine-tuned as one; otherwise its experts stay as they were fitted alone.
        warm: Whether a product starts from its experts, each fitted alone first. Experts that share a backbone cannot.
    """

    experts: tuple[str, ...]
    joint: bool = True
    warm: bool = True

    @property
    def alone(self) -> bool:
        """Whether it is a single expert, trained from scratch."""
        return len(self.experts) == 1

    @property
    def fresh(self) -> bool:
        """Whether it is trained from scratch: a single expert, or a product that does not start from its experts."""
        return self.alone or not self.warm


def single(expert: str, rivals: Mapping[str, Rival]) -> str:
    """Returns the name under which an expert is trained alone: a rival's, or its own."""
    return next((name for name, rival in rivals.items() if rival.experts == (expert,)), expert)


def order(wanted: Iterable[str], rivals: Mapping[str, Rival]) -> dict[str, Rival]:
    """Returns the wanted rivals and the single experts they start from, single ones first."""
    chosen = {name: rivals[name] for name in wanted}
    experts = dict.fromkeys(expert for rival in chosen.values() if rival.warm for expert in rival.experts)
    alone = {single(expert, rivals): Rival((expert,)) for expert in experts}
    return {**alone, **chosen}


def assemble(rival: Rival, expert: Callable[[str], nn.Module], weights: Tensor, seed: int) -> Method:
    """Returns a rival with a fresh network per expert; see `separate`.

    Args:
        rival: Its experts.
        expert: Name -> network.
        weights: Class weights, of shape (*targets, classes).
        seed: With the expert's name it seeds its weights.
    """
    return learning(rival, separate(expert, rival, seed), weights)


def separate(expert: Callable[[str], nn.Module], rival: Rival, seed: int) -> Separate:
    """Returns a rival's experts with fresh networks, each drawn from (seed, expert)."""
    networks = {}
    for name in rival.experts:
        seed_all(seed, "weights", name)
        networks[name] = expert(name)
    return Separate(networks)


def learning(rival: Rival, experts: Experts, weights: Tensor) -> Method:
    """Returns a rival's experts with the way in which they learn and answer together."""
    method = Likelihood if rival.joint else SeparateLikelihoods
    return method(experts, product_of_experts, weights)


def warm_start(method: Method, folders: Mapping[str, Path]) -> None:
    """Loads each expert from the checkpoint of its training alone.

    Args:
        method: Its experts are `Separate`.
        folders: Expert -> checkpoint of a method with this one expert.
    """
    for name, folder in folders.items():
        network = method.experts.network(name)
        alone = Likelihood(Separate({name: network}), product_of_experts, method.weights.clone())
        checkpoint.load_weights(folder, alone)
