"""Checkpoints in FIBER's own layout: read tensors only, fitted to the resolution, loaded strictly.

Of `fiber_pretrain.ckpt` the queues of the contrastive loss (7 GB) are never read; index tables and masks are computed,
not loaded. Unlike the original, which loads what happens to fit, a name too many or too few is an error.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from knee_i2m2.errors import CheckpointError
from knee_i2m2.experts.fiber.fiber import Fiber
from knee_i2m2.experts.finite import refuse_not_finite
from knee_i2m2.identity import named

__all__ = ["HEADS", "QUEUES", "Loaded", "fill", "load_fiber", "read_tensors", "resized_table", "without_buffers"]

QUEUES = (
    "image_queue",
    "text_queue",
    "image_input_queue",
    "text_input_queue",
    "text_input_mask_queue",
    "queue_ptr",
    "queue_total",
)
"""State of the contrastive loss, of no use afterwards."""

HEADS = ("temp", "mlm_score", "itm_score", "rank_output", "nlvr2_classifier", "vqa_classifier")
"""What stands on the backbone, by the file's names."""

_BUFFERS = ("relative_position_index", "attn_mask", "position_ids")
_TABLE = "relative_position_bias_table"
_FROM_ANOTHER_SIZE = "build the backbone in the size of the file"


class Loaded(NamedTuple):
    """What was not loaded.

    Attributes:
        fresh: Heads that were given and are not in the file; they are as they were.
        unread: Heads in the file that were not given.
    """

    fresh: tuple[str, ...]
    unread: tuple[str, ...]


def load_fiber(path: Path, fiber: Fiber, heads: Mapping[str, nn.Module] = MappingProxyType({})) -> Loaded:
    """Loads a backbone, and heads where the file has them.

    Args:
        path: A Lightning checkpoint with a `state_dict`, or that dictionary as `.safetensors`.
        fiber: The backbone; its resolution may differ from the file's.
        heads: Name in the file, such as `nlvr2_classifier` -> network.

    Raises:
        CheckpointError: The file is missing, holds more than tensors, or belongs to another network.
    """
    if not path.is_file():
        hint = "put FIBER's fiber_pretrain.ckpt, or its state_dict as .safetensors, there; nothing is downloaded"
        raise CheckpointError(path, "is missing", hint)
    state = without_buffers(read_tensors(path, lambda name: name not in QUEUES))
    stored = {name.split(".", maxsplit=1)[0] for name in state} & {*HEADS, *heads}
    built = {name: head for name, head in heads.items() if name in stored}
    unread = sorted(stored - built.keys())
    body = {name: t for name, t in state.items() if name.split(".", maxsplit=1)[0] not in unread}
    fill(nn.ModuleDict(built), _part(body, built), path)
    fill(fiber, {name: t for name, t in body.items() if name.split(".", maxsplit=1)[0] not in built}, path)
    return Loaded(tuple(sorted(heads.keys() - stored)), tuple(unread))


def read_tensors(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """Returns the wanted tensors of a `.safetensors` file, or of any other that `torch.load` reads without code.

    Raises:
        CheckpointError: The file is damaged or holds more than tensors and plain values.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118
        whole = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
    ) as error:
        hint = "save its state_dict as .safetensors where you trust it"
        raise CheckpointError(path, "is damaged, or holds more than tensors and plain values", hint) from error
    state = whole.get("state_dict", whole) if isinstance(whole, dict) else {}
    if not state or not all(isinstance(t, Tensor) for t in state.values()):
        raise CheckpointError(path, "has no state_dict of tensors", "give a checkpoint of the network")
    return {name: t for name, t in state.items() if wanted(name)}


def without_buffers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors without index tables and masks, which depend on the resolution."""
    return {name: t for name, t in state.items() if name.rsplit(".", maxsplit=1)[-1] not in _BUFFERS}


def fill(module: nn.Module, state: Mapping[str, Tensor], path: Path, may_lack: Collection[str] = ()) -> None:
    """Loads tensors into a module, position tables resized to its windows; nothing may be missing or left over.

    Args:
        module: What is filled.
        state: Its tensors.
        path: Where they come from, for the messages.
        may_lack: Names that need not be there.

    Raises:
        CheckpointError: The names or the shapes differ, or a value is not finite.
    """
    own = module.state_dict()
    missing, unknown = own.keys() - state.keys() - set(may_lack), state.keys() - own.keys()
    if missing:
        raise CheckpointError(path, f"lacks {named(missing)}", _FROM_ANOTHER_SIZE)
    if unknown:
        raise CheckpointError(path, f"holds the unknown {named(unknown)}", _FROM_ANOTHER_SIZE)
    fitted = {name: _fitted(name, t, own[name]) for name, t in state.items()}
    for name, t in fitted.items():
        if t.shape != own[name].shape:
            reason = f"{name} has the shape {list(t.shape)}, not {list(own[name].shape)}"
            raise CheckpointError(path, reason, _FROM_ANOTHER_SIZE)
    module.load_state_dict(fitted, strict=False)
    refuse_not_finite(module.state_dict(), path)


def resized_table(table: Float[Tensor, "rows heads"], window: int) -> Float[Tensor, "resized heads"]:
    r"""Returns a position table for another window: :math:`(2w-1)^2` rows as a picture, bicubic, and back."""
    side = round(len(table) ** 0.5)
    if side == 2 * window - 1:
        return table
    pictures = table.T.unflatten(1, (side, side))[None].float()
    new = (2 * window - 1, 2 * window - 1)
    resized = nn.functional.interpolate(pictures, size=new, mode="bicubic", align_corners=False)
    return resized[0].flatten(1).T.to(table.dtype)


def _fitted(name: str, t: Tensor, own: Tensor) -> Tensor:
    """Returns a tensor as it is, or a square position table for the window of `own`."""
    square = name.endswith(_TABLE) and t.ndim == 2 and round(len(t) ** 0.5) ** 2 == len(t)
    return resized_table(t, (round(len(own) ** 0.5) + 1) // 2) if square else t


def _part(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Returns the tensors below some of the first names."""
    return {name: t for name, t in state.items() if name.split(".", maxsplit=1)[0] in names}


def _is_zip(path: Path) -> bool:
    """Returns whether torch can map the file instead of reading it all."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"
