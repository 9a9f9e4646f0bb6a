"""Swin and RoBERTa weights from folders in the format of `transformers`, under FIBER's names.

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

__all__ = ["load_roberta", "load_swin", "swin_to_fiber"]

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
    state = without_buffers(_without(_weights(folder, "RoBERTa"), "roberta.", _NOT_ROBERTA))
    lacking = [name for name in tower.state_dict() if "t2i" in name or name.startswith("pooler.")]
    fill(tower, state, folder, may_lack=lacking)


def swin_to_fiber(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a Swin Transformer's tensors under FIBER's names: query, key and value become one map."""
    renamed = {_renamed(name): t for name, t in without_buffers(state).items()}
    first = re.compile(r"(.*\.attn)\.query\.(weight|bias)")
    joined = {}
    for name, t in renamed.items():
        if match := first.fullmatch(name):
            three = [renamed[f"{match[1]}.{part}.{match[2]}"] for part in _THREE]
            joined[f"{match[1]}.qkv.{match[2]}"] = torch.cat(three)
        elif not re.search(r"\.attn\.(key|value)\.", name):
            joined[name] = t
    return joined


def _renamed(name: str) -> str:
    """Returns the name after all rules of `_SWIN`."""
    for old, new in _SWIN:
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
