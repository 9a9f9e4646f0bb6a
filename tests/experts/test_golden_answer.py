"""The knee's experts answer a phantom volume as they did when their answers were stored.

A dependency that changes the modalities, an architecture or its initialisation changes these logits; one that changes
an architecture's fingerprint makes earlier checkpoints useless.
After a change on purpose: `python tests/experts/test_golden_answer.py` stores them anew.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from torch import Tensor, nn

from knee_i2m2.experts.fingerprint import fingerprint
from knee_i2m2.experts.knee import knee_expert, renormalised
from knee_i2m2.sources.fastmri.modalities import Transform, volume_modalities
from knee_i2m2.sources.fastmri.volumes import find_volumes, read_volume
from knee_i2m2.sources.phantom.phantom import Phantom, make_phantom
from knee_i2m2.training.runner import seed_all

STORED = Path(__file__).with_name("golden_answer.json")


def modalities(folder: Path) -> dict[str, Tensor]:
    """Returns two slices of a phantom volume, from the k-space in its file."""
    make_phantom(Phantom(volumes=2, slices=2, matrix=64, seed=11), folder / "phantom")
    channels, _ = volume_modalities(read_volume(find_volumes(folder / "phantom")[0]), Transform())
    magnitude, phase = channels.float().split(1, dim=1)
    return {"magnitude": magnitude, "phase": phase, "position": torch.tensor([[0.25], [0.75]])}


def fresh(network: str, name: str) -> nn.Module:
    """Returns an expert of four targets with weights drawn from its names."""
    seed_all("golden answer", network, name)
    return knee_expert(name, (4, 2), (64, 64), network).eval()


EXPERTS = {
    f"{network} {name}": partial(fresh, network, name)
    for network, name in (
        ("resnet18", "magnitude+phase"),
        ("preact_resnet18", "magnitude+phase"),
        ("small", "magnitude"),
        ("small", "phase"),
        ("small", "magnitude+phase"),
        ("small", "position"),
    )
}


@torch.no_grad()
def answer(expert: nn.Module, x: dict[str, Tensor]) -> dict[str, str | list]:
    return {"fingerprint": fingerprint(expert), "logits": expert(x).tolist()}


@pytest.fixture(scope="module")
def x(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return modalities(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", EXPERTS)
def test_an_expert_answers_the_phantom_as_stored(x: dict[str, Tensor], name: str) -> None:
    stored, now = json.loads(STORED.read_text())[name], answer(EXPERTS[name](), x)
    torch.testing.assert_close(torch.tensor(now["logits"]), torch.tensor(stored["logits"]), rtol=0, atol=1e-4)
    assert now["fingerprint"] == stored["fingerprint"]


@torch.no_grad()
def test_other_groups_of_the_same_parameters_would_be_noticed(x: dict[str, Tensor]) -> None:
    network = fresh("resnet18", "magnitude+phase")
    before, after = network(x), renormalised(network, partial(nn.GroupNorm, 16)).eval()(x)
    assert (after - before).abs().max() > 1e-2


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        x = modalities(Path(folder))
    STORED.write_text(json.dumps({name: answer(expert(), x) for name, expert in EXPERTS.items()}, indent=1) + "\n")
