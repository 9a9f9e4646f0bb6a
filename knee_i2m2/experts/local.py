"""Networks of `transformers` from local folders: nothing is downloaded, and nothing is missing or left over.

A folder is what `save_pretrained` writes or a hub's `snapshot_download` leaves: `config.json` beside
`model.safetensors`, or beside a `pytorch_model.bin`, which is read as tensors only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from torch import Tensor, nn

from knee_i2m2.errors import CheckpointError, ConfigError
from knee_i2m2.experts.finite import refuse_not_finite

__all__ = ["Pretrained", "config_of", "mask_of", "pretrained", "transformers"]


class Pretrained(NamedTuple):
    """A network with the weights of a folder.

    Attributes:
        network: It, in 32 bit.
        drawn: Names of the parameters that the folder has not; they are as drawn.
    """

    network: nn.Module
    drawn: frozenset[str]


def config_of(folder: Path, kinds: Iterable[str] = ()) -> dict[str, Any]:
    """Returns `config.json` of a folder.

    Args:
        folder: The folder.
        kinds: What its `model_type` may be; anything, if empty.

    Raises:
        CheckpointError: There is none that can be read, or it is another network's.
    """
    kinds, path = tuple(kinds), folder / "config.json"
    hint = f"put config.json and model.safetensors of a {' or '.join(kinds) or 'network'} there; nothing is downloaded"
    if not path.is_file():
        raise CheckpointError(folder, "has no config.json", hint)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(path, f"is no JSON ({error})", hint) from error
    if not isinstance(config, dict):
        raise CheckpointError(path, "holds no configuration of a network", hint)
    if kinds and config.get("model_type") not in kinds:
        raise CheckpointError(folder, f"holds a network of type {config.get('model_type')}", hint)
    return config


def pretrained(
    network: str,
    folder: Path,
    heads: tuple[str, ...],
    may_lack: tuple[str, ...] = (),
    recompute: bool = False,
    **config: Any,
) -> Pretrained:
    """Returns a network with the weights of a folder whose `config.json` fits, whatever their precision.

    Args:
        network: A class of `transformers`, such as `ViltModel`.
        folder: The folder.
        heads: Beginnings of names in the file that need no place in the network.
        may_lack: Beginnings of names in the network: parts that the file need not have. A part in other shapes is
            another head of that name, and not read either.
        recompute: Whether its layers are computed again for the gradient: less memory, more time.
        config: What replaces parts of the folder's configuration.

    Raises:
        ConfigError: `transformers` is not installed.
        CheckpointError: The folder has no weights, or those of another network.
    """
    kind = getattr(transformers(), network)
    asked = {"output_loading_info": True, "ignore_mismatched_sizes": True}  # shapes are compared below, by name
    try:
        model, info = kind.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, **asked, **config
        )
    except Exception as error:  # torch, safetensors, the hub and the configuration each have their own
        reason = f"holds no weights that can be read as a {network} ({_first_sentence(error)})"
        hint = "put its config.json and model.safetensors there; nothing is downloaded"
        raise CheckpointError(folder, reason, hint) from error
    if recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    drawn, missing = _drawn(model, info, may_lack), set(info["missing_keys"])
    left = {name for name in info["unexpected_keys"] if not name.startswith(heads)}
    wrong = {f"{n} ({[*theirs]}, not {[*ours]})" for n, theirs, ours in info["mismatched_keys"] if n not in drawn}
    _refuse(folder, network, {"lacks": missing - drawn, f"has, beside a {network},": left, "has another": wrong})
    refuse_not_finite(model.float().state_dict(), folder)
    return Pretrained(model, drawn)


def _drawn(network: nn.Module, info: dict[str, Any], may_lack: tuple[str, ...]) -> frozenset[str]:
    """Returns the names below those beginnings of which the file has nothing, or something of another shape."""
    missing, misfits = set(info["missing_keys"]), {name for name, *_ in info["mismatched_keys"]}
    parts = [{name for name in network.state_dict() if name.startswith(beginning)} for beginning in may_lack]
    return frozenset().union(*(part for part in parts if part & misfits or part <= missing))


def _refuse(folder: Path, network: str, faults: dict[str, set[str]]) -> None:
    """Raises CheckpointError for the first fault that has names."""
    for fault, names in faults.items():
        if names:
            few, more = sorted(names)[:3], len(names) - 3
            reason = f"{fault} {', '.join(few)}" + (f" and {more} more" if more > 0 else "")
            raise CheckpointError(folder, reason, f"use the files of one {network}")


def _first_sentence(error: Exception) -> str:
    """Returns the first sentence of an error, or its kind where it has no text."""
    return str(error).split("\n")[0].split(". ")[0] or type(error).__name__


def mask_of(tokens: Tensor, padding: int) -> Tensor:
    """Returns 1 for real tokens and 0 for padding, of the shape of `tokens`."""
    return (tokens != padding).long()


def transformers(part: str = "") -> ModuleType:
    """Returns the package `transformers`, or a module in it such as `.models.roberta.modeling_roberta`.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(f"transformers{part}")
    except ModuleNotFoundError as error:
        reason = "experts of text need the package transformers"
        raise ConfigError(f"{reason}; install it with `pip install 'knee_i2m2[nlvr2]'`") from error
