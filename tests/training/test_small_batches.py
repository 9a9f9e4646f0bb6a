"""A batch of one, few samples or a last sample alone: a training works, or it ends in one sentence beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from knee_i2m2.data.samples import Samples
from knee_i2m2.errors import ConfigError
from knee_i2m2.methods import METHODS
from knee_i2m2.training.batches import Shuffled
from knee_i2m2.training.learn import fit, predict, rival

METHOD_NAMES = tuple(sorted(set(METHODS) - {"likelihood", "separate_likelihoods"}))
ALONE = "would hold one sample, and this network's batch normalisation needs two or more; give a larger batch size"


def samples(count: int, shape: tuple[int, ...]) -> Samples:
    random = np.random.default_rng(count)
    x = {name: random.normal(size=(count, *shape)).astype(np.float32) for name in ("image", "phase")}
    return Samples(x, np.arange(count)[:, None] % 2, np.arange(count), ("target",))


def finite(name: str, count: int, batch_size: int, shape: tuple[int, ...], networks=None) -> bool:
    """Returns whether a model of this rival, trained for one epoch and judged by one sample, answers with numbers."""
    train, val = samples(count, shape), samples(1, shape)
    model = fit(rival(name, train, networks), train, val, 1, batch_size=batch_size, device="cpu")
    return bool(np.isfinite(predict(model, samples(3, shape)).logp).all())


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 4, 7, 20])
@pytest.mark.parametrize("count", [3, 4, 5, 20, 21, 22])
def test_the_fewest_samples_of_a_batch_are_those_of_the_smallest_one(count: int, size: int, world: int) -> None:
    parts = [Shuffled(count, size, 0, rank, world) for rank in range(world)]
    smallest = min(len(batch) for part in parts for batch in part)
    assert {part.fewest for part in parts} == {smallest}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", ["image", "intra", "inter", "inter3", "frozen", "i2m2", *METHOD_NAMES])
def test_every_rival_learns_from_few_vectors_in_batches_of_two(name: str, count: int) -> None:
    assert finite(name, count, 2, (4,))


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 32, 32)])
@pytest.mark.parametrize("name", ["i2m2", *METHOD_NAMES])
def test_every_method_learns_from_three_small_images_in_batches_of_two(name: str, shape: tuple[int, ...]) -> None:
    assert finite(name, 3, 2, shape)


@pytest.mark.parametrize(("count", "batch_size"), [(1, 4), (3, 1)])
@pytest.mark.parametrize("shape", [(4,), (1, 8, 8), (1, 32, 32)])
@pytest.mark.parametrize("name", ["image", "i2m2", *METHOD_NAMES])
def test_one_sample_that_would_be_normalised_by_itself_is_refused(
    name: str, shape: tuple[int, ...], count: int, batch_size: int
) -> None:
    with pytest.raises(ConfigError, match=ALONE):
        finite(name, count, batch_size, shape)


@pytest.mark.parametrize(("count", "batch_size"), [(1, 4), (3, 1)])
def test_networks_without_batch_normalisation_learn_from_one_sample(count: int, batch_size: int) -> None:
    def network(expert: str) -> nn.Module:
        return nn.Bilinear(4, 4, 2) if "+" in expert else nn.Linear(4, 2)

    assert finite("i2m2", count, batch_size, (4,), network)


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_batch_of_none_is_refused(batch_size: int) -> None:
    with pytest.raises(ConfigError, match=f"a batch of {batch_size} samples trains nothing; give at least 1"):
        finite("image", 3, batch_size, (4,))
