"""Every sample is seen once an epoch, by one process."""

from __future__ import annotations

from itertools import chain, pairwise
from types import ModuleType

import pytest
import torch

from knee_i2m2.errors import ConfigError
from knee_i2m2.training.batches import InOrder, Shuffled, loader


def epoch(sampler: Shuffled, number: int = 0) -> list[list[int]]:
    sampler.epoch = number
    return list(sampler)


@pytest.mark.parametrize("size", [1, 4, 7, 9, 20, 21, 100])
@pytest.mark.parametrize("samples", [1, 2, 20, 21])
def test_every_sample_is_seen_once_and_the_length_is_true(samples: int, size: int) -> None:
    for sampler in (Shuffled(samples, size, seed=0), InOrder(samples, size)):
        batches = list(sampler)
        assert len(sampler) == len(batches)
        assert sorted(chain.from_iterable(batches)) == list(range(samples))


@pytest.mark.parametrize("samples", [20, 21, 22])
def test_no_sample_is_left_alone(samples: int) -> None:
    sizes = [len(batch) for batch in Shuffled(samples, 4, seed=0)]
    assert sizes == {20: [4] * 5, 21: [4, 4, 4, 4, 5], 22: [4] * 5 + [2]}[samples]


def test_the_order_is_drawn_from_the_seed_and_the_epoch() -> None:
    assert epoch(Shuffled(20, 4, seed=0), 3) == epoch(Shuffled(20, 4, seed=0), 3)
    drawn = [epoch(Shuffled(20, 4, seed=seed), number) for seed in (0, 1) for number in (0, 1)]
    assert all(a != b for i, a in enumerate(drawn) for b in drawn[:i])


def test_sets_stay_together_in_an_order_of_their_own() -> None:
    sets = [2, 0, 1, 2, 0, 1, 2, 0, 3]
    orders = [list(chain(*epoch(Shuffled(9, 9, seed=0, sets=sets), number))) for number in range(20)]
    for order in orders:
        assert sorted(order) == list(range(9))
        met = [sets[i] for i in order]
        assert [met[i] for i in range(9) if i == 0 or met[i] != met[i - 1]] == list(dict.fromkeys(met))
        assert all(a < b for a, b in pairwise(order) if sets[a] == sets[b])
    assert len({tuple(order) for order in orders}) > 5


def test_without_sets_the_order_is_a_permutation_drawn_by_torch() -> None:
    drawn = torch.randperm(20, generator=torch.Generator().manual_seed(3 * 1_000_003 + 2)).tolist()
    assert list(chain(*epoch(Shuffled(20, 6, seed=3), 2))) == drawn


def test_in_order_means_in_order() -> None:
    assert list(InOrder(7, 3)) == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("world", [2, 3])
def test_the_parts_of_the_processes_are_disjoint_and_together_the_batches_of_one(world: int) -> None:
    samples, size = 24, 4
    parts = [epoch(Shuffled(samples, size, 0, rank, world)) for rank in range(world)]
    whole = epoch(Shuffled(samples, size * world, 0))
    assert [sorted(chain(*step)) for step in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]
    assert sorted(chain(*chain(*parts))) == list(range(samples))


def test_several_processes_take_equally_many_steps_and_leave_an_incomplete_batch_to_another_order() -> None:
    parts = [epoch(Shuffled(23, 5, 0, rank, 2)) for rank in range(2)]
    assert [[len(batch) for batch in part] for part in parts] == [[5, 5], [5, 5]]
    left = [
        set(range(23)) - set(chain(*epoch(Shuffled(23, 5, 0, 0, 2), n), *epoch(Shuffled(23, 5, 0, 1, 2), n)))
        for n in (0, 1)
    ]
    assert [len(samples) for samples in left] == [3, 3]
    assert left[0] != left[1]


def test_fewer_samples_than_a_global_batch_still_make_one_step_for_every_process() -> None:
    parts = [epoch(Shuffled(5, 4, 0, rank, 2)) for rank in range(2)]
    assert [[len(batch) for batch in part] for part in parts] == [[3], [2]]


def test_fewer_samples_than_processes_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="2 samples are too few for 4 processes"):
        Shuffled(2, 4, 0, 0, 4)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_gathers_whole_batches_in_the_order_of_its_sampler(tiny: ModuleType, workers: int) -> None:
    samples, sampler = tiny.Samples(10, 0), Shuffled(10, 4, seed=0)
    loaded = loader(samples, sampler, workers)
    for number in (0, 1):
        loaded.sampler.epoch = number
        batches = list(loaded)
        assert [batch.key.tolist() for batch in batches] == epoch(Shuffled(10, 4, seed=0), number)
        for batch in batches:
            torch.testing.assert_close(batch.x["a"], samples.x["a"][batch.key])
            torch.testing.assert_close(batch.y, samples.y[batch.key])
