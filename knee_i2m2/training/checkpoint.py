"""Checkpoints: safetensors weights and a plain state, with checksums, whole or absent."""

from __future__ import annotations

import os
import pickle
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, load_model, save_model
from torch import nn

from knee_i2m2.errors import CheckpointError
from knee_i2m2.experts.fingerprint import fingerprint
from knee_i2m2.experts.finite import refuse_not_finite
from knee_i2m2.files import sha256

__all__ = ["exists", "load_state", "load_weights", "save"]

_WEIGHTS, _STATE, _SUMS = "weights.safetensors", "state.pt", "SHA256SUMS"
_FINGERPRINT = "knee_i2m2.fingerprint"


def save(folder: Path, model: nn.Module, state: dict[str, Any]) -> None:
    """Writes `weights.safetensors`, `state.pt` and `SHA256SUMS` to `folder`, in place of what it held.

    Args:
        folder: Its parent is made.
        model: Its parameters and buffers are saved, and the fingerprint of its architecture.
        state: Tensors, numbers, strings and containers of them.
    """
    _recover(folder)
    fresh, old = _beside(folder)
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_model(model, str(fresh / _WEIGHTS), {_FINGERPRINT: fingerprint(model)})
    torch.save(state, fresh / _STATE)
    (fresh / _SUMS).write_text("".join(f"{_sum(fresh / name)}\n" for name in (_WEIGHTS, _STATE)))
    _flush(fresh)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def exists(folder: Path) -> bool:
    """Returns whether there is a checkpoint, after completing one whose writer was killed while it replaced another."""
    _recover(folder)
    return folder.exists()


def load_weights(folder: Path, model: nn.Module) -> None:
    """Loads the weights of a checkpoint into `model`, or leaves it as it is.

    Checkpoints without a fingerprint are of the first weeks; they load if names and shapes agree.

    Raises:
        CheckpointError: Files are missing or damaged, belong to another model, or hold a weight that is not finite.
    """
    _verify(folder)
    try:
        reason = _difference(folder / _WEIGHTS, model)
        if not reason:
            refuse_not_finite(load_file(folder / _WEIGHTS), folder / _WEIGHTS)
            load_model(model, str(folder / _WEIGHTS))
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
    if reason:
        hint = "use the run's own configuration and the versions in its environment.json"
        raise CheckpointError(folder, f"holds another model ({reason})", hint)


def _difference(path: Path, model: nn.Module) -> str:
    """Returns in what the architecture of the weights in a file differs from the model's; nothing if it does not."""
    with safe_open(path, "pt") as file:
        notes = file.metadata() or {}
        there = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    here = {name: tuple(values.shape) for name, values in model.state_dict().items() if name not in notes}
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            return f"{name} is {there.get(name, 'missing')} there, {here.get(name, 'missing')} here"
    same = notes.get(_FINGERPRINT) in (None, fingerprint(model))
    return "" if same else "its normalisation layers are of another kind"


def load_state(folder: Path) -> dict[str, Any]:
    """Returns the state of a checkpoint; only plain values are unpickled.

    Raises:
        CheckpointError: Files are missing, their checksums differ, or the state holds code.
    """
    _verify(folder)
    try:
        return torch.load(folder / _STATE, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError) as error:
        raise CheckpointError(folder, "has a state that is no plain data", "train this rival again") from error


def _verify(folder: Path) -> None:
    """Raises CheckpointError unless every file stands as its checksum says."""
    _recover(folder)
    if not (folder / _SUMS).is_file():
        raise CheckpointError(folder, "holds no checkpoint", "train this rival first")
    listed = (folder / _SUMS).read_text(errors="replace").splitlines()
    for path in (folder / _WEIGHTS, folder / _STATE):
        if not path.is_file() or _sum(path) not in listed:
            raise CheckpointError(path, "is damaged: its checksum differs", "train this rival again")


def _beside(folder: Path) -> tuple[Path, Path]:
    """Returns where the next checkpoint is written and where the one before waits until it is in place."""
    return folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")


def _recover(folder: Path) -> None:
    """Puts the new checkpoint in place where its writer was killed between the two renames; it is whole by then."""
    fresh, old = _beside(folder)
    if old.exists() and not folder.exists():
        with suppress(FileNotFoundError):  # another process was faster
            os.replace(fresh, folder)


def _sum(path: Path) -> str:
    """Returns a file's line in `SHA256SUMS`."""
    return f"{sha256(path)}  {path.name}"


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb+") as written:
            os.fsync(written.fileno())
