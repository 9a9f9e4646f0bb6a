"""Swin and RoBERTa weights from folders in the format of `transformers`, under FIBER's names and back.

Folders are local, as `save_pretrained` writes them or a hub's `snapshot_download` leaves them; nothing is downloaded.
The names are those of the files, which stay while those inside `transformers` change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from knee_i2m2.errors import CheckpointError
from knee_i2m2.experts.fiber.checkpoint import fill, read_tensors, without_buffers
from knee_i2m2.experts.fiber.image import SwinTower
from knee_i2m2.experts.fiber.text import RobertaTower

__all__ = ["fiber_to_roberta", "fiber_to_swin", "load_roberta", "load_swin", "roberta_to_fiber", "swin_to_fiber"]

_SWIN = (
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("embeddings.norm.", "patch_embed.norm."),
    ("layernorm.", "norm."),
    (".layernorm_before.", ".norm1."),
    (".layernorm_after.", ".norm2."),
    (".attention.output.dense.", ".attn.proj."),
    (".attention.self.", ".attn."),
    (".intermediate.dense.", ".mlp.fc1."),
    (".output.dense.", ".mlp.fc2."),
    ("encoder.layers.", "layers."),
)
"""Part of a name in the files of `transformers`, and in FIBER's; a part without a first dot begins a name."""

_THREE = ("query", "key", "value")
_NOT_SWIN = ("classifier.", "decoder.", "embeddings.mask_token")
_NOT_ROBERTA = ("classifier.", "lm_head.")


def load_swin(folder: Path, tower: SwinTower) -> None:
    """Loads the Swin Transformer of a folder; the cross terms stay as they are.

    Raises:
        CheckpointError: The folder has no weights, or those of another network.
    """
    state = swin_to_fiber(_without(_weights(folder, "Swin"), "swin.", _NOT_SWIN))
    fill(tower, state, folder, may_lack=[name for name in tower.state_dict() if "i2t" in name])


def load_roberta(folder: Path, tower: RobertaTower) -> None:
    """Loads the RoBERTa of a folder; cross terms, and the pooler that no pass uses, stay where the folder has none.

    Raises:
        CheckpointError: The folder has no weights, or those of another network.
    """
    state = roberta_to_fiber(_without(_weights(folder, "RoBERTa"), "roberta.", _NOT_ROBERTA))
    lacking = [name for name in tower.state_dict() if "t2i" in name or name.startswith("pooler.")]
    fill(tower, state, folder, may_lack=lacking)


def swin_to_fiber(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a Swin Transformer's tensors under FIBER's names: query, key and value become one map."""
    renamed = {_renamed(name, _SWIN): t for name, t in without_buffers(state).items()}
    first = re.compile(r"(.*\.attn)\.query\.(weight|bias)")
    joined = {}
    for name, t in renamed.items():
        if match := first.fullmatch(name):
            three = [renamed[f"{match[1]}.{part}.{match[2]}"] for part in _THREE]
            joined[f"{match[1]}.qkv.{match[2]}"] = torch.cat(three)
        elif not re.search(r"\.attn\.(key|value)\.", name):
            joined[name] = t
    return joined


def fiber_to_swin(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns an image tower's tensors under the names of `transformers`, without the cross terms."""
    parts = {}
    for name, t in state.items():
        three = zip(_THREE, t.chunk(3), strict=True) if ".attn.qkv." in name else [("qkv", t)]
        parts.update({name.replace("qkv", part): p for part, p in three if "i2t" not in name})
    back = tuple((ours, theirs) for theirs, ours in _SWIN)
    return {_renamed(name, back): t for name, t in parts.items()}


def roberta_to_fiber(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns RoBERTa's tensors under FIBER's names, which are the same."""
    return without_buffers(state)


def fiber_to_roberta(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a text tower's tensors under the names of `transformers`, without the cross terms."""
    return {name: t for name, t in state.items() if "t2i" not in name}


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    """Returns the name after all rules."""
    for old, new in rules:
        name = name.replace(old, new) if old.startswith(".") or name.startswith(old) else name
    return name


def _weights(folder: Path, network: str) -> dict[str, Tensor]:
    """Returns all tensors of a folder."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors", "pytorch_model.bin"]
    if index.is_file():
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    files = [folder / Path(name).name for name in names]
    there = [file for file in files if file.is_file()]
    if not there or (index.is_file() and there != files):
        hint = f"put the config.json and model.safetensors of a {network} there; nothing is downloaded"
        raise CheckpointError(folder, f"holds no weights of a {network}", hint)
    read = there if index.is_file() else there[:1]
    return {name: t for file in read for name, t in read_tensors(file, lambda _: True).items()}


def _without(state: Mapping[str, Tensor], prefix: str, heads: tuple[str, ...]) -> dict[str, Tensor]:
    """Returns the tensors without what stands on the network, their names without the network's own."""
    bare = {name.removeprefix(prefix): t for name, t in state.items()}
    return {name: t for name, t in bare.items() if not name.startswith(heads)}
