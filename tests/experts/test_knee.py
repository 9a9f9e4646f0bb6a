"""Every network maps every image to its logits; the original's has the original's parameters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from knee_i2m2.experts.knee import (
    NETWORKS,
    PHASES,
    knee_expert,
    position_features,
    preact_resnet18,
    renormalised,
    resnet18,
)

ANSWERS = (4, 2)


def slices(matrix: int, batch: int = 2) -> dict[str, Tensor]:
    return {
        "magnitude": torch.rand(batch, 1, matrix, matrix),
        "phase": torch.pi * (2 * torch.rand(batch, 1, matrix, matrix) - 1),
        "position": torch.rand(batch, 1),
    }


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def flops(network: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    return counter.get_total_flops()


@pytest.mark.parametrize("size", [(2, 2, 32, 32), (3, 1, 64, 64), (2, 3, 40, 33)])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_maps_images_of_any_size_to_its_outputs(network: str, size: tuple[int, ...]) -> None:
    built = NETWORKS[network](size[1], 8, size[2:])
    assert built(torch.rand(size)).shape == (size[0], 8)


def test_the_default_network_answers_one_slice_of_fastmri_s_matrix() -> None:
    assert resnet18(3, 8, (320, 320)).eval()(torch.rand(1, 3, 320, 320)).shape == (1, 8)


@pytest.mark.parametrize(
    ("network", "groups", "batches"), [("resnet18", 20, 0), ("preact_resnet18", 16, 0), ("small", 0, 4)]
)
def test_the_normalisation_layers_are_all_of_the_kind_that_is_claimed(network: str, groups: int, batches: int) -> None:
    layers = [type(m).__name__ for m in NETWORKS[network](3, 8, (64, 64)).modules() if "Norm" in type(m).__name__]
    assert sorted(layers) == ["BatchNorm2d"] * batches + ["GroupNorm"] * groups


def test_another_norm_leaves_the_convolutions_as_drawn() -> None:
    torch.manual_seed(1)
    before = resnet18(3, 8, (64, 64))
    weights = {name: values.clone() for name, values in before.state_dict().items()}
    after = renormalised(before, nn.BatchNorm2d).state_dict()
    assert all(after[name].equal(values) for name, values in weights.items())
    assert {name.rsplit(".")[-1] for name in after.keys() - weights} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", ["magnitude", "phase", "magnitude+phase", "magnitude+phase.2", "position"])
def test_an_expert_answers_every_target_and_the_gradient_reaches_every_parameter(name: str, phase: str) -> None:
    expert = knee_expert(name, ANSWERS, (32, 32), "small", phase)
    answered = expert(slices(32))
    answered.square().sum().backward()
    assert answered.shape == (2, *ANSWERS)
    assert all(p.grad is not None and p.grad.any() for p in expert.parameters())


@pytest.mark.parametrize("network", NETWORKS)
def test_the_gradient_reaches_every_parameter_of_every_network(network: str) -> None:
    built = NETWORKS[network](2, 8, (32, 32))
    built(torch.rand(4, 2, 32, 32)).square().sum().backward()
    assert [name for name, p in built.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_cosine_and_sine_make_an_expert_blind_to_whole_turns() -> None:
    x = slices(32)
    turned = {**x, "phase": x["phase"] + 2 * torch.pi}
    blind, seeing = (knee_expert("phase", ANSWERS, (32, 32), "small", phase).eval() for phase in ("cos_sin", "angle"))
    torch.testing.assert_close(blind(turned), blind(x))
    assert not torch.allclose(seeing(turned), seeing(x))


def test_the_original_s_network_has_the_original_s_parameters_but_for_those_it_never_used() -> None:
    # 2,642 were built and never used; the facts were measured on magnitude and phase as two channels.
    assert parameters(preact_resnet18(2, 8, (320, 320))) == 11_577_690 - 2_642


def test_the_original_s_network_keeps_full_resolution_until_its_second_stage() -> None:
    seen = []
    network = preact_resnet18(2, 8, (64, 64))
    network[-3].register_forward_hook(lambda module, x, y: seen.extend((x[0].shape[1:], y.shape[1:])))
    network(torch.rand(1, 2, 64, 64))
    assert seen == [(512, 8, 8), (512, 10, 10)]  # 64 / 2^3, then pooled to 10 x 10


def test_a_stem_of_stride_two_takes_a_quarter_of_the_operations() -> None:
    from monai.networks.nets import resnet18 as monai_resnet18

    x = torch.rand(1, 2, 64, 64)
    slow = monai_resnet18(spatial_dims=2, n_input_channels=2, num_classes=8, shortcut_type="B")
    assert flops(resnet18(2, 8, (64, 64)), x) == pytest.approx(flops(slow, x) / 4, rel=0.02)


def test_the_position_s_features_are_its_powers_between_minus_one_and_one() -> None:
    features = position_features(torch.tensor([[0.0], [0.5], [0.75], [1.0]]))
    torch.testing.assert_close(features[0], torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    torch.testing.assert_close(features[1], torch.zeros(4))
    torch.testing.assert_close(features[2], torch.tensor([0.5, 0.25, 0.125, 0.0625]))
    torch.testing.assert_close(features[3], torch.ones(4))
