"""Rivals: the rows of a results table, in which order they are trained, and how a product is warm-started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.experts import Experts, Separate
from knee_i2m2.fusion import COMBINERS
from knee_i2m2.fusion.product import product_of_experts
from knee_i2m2.methods import METHODS
from knee_i2m2.methods.likelihood import Likelihood
from knee_i2m2.methods.method import Loss, Method, cross_entropy
from knee_i2m2.training import checkpoint
from knee_i2m2.training.runner import seed_all
from knee_i2m2.types import Rival

__all__ = [
    "assemble",
    "learning",
    "method_rivals",
    "order",
    "separate",
    "single",
    "standard_rivals",
    "trained_together",
    "warm_start",
]


def standard_rivals(modalities: Sequence[str], warm: bool = True) -> dict[str, Rival]:
    """Returns the standard rivals of any two or more modalities, by name.

    Each modality, `intra`, `inter`, `i2m2`, and the controls: `intra2` and `inter3` (ensembles), `inter_tuned` (trained
    further for as long as `i2m2`), `frozen` (not fine-tuned); of more than two modalities also the expert that sees all
    but one of them, which that one's effect is measured against.

    Args:
        modalities: In the order in which names join them.
        warm: Whether products start from their experts; experts that share a backbone cannot, and have no `frozen`,
            `intra2` or `inter_tuned`.
    """
    names, joint = tuple(modalities), "+".join(modalities)
    others = ["+".join(m for m in names if m != left_out) for left_out in names] if len(names) > 2 else []
    every = (*names, joint)
    started = {
        "intra2": Rival((*names, *(f"{name}.2" for name in names)), warm=True),
        "inter_tuned": Rival((joint,), warm=True),
        "frozen": Rival(every, "separate_likelihoods", warm=True),
    }
    return {
        **{name: Rival((name,)) for name in (*names, *others)},
        "intra": Rival(names, warm=warm),
        "inter": Rival((joint,)),
        "inter3": Rival((joint, f"{joint}.2", f"{joint}.3"), warm=warm),
        **(started if warm else {}),
        "i2m2": Rival(every, warm=warm),
    }


def method_rivals(modalities: Sequence[str]) -> dict[str, Rival]:
    """Returns the rival of every method that is none of the standard rivals', under the method's name."""
    standard = ("likelihood", "separate_likelihoods")
    return {
        name: Rival(method.own_experts(modalities), name, method.combiner, method.warm)
        for name, method in METHODS.items()
        if name not in standard
    }


def trained_together(rival: Rival) -> bool:
    """Returns whether a rival's experts are trained together; otherwise they stay as each was fitted alone."""
    return METHODS[rival.method].fine_tuned


def single(expert: str, rivals: Mapping[str, Rival]) -> str:
    """Returns the name under which an expert is trained alone: that of the rival that is just that, or its own.

    Raises:
        ConfigError: Two rivals are just that.
    """
    names = [name for name, rival in rivals.items() if rival == Rival((expert,))]
    if len(names) > 1:
        raise ConfigError(f"rivals {' and '.join(names)} are the same: expert {expert} alone; remove one of them")
    return names[0] if names else expert


def order(wanted: Iterable[str], rivals: Mapping[str, Rival]) -> dict[str, Rival]:
    """Returns the wanted rivals and the single experts they start from, single ones first."""
    chosen = {name: rivals[name] for name in wanted}
    alone = (rival for rival in chosen.values() if rival.warm or rival == Rival(rival.experts[:1]))
    experts = dict.fromkeys(expert for rival in alone for expert in rival.experts)
    return {**{single(expert, rivals): Rival((expert,)) for expert in experts}, **chosen}


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


def learning(rival: Rival, experts: Experts, weights: Tensor, loss: Loss = cross_entropy) -> Method:
    """Returns a rival's experts with the way in which they learn and answer together.

    Raises:
        ConfigError: The method needs an encoder for each modality, and these experts have none.
    """
    method, encoders = METHODS[rival.method], getattr(experts, "encoders", None)
    if (method.shared and encoders is None) or (
        method.encoder_per_modality and not isinstance(encoders, nn.ModuleDict)
    ):
        raise ConfigError(
            f"method {rival.method} needs experts that share an encoder per modality, and these have none"
        )
    return method(experts, COMBINERS[rival.combiner], weights, loss)


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
