"""Networks chosen by shape see what their names say, and refuse what they cannot read."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.by_shape import Positional, expert_by_shape, shared_by_shape
from knee_i2m2.types import modalities_of

SHAPES = {"image": (1, 28, 28), "phase": (1, 28, 28), "audio": (2, 40, 36), "blood": (5,), "age": (1,)}
X = {name: torch.randn(4, *shape, generator=torch.Generator().manual_seed(1)) for name, shape in SHAPES.items()}
EXPERTS = ("image", "blood", "image+phase", "blood+age", "image+audio", "image+blood", "phase+audio+age.2")


@pytest.mark.parametrize("answers", [(10,), (3, 2)])
@pytest.mark.parametrize("name", EXPERTS)
def test_every_expert_sees_its_modalities_and_nothing_else(name: str, answers: tuple[int, ...]) -> None:
    network = expert_by_shape(name, SHAPES, answers)
    x = {modality: X[modality].clone().requires_grad_() for modality in modalities_of(name)}
    logits = network(x)
    assert logits.shape == (4, *answers)
    logits.square().sum().backward()
    assert all(values.grad.abs().sum() > 0 for values in x.values())
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_phase_enters_without_its_jump() -> None:
    network = expert_by_shape("phase", SHAPES, (2,)).eval()
    turned = X["phase"] + 2 * torch.pi
    torch.testing.assert_close(network({"phase": turned}), network({"phase": X["phase"]}), rtol=1e-3, atol=1e-4)


def test_vectors_may_have_any_unit() -> None:
    network = expert_by_shape("blood", SHAPES, (2,))
    in_other_units = 1e4 * X["blood"] + 1e6
    torch.testing.assert_close(network({"blood": in_other_units}), network({"blood": X["blood"]}), rtol=1e-2, atol=1e-2)


def test_images_above_128_pixels_get_a_resnet() -> None:
    small, large = (expert_by_shape("image", {"image": (1, n, n)}, (2,)) for n in (128, 160))
    assert (
        sum(p.numel() for p in small.parameters()) < 200_000 < 10_000_000 < sum(p.numel() for p in large.parameters())
    )
    assert large({"image": torch.zeros(2, 1, 160, 160)}).shape == (2, 2)


def test_shared_experts_have_an_encoder_per_modality_and_logits_that_split() -> None:
    experts = shared_by_shape(("image", "blood", "image+blood"), SHAPES, (3, 2)).eval()
    assert set(experts.encoders) == {"image", "blood"}
    opinions = experts(X)
    assert {name: tuple(logits.shape) for name, logits in opinions.items()} == dict.fromkeys(opinions, (4, 3, 2))
    logits, parts = experts.split(X)
    torch.testing.assert_close(logits, opinions["image+blood"])
    torch.testing.assert_close(parts["image"] + parts["blood"], logits)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("imag", "there is no modality imag; did you mean image"), ("scan", r"scan has samples of shape \(1, 9, 9, 9\)")],
)
def test_what_has_no_network_is_refused(name: str, sentence: str) -> None:
    for make in (expert_by_shape, lambda expert, *rest: shared_by_shape((expert,), *rest)):
        with pytest.raises(ConfigError, match=sentence):
            make(name, {**SHAPES, "scan": (1, 9, 9, 9)}, (2,))


def test_a_users_network_takes_tensors() -> None:
    network = Positional(nn.Bilinear(5, 1, 6), (3, 2))
    assert network({"blood": X["blood"], "age": X["age"]}).shape == (4, 3, 2)
