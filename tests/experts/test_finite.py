"""Whoever reads weights refuses those that are not finite, and names them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from knee_i2m2.errors import CheckpointError
from knee_i2m2.experts.fiber.checkpoint import load_fiber
from knee_i2m2.experts.fiber.fiber import Fiber
from knee_i2m2.experts.fiber.huggingface import load_roberta, load_swin
from knee_i2m2.experts.pairs.flava import flava_experts
from knee_i2m2.experts.pairs.sentences import late_experts
from knee_i2m2.experts.pairs.vilt import vilt_experts
from knee_i2m2.training import checkpoint
from tests.experts.fiber.reference import SMALL
from tests.experts.fiber.test_huggingface import roberta, swin
from tests.experts.pairs import tiny_transformers as tiny
from tests.training.test_checkpoint import sign

PAIR = ["images+sentence"]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def saved_fiber(folder: Path) -> None:
    save_file(
        {name: values.clone() for name, values in Fiber(SMALL).state_dict().items()}, folder / "fiber.safetensors"
    )


WRITERS: dict[str, Callable[[Path], object]] = {
    "run": lambda folder: checkpoint.save(folder, network(), {}),
    "fiber": saved_fiber,
    "swin": lambda folder: swin("SwinModel").save_pretrained(folder),
    "roberta": lambda folder: roberta("RobertaModel").save_pretrained(folder),
    "vilt": tiny.vilt,
    "flava": tiny.flava,
    "sentences": tiny.bert,
    "pytorch_model.bin": lambda folder: roberta("RobertaModel").save_pretrained(folder),
}
LOADERS: dict[str, Callable[[Path], object]] = {
    "run": lambda folder: checkpoint.load_weights(folder, network()),
    "fiber": lambda folder: load_fiber(folder / "fiber.safetensors", Fiber(SMALL)),
    "swin": lambda folder: load_swin(folder, Fiber(SMALL).vit_model),
    "roberta": lambda folder: load_roberta(folder, Fiber(SMALL).text_transformer),
    "vilt": lambda folder: vilt_experts(folder, PAIR),
    "flava": lambda folder: flava_experts(folder, PAIR),
    "sentences": lambda folder: late_experts(folder, PAIR, SMALL.image),
    "pytorch_model.bin": lambda folder: load_roberta(folder, Fiber(SMALL).text_transformer),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns reader -> folder of finite weights."""
    places = {name: tmp_path_factory.mktemp("weights") / name for name in WRITERS}
    for name, write in WRITERS.items():
        places[name].mkdir()
        write(places[name])
    return places


def spoil(folder: Path, value: float) -> None:
    """Writes `value` into the last weight of the folder's largest tensor, with the checksums that belong to it."""
    (path,) = folder.glob("*.safetensors")
    state = load_file(path)
    name = max((name for name in state if state[name].is_floating_point()), key=lambda name: state[name].numel())
    state[name].view(-1)[-1] = value
    save_file(state, path, {"format": "pt"})
    if folder.name == "pytorch_model.bin":
        torch.save(state, path.with_name("pytorch_model.bin"))
        path.unlink()
    if folder.name == "run":
        sign(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("reader", LOADERS)
def test_weights_that_are_not_finite_are_refused_by_every_reader(
    folders: dict[str, Path], tmp_path: Path, reader: str, value: float
) -> None:
    folder = shutil.copytree(folders[reader], tmp_path / reader)
    LOADERS[reader](folder)
    spoil(folder, value)
    with pytest.raises(CheckpointError, match=r"NaN or infinite: 1 of \d+ values of [\w.]+; use a file from before"):
        LOADERS[reader](folder)


def test_a_number_beyond_the_precision_is_infinite(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["fiber"], tmp_path / "fiber")
    state = {name: values.double() for name, values in load_file(folder / "fiber.safetensors").items()}
    state["vit_model.norm.weight"][:2] = 1e300
    save_file(state, folder / "fiber.safetensors")
    with pytest.raises(CheckpointError, match=r"2 of \d+ values of vit_model\.norm\.weight"):
        LOADERS["fiber"](folder)


def test_a_refused_checkpoint_leaves_the_network_as_it_was(folders: dict[str, Path], tmp_path: Path) -> None:
    folder, model = shutil.copytree(folders["run"], tmp_path / "run"), network()
    spoil(folder, float("nan"))
    before = {name: values.clone() for name, values in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        checkpoint.load_weights(folder, model)
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
