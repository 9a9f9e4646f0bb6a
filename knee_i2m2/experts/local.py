"""Networks of `transformers` from local folders: nothing is downloaded, and nothing is missing or left over.

A folder is what `save_pretrained` writes or a hub's `snapshot_download` leaves: `config.json` beside
`model.safetensors`, or beside a `pytorch_model.bin`, which is read as tensors only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from knee_i2m2.errors import CheckpointError, ConfigError

__all__ = ["config_of", "mask_of", "pretrained"]


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
    if kinds and config.get("model_type") not in kinds:
        raise CheckpointError(folder, f"holds a network of type {config.get('model_type')}", hint)
    return config


def pretrained(
    network: str, folder: Path, heads: tuple[str, ...], may_lack: tuple[str, ...] = (), **config: Any
) -> Any:
    """Returns a network with the weights of a folder whose `config.json` fits.

    Args:
        network: A class of `transformers`, such as `ViltModel`.
        folder: The folder.
        heads: Beginnings of names in the file that need no place in the network.
        may_lack: Beginnings of names in the network that the file need not have; they stay as drawn.
        config: What replaces parts of the folder's configuration.

    Raises:
        ConfigError: `transformers` is not installed.
        CheckpointError: The folder has no weights, or those of another network.
    """
    kind = getattr(_transformers(), network)
    try:
        held, told = kind.from_pretrained(str(folder), local_files_only=True, output_loading_info=True, **config)
    except Exception as error:  # torch, safetensors, the hub and the configuration each have their own
        reason = f"holds no weights that can be read as a {network} ({str(error).splitlines()[0]})"
        hint = "put its config.json and model.safetensors there; nothing is downloaded"
        raise CheckpointError(folder, reason, hint) from error
    lacking = [name for name in told["missing_keys"] if not name.startswith(may_lack)]
    left = [name for name in told["unexpected_keys"] if not name.startswith(heads)]
    for what, names in (("lacks", sorted(lacking)), ("has, beside a " + network + ",", sorted(left))):
        if names:
            reason = f"{what} {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
            raise CheckpointError(folder, reason, f"use the files of one {network}")
    return held


def mask_of(tokens: Tensor, padding: int) -> Tensor:
    """Returns 1 for real tokens and 0 for padding, of the shape of `tokens`."""
    return (tokens != padding).long()


def _transformers() -> Any:
    try:
        return import_module("transformers")
    except ModuleNotFoundError as error:
        reason = "experts of text need the package transformers"
        raise ConfigError(f"{reason}; install it with `pip install 'knee_i2m2[nlvr2]'`") from error
