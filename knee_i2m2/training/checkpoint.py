"""Checkpoints: safetensors weights and a plain state, with checksums, whole or absent."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import nn

from knee_i2m2.errors import CheckpointError
from knee_i2m2.files import sha256

__all__ = ["load_state", "load_weights", "save"]

_WEIGHTS, _STATE, _SUMS = "weights.safetensors", "state.pt", "SHA256SUMS"


def save(folder: Path, model: nn.Module, state: dict[str, Any]) -> None:
    """Writes `weights.safetensors`, `state.pt` and `SHA256SUMS` to `folder`, in place of what it held.

    Args:
        folder: Its parent is made.
        model: Its parameters and buffers are saved.
        state: Tensors, numbers, strings and containers of them.
    """
    fresh, old = (folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_model(model, str(fresh / _WEIGHTS))
    torch.save(state, fresh / _STATE)
    sums = "".join(f"{sha256(fresh / name)}  {name}\n" for name in (_WEIGHTS, _STATE))
    (fresh / _SUMS).write_text(sums)
    _flush(fresh)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_weights(folder: Path, model: nn.Module) -> None:
    """Loads the weights of a checkpoint into `model`.

    Raises:
        CheckpointError: Files are missing, their checksums differ, or they belong to another model.
    """
    _verify(folder)
    try:
        load_model(model, str(folder / _WEIGHTS))
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(folder, f"holds another model ({first})", "use the run's own configuration") from error


def load_state(folder: Path) -> dict[str, Any]:
    """Returns the state of a checkpoint; only plain values are unpickled.

    Raises:
        CheckpointError: Files are missing, their checksums differ, or the state holds code.
    """
    _verify(folder)
    try:
        return torch.load(folder / _STATE, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(folder, "has a state that is no plain data", "train this rival again") from error


def _verify(folder: Path) -> None:
    """Raises CheckpointError unless every file stands as its checksum says."""
    if not (folder / _SUMS).is_file():
        raise CheckpointError(folder, "holds no checkpoint", "train this rival first")
    for line in (folder / _SUMS).read_text(errors="replace").splitlines():
        wanted, _, name = line.partition("  ")
        path = folder / Path(name).name
        if not path.is_file() or sha256(path) != wanted:
            raise CheckpointError(path, "is damaged: its checksum differs", "train this rival again")


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb+") as written:
            os.fsync(written.fileno())
