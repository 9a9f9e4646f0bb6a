"""A checkpoint is the old one, the new one, or an error in words; reading one runs no code."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from knee_i2m2.errors import CheckpointError
from knee_i2m2.training import checkpoint

FILES = ("weights.safetensors", "state.pt", "SHA256SUMS")


class Killed(BaseException):
    """The process ends here."""


def model(number: float = 0.0, outputs: int = 2) -> nn.Module:
    network = nn.Sequential(nn.Linear(3, outputs), nn.BatchNorm1d(outputs))
    for values in network.state_dict().values():
        values.fill_(number)
    return network


def save(folder: Path, number: int) -> Path:
    checkpoint.save(folder, model(number), {"number": number, "moments": [torch.full((3,), float(number))]})
    return folder


def read(folder: Path) -> set[float]:
    """Returns the numbers of weights and state."""
    loaded = model(-1.0)
    checkpoint.load_weights(folder, loaded)
    return {loaded[0].weight.mean().item(), float(checkpoint.load_state(folder)["number"])}


def sign(folder: Path) -> None:
    """Writes the checksums that belong to whatever lies there."""
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in FILES[:2]]
    (folder / "SHA256SUMS").write_text("".join(lines))


def test_what_is_saved_is_loaded_buffers_and_state_included(tmp_path: Path) -> None:
    folder = save(tmp_path / "0" / "last", 3)
    loaded = model()
    checkpoint.load_weights(folder, loaded)
    assert all(values.eq(3).all() for values in loaded.state_dict().values())
    state = checkpoint.load_state(folder)
    assert state["number"] == 3
    assert state["moments"][0].eq(3).all()
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_a_new_checkpoint_takes_the_place_of_the_old_and_leaves_nothing_beside(tmp_path: Path) -> None:
    assert read(save(save(tmp_path / "last", 1), 2)) == {2.0}
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_the_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    folder = save(tmp_path / "last", 1)
    before = (folder / "SHA256SUMS").read_text()
    sign(folder)
    assert (folder / "SHA256SUMS").read_text() == before


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.999])
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_seen(tmp_path: Path, name: str, place: float) -> None:
    folder = save(tmp_path / "last", 1)
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 4
    (folder / name).write_bytes(content)
    for load in (lambda: checkpoint.load_weights(folder, model()), lambda: checkpoint.load_state(folder)):
        with pytest.raises(CheckpointError, match="is damaged: its checksum differs; train this rival again"):
            load()


@pytest.mark.parametrize("keep", [0, 40, -1])
@pytest.mark.parametrize("name", FILES[:2])
def test_a_truncated_file_is_seen(tmp_path: Path, name: str, keep: int) -> None:
    folder = save(tmp_path / "last", 1)
    (folder / name).write_bytes((folder / name).read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=f"{name}: is damaged"):
        read(folder)


@pytest.mark.parametrize("keep", [0, 40, 100])
def test_truncated_checksums_vouch_for_nothing(tmp_path: Path, keep: int) -> None:
    folder = save(tmp_path / "last", 1)
    (folder / "SHA256SUMS").write_text((folder / "SHA256SUMS").read_text()[:keep])
    with pytest.raises(CheckpointError, match="is damaged"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "sentence"), list(zip(FILES, ["is damaged", "is damaged", "holds no checkpoint"], strict=True))
)
def test_a_missing_file_is_seen(tmp_path: Path, name: str, sentence: str) -> None:
    folder = save(tmp_path / "last", 1)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=sentence):
        read(folder)


def test_no_checkpoint_at_all_is_a_sentence(tmp_path: Path) -> None:
    assert not checkpoint.exists(tmp_path / "best")
    with pytest.raises(CheckpointError, match=r"best: holds no checkpoint; train this rival first"):
        checkpoint.load_weights(tmp_path / "best", model())


@pytest.mark.parametrize("other", [model(outputs=5), nn.Linear(3, 2), nn.Sequential(*model(), nn.Linear(2, 2))])
def test_the_weights_of_another_model_are_refused(tmp_path: Path, other: nn.Module) -> None:
    folder = save(tmp_path / "last", 1)
    with pytest.raises(CheckpointError, match=r"last: holds another model \(.*\); use the run's own configuration"):
        checkpoint.load_weights(folder, other)


def test_a_refused_checkpoint_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    folder, other = save(tmp_path / "last", 1), nn.Sequential(*model(2.0), nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match=r"holds another model \(2.bias is missing there, \(2,\) here\)"):
        checkpoint.load_weights(folder, other)
    assert other[0].weight.eq(2).all()


def test_other_normalisation_of_the_same_names_and_shapes_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "last", nn.Sequential(nn.GroupNorm(2, 4)), {})
    with pytest.raises(CheckpointError, match=r"holds another model \(its normalisation layers are of another kind\)"):
        checkpoint.load_weights(tmp_path / "last", nn.Sequential(nn.GroupNorm(4, 4)))


def test_a_checkpoint_from_before_there_were_fingerprints_loads_where_names_and_shapes_agree(tmp_path: Path) -> None:
    folder = save(tmp_path / "last", 1)
    save_model(model(5.0), str(folder / "weights.safetensors"))
    sign(folder)
    assert read(folder) == {5.0, 1.0}
    with pytest.raises(CheckpointError, match="holds another model"):
        checkpoint.load_weights(folder, model(outputs=5))


def test_a_checkpoint_of_tied_weights_is_loaded(tmp_path: Path) -> None:
    tied, loaded = (nn.ModuleDict({"a": layer, "b": layer}) for layer in (nn.Linear(2, 2), nn.Linear(2, 2)))
    checkpoint.save(tmp_path / "last", tied, {})
    checkpoint.load_weights(tmp_path / "last", loaded)
    assert loaded["b"].weight.equal(tied["a"].weight)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x08" + bytes(7) + b"{}      "])
def test_weights_that_are_none_are_refused_even_with_their_checksum(tmp_path: Path, content: bytes) -> None:
    folder = save(tmp_path / "last", 1)
    (folder / "weights.safetensors").write_bytes(content)
    sign(folder)
    with pytest.raises(CheckpointError, match="holds another model"):
        checkpoint.load_weights(folder, model())


# Code -----------------------------------------------------------------------------------------------------------------


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


@pytest.mark.parametrize("dump", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb, 2))])
def test_a_state_with_code_is_refused_and_the_code_does_not_run(tmp_path: Path, dump) -> None:
    folder, canary = save(tmp_path / "last", 1), tmp_path / "canary"
    dump({"number": Bomb(canary)}, folder / "state.pt")
    sign(folder)
    with pytest.raises(CheckpointError, match="has a state that is no plain data"):
        checkpoint.load_state(folder)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Bomb(canary)))  # the bomb is real
    assert canary.exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x02.", b"PK\x03\x04", b"(lp0\n."])
def test_a_state_that_is_none_is_refused_even_with_its_checksum(tmp_path: Path, content: bytes) -> None:
    folder = save(tmp_path / "last", 1)
    (folder / "state.pt").write_bytes(content)
    sign(folder)
    with pytest.raises(CheckpointError, match="has a state that is no plain data"):
        checkpoint.load_state(folder)


# Kills ----------------------------------------------------------------------------------------------------------------


def kill_at(monkeypatch: pytest.MonkeyPatch, where: object, name: str, call: int) -> None:
    """Lets the process end just before the given call of a function."""
    real, calls = getattr(where, name), []

    def fatal(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(where, name, fatal)


KILLS = {
    "before the weights are written": (checkpoint, "save_model", 1, 1),
    "before the state is written": (checkpoint.torch, "save", 1, 1),
    "before it is flushed": (checkpoint, "_flush", 1, 1),
    "before the old one makes room": (checkpoint.os, "replace", 1, 1),
    "between the two renames": (checkpoint.os, "replace", 2, 2),
    "before the old one is removed": (checkpoint.shutil, "rmtree", 3, 2),
}
"""Where a writer is killed: module, function, call, and which of the two checkpoints is read then."""


@pytest.mark.parametrize("moment", KILLS)
def test_killed_while_it_is_replaced_a_checkpoint_is_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder = save(tmp_path / "last", 1)
    *where, survivor = KILLS[moment]
    kill_at(monkeypatch, *where)
    with pytest.raises(Killed):
        save(folder, 2)
    monkeypatch.undo()
    assert checkpoint.exists(folder)
    assert read(folder) == {float(survivor)}
    assert read(save(folder, 3)) == {3.0}
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("moment", [name for name, (*_, survivor) in KILLS.items() if survivor == 1])
def test_killed_while_the_first_one_is_written_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    where, name, *_ = KILLS[moment]
    kill_at(monkeypatch, where, name, 1)
    with pytest.raises(Killed):
        save(tmp_path / "last", 1)
    monkeypatch.undo()
    assert not checkpoint.exists(tmp_path / "last")
    assert read(save(tmp_path / "last", 2)) == {2.0}
