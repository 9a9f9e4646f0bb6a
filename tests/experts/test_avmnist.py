"""The AV-MNIST experts have the paper's sizes and see what their names say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from knee_i2m2.errors import ConfigError
from knee_i2m2.experts.avmnist import avmnist_expert, lenet, mlp


def pairs(batch: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.rand(batch, 1, 28, 28, generator=generator),
        "audio": torch.rand(batch, 1, 112, 112, generator=generator),
    }


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_parts_have_the_parameters_of_the_table() -> None:
    assert [parameters(lenet(1, 3, n)) for n in (3, 5)] == [3_567, 55_695]
    assert [parameters(lenet(1, 6, n)) for n in (3, 5)] == [13_938, 221_874]
    assert [parameters(mlp(d, 100, 10)) for d in (24, 96, 240)] == [3_510, 10_710, 25_110]


@pytest.mark.parametrize("audio_pool", [1, 2, 4])
def test_an_expert_has_the_parameters_of_the_table_however_far_the_sound_is_averaged(audio_pool: int) -> None:
    wanted = {"image": 3_567 + 3_510, "audio": 55_695 + 10_710, "image+audio": 13_938 + 221_874 + 25_110}
    assert {name: parameters(avmnist_expert(name, audio_pool)) for name in wanted} == wanted


@pytest.mark.parametrize("audio_pool", [1, 2, 4, 7, 8])
@pytest.mark.parametrize("name", ["image", "audio", "image+audio", "image+audio.2"])
def test_the_maps_end_at_one_pixel_and_the_gradient_reaches_every_parameter(name: str, audio_pool: int) -> None:
    expert = avmnist_expert(name, audio_pool)
    logits = expert(pairs())
    assert logits.shape == (3, 10)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in expert.parameters())


def test_the_full_size_pools_in_every_block_and_the_averaged_sound_in_four() -> None:
    pooling = {p: sum(isinstance(m, nn.MaxPool2d) for m in avmnist_expert("audio", p).modules()) for p in (1, 2, 4)}
    assert pooling == {1: 6, 2: 5, 4: 4}


def test_averaging_by_hand_is_the_expert_s_averaging() -> None:
    expert, sound = avmnist_expert("audio").eval(), pairs()["audio"]
    blurred = nn.functional.avg_pool2d(sound, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(expert({"audio": sound}), expert({"audio": blurred}))


@pytest.mark.parametrize("name", ["image", "audio"])
def test_an_expert_of_one_modality_is_blind_to_the_other(name: str) -> None:
    expert, x = avmnist_expert(name).eval(), pairs()
    torch.testing.assert_close(expert({name: x[name]}), expert({**{m: 0 * t for m, t in x.items()}, name: x[name]}))


def test_the_joint_expert_sees_both_modalities() -> None:
    expert, x = avmnist_expert("image+audio").eval(), pairs()
    for name in x:
        assert not torch.allclose(expert(x), expert({**x, name: 0 * x[name]}))


def test_one_pair_alone_is_answered_with_its_batch_axis() -> None:
    assert avmnist_expert("image+audio").eval()(pairs(batch=1)).shape == (1, 10)


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    expert, x, y = avmnist_expert("image+audio"), pairs(8), torch.arange(8)
    optimiser = torch.optim.SGD(expert.parameters(), lr=0.03)
    losses = []
    for _ in range(10):
        loss = nn.functional.cross_entropy(expert(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("name", "audio_pool", "sentence"),
    [
        ("image+video", 4, "expert image+video: AV-MNIST has no modality video; join image and audio by +"),
        ("audio", 5, "--audio-pool 5 does not divide 112; give 1 for the full size, 2 or 4"),
        ("audio", 0, "--audio-pool 0 does not divide 112; give 1 for the full size, 2 or 4"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(name: str, audio_pool: int, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        avmnist_expert(name, audio_pool)
    assert str(caught.value) == sentence
