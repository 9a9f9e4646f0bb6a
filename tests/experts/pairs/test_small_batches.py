"""A pair alone is answered as among others by every backbone, and is learned from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from knee_i2m2.experts.fiber.fiber import TINY
from knee_i2m2.experts.pairs.flava import flava_experts
from knee_i2m2.experts.pairs.sentences import late_experts
from knee_i2m2.experts.pairs.vilt import vilt_experts
from knee_i2m2.experts.shared import Shared
from tests.experts.pairs import tiny_transformers as tiny

NAMES = ("images", "sentence", "images+sentence")


def _vilt(folder: Path) -> Shared:
    tiny.vilt(folder)
    return vilt_experts(folder, ["images+sentence"])


def _flava(folder: Path) -> Shared:
    tiny.flava(folder)
    return flava_experts(folder, NAMES)


def _late(folder: Path) -> Shared:
    tiny.bert(folder)
    return late_experts(folder, NAMES, TINY.image)


BACKBONES = {"vilt": _vilt, "flava": _flava, "sentences": _late}


@pytest.mark.parametrize("build", BACKBONES.values(), ids=BACKBONES)
@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_pair_alone_is_answered_as_among_others(tmp_path: Path, build: Callable[[Path], Shared], row: int) -> None:
    experts, x = build(tmp_path).double().eval(), tiny.sample()
    with torch.no_grad():
        together, alone = experts(x), experts({name: values[row : row + 1] for name, values in x.items()})
    for name in together:
        torch.testing.assert_close(alone[name], together[name][row : row + 1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("build", BACKBONES.values(), ids=BACKBONES)
def test_a_pair_alone_is_learned_from(tmp_path: Path, build: Callable[[Path], Shared]) -> None:
    experts = build(tmp_path).double().train()
    sum(z.square().sum() for z in experts(tiny.sample(batch=1)).values()).backward()
    gradients = [parameter.grad for parameter in experts.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)
