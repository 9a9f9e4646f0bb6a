"""What a folder may hold: any precision, older files, damaged ones, and other networks' heads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from knee_i2m2.errors import CheckpointError
from knee_i2m2.experts.local import config_of, pretrained
from tests.experts.pairs import tiny_transformers as tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bert")
    tiny.bert(place)
    return place


def changed(folder: Path, place: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    """Returns a copy of the folder with other weights."""
    shutil.copytree(folder, place)
    save_file(change(load_file(folder / "model.safetensors")), place / "model.safetensors", {"format": "pt"})
    return place


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_weights_in_16_bit_are_computed_with_in_32(folder: Path, tmp_path: Path, precision: str) -> None:
    kind = getattr(torch, precision)
    half = changed(folder, tmp_path / "half", lambda state: {name: t.to(kind) for name, t in state.items()})
    config = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps({**config, "dtype": precision, "torch_dtype": precision}))
    held = pretrained("BertModel", half, ()).network
    assert {p.dtype for p in held.parameters()} == {torch.float32}
    words = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert torch.equal(held.embeddings.word_embeddings.weight, words.to(kind).float())


def test_index_tables_of_older_files_are_no_weights(folder: Path, tmp_path: Path) -> None:
    table = {"embeddings.position_ids": torch.arange(512)[None]}
    assert not pretrained("BertModel", changed(folder, tmp_path / "old", lambda s: {**s, **table}), ()).drawn


def test_a_part_that_may_lack_is_there_lacks_whole_or_is_another_s(folder: Path, tmp_path: Path) -> None:
    names = {"pooler.dense.weight", "pooler.dense.bias"}
    gone = changed(folder, tmp_path / "gone", lambda s: {name: t for name, t in s.items() if name not in names})
    other = changed(folder, tmp_path / "other", lambda s: {**s, "pooler.dense.weight": torch.zeros(7, 24)})
    half = changed(folder, tmp_path / "half", lambda s: {name: t for name, t in s.items() if name != min(names)})
    assert not pretrained("BertModel", folder, (), ("pooler.",)).drawn
    assert pretrained("BertModel", gone, (), ("pooler.",)).drawn == names
    assert pretrained("BertModel", other, (), ("pooler.",)).drawn == names
    with pytest.raises(CheckpointError, match=r"lacks pooler\.dense\.bias; use the files of one BertModel"):
        pretrained("BertModel", half, (), ("pooler.",))


def test_a_tensor_of_another_shape_is_named(folder: Path, tmp_path: Path) -> None:
    wide = changed(folder, tmp_path / "wide", lambda s: {**s, "embeddings.LayerNorm.weight": torch.ones(30)})
    with pytest.raises(CheckpointError, match=r"has another embeddings\.LayerNorm\.weight \(\[30\], not \[24\]\)"):
        pretrained("BertModel", wide, ())


class _Code:
    """What would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_an_older_file_is_read_as_tensors_only(folder: Path, tmp_path: Path) -> None:
    place, run = tmp_path / "older", tmp_path / "run"
    shutil.copytree(folder, place)
    (place / "model.safetensors").unlink()
    state = load_file(folder / "model.safetensors")
    torch.save(state, place / "pytorch_model.bin")
    held = pretrained("BertModel", place, ()).network
    assert torch.equal(held.pooler.dense.weight, state["pooler.dense.weight"])
    torch.save({**state, "more": _Code(run)}, place / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds no weights that can be read as a BertModel"):
        pretrained("BertModel", place, ())
    assert not run.exists()
    (place / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="holds no weights that can be read as a BertModel"):
        pretrained("BertModel", place, ())


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_what_is_no_configuration_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"holds no configuration of a network; put config\.json"):
        config_of(tmp_path, ["bert"])
