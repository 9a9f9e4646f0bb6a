import pytest
import torch
from torch import nn

from knee_i2m2.experts.experts import Stacked
from knee_i2m2.experts.knee import NETWORKS, knee_expert
from knee_i2m2.experts.saliency import SALIENCY, saliency

ANSWERS, MATRIX = (3, 2), (32, 32)


def images(count: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(count, 1, *MATRIX, generator=generator) for name in ("magnitude", "phase")}


def expert(name: str = "magnitude+phase", network: str = "small") -> Stacked:
    torch.manual_seed(0)
    return knee_expert(name, ANSWERS, MATRIX, network).eval()


@pytest.mark.parametrize("method", SALIENCY)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_has_a_map_of_the_image_that_is_not_negative(network: str, method: str) -> None:
    found = saliency(expert(network=network), images(), 1, method)
    assert found.shape == (2, *MATRIX)
    assert (found >= 0).all()
    assert found.any()


def test_a_map_is_the_gradient_of_the_targets_log_odds() -> None:
    network, x = expert(), images()
    channels = network.channels(x).requires_grad_()
    logits = network.network(channels).unflatten(-1, ANSWERS)
    (logits[:, 2, 1] - logits[:, 2, 0]).sum().backward()
    torch.testing.assert_close(saliency(network, x, 2), channels.grad.abs().sum(dim=1))


def test_only_pixels_that_are_looked_at_are_salient() -> None:
    class Corner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = x[:, :, :4, 5:9].sum(dim=(1, 2, 3))
            return torch.stack([0 * seen, seen], dim=1)

    looking = Stacked({"magnitude": lambda x: x}, Corner(), (1, 2))
    for method in SALIENCY:
        found = saliency(looking, images(), 0, method)
        assert (found[:, :4, 5:9] == 1).all()
        assert found.sum() == 2 * 16


def test_a_map_repeats_and_does_not_depend_on_its_batch() -> None:
    network, x = expert(), images(3)
    for method in SALIENCY:
        together = saliency(network, x, 0, method)
        alone = saliency(network, {name: values[1:2] for name, values in x.items()}, 0, method)
        torch.testing.assert_close(together[1:2], alone)
        torch.testing.assert_close(saliency(network, x, 0, method), together)


def test_drawing_noise_leaves_the_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    saliency(expert("phase"), images(), 0, "smooth_gradient")
    torch.manual_seed(3)
    assert torch.equal(torch.random.get_rng_state(), before)
