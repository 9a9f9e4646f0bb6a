"""Shuffled and ordered batches of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Sampler

from knee_i2m2.errors import ConfigError, KneeError
from knee_i2m2.types import Batch

__all__ = ["InOrder", "Samples", "Shuffled", "loader", "on_device", "refuse_lone"]


@runtime_checkable
class Samples(Protocol):
    """Something that gathers samples by their positions."""

    def __len__(self) -> int:
        """Returns the number of samples."""

    def __getitem__(self, positions: list[int]) -> Batch:
        """Returns the samples at `positions`."""


class Shuffled(Sampler[list[int]]):
    """Every sample once an epoch, in an order drawn from (seed, epoch), so that an epoch can be repeated.

    A last sample that would be alone joins the batch before it: batch normalisation needs two. Under several processes
    each takes its part of every global batch; an incomplete last one, which would leave some of them without work, is
    then left to the next epoch's order.

    Args:
        samples: How many there are.
        batch_size: Samples a batch and process.
        seed: Of the orders.
        rank: Which process this is.
        world: How many processes there are.
        sets: Per sample the set that it is of; sets are shuffled, the samples of one follow each other.

    Attributes:
        epoch: The epoch that the next iteration draws.

    Raises:
        ConfigError: There are fewer samples than processes, or a batch holds none.
    """

    def __init__(
        self, samples: int, batch_size: int, seed: int, rank: int = 0, world: int = 1, sets: Sequence[int] | None = None
    ) -> None:
        self.samples, self.batch_size, self.seed = samples, batch_size, seed
        self.rank, self.world = rank, world
        self.sets = torch.arange(samples) if sets is None else torch.as_tensor(sets)
        self.epoch = 0
        if samples < world:
            raise ConfigError(f"{samples} samples are too few for {world} processes; start fewer")
        if batch_size < 1:
            raise ConfigError(f"a batch of {batch_size} samples trains nothing; give at least 1")

    @property
    def fewest(self) -> int:
        """Samples in the smallest batch of any process."""
        stride, batches = self.batch_size * self.world, len(self)
        last = self.samples - (batches - 1) * stride
        return last if batches == self.world == 1 else min(last // self.world, self.batch_size)

    def __len__(self) -> int:
        whole, rest = divmod(self.samples, self.batch_size * self.world)
        return max(whole + (rest > 1 and self.world == 1), 1)

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        stride, last = self.batch_size * self.world, len(self) - 1
        for i in range(last + 1):
            stop = None if i == last and self.world == 1 else (i + 1) * stride
            yield order[i * stride : stop][self.rank :: self.world]

    def _order(self) -> list[int]:
        """Returns this epoch's order: shuffled sets, each in its own order."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        place = torch.randperm(int(self.sets.max()) + 1, generator=generator).argsort()
        return place[self.sets].argsort(stable=True).tolist()


def refuse_lone(network: nn.Module, batches: Shuffled) -> None:
    """Raises ConfigError for a batch of one in a network that normalises over the batch: one value has no spread.

    Batch normalisation that all processes share sees the samples of all of them.
    """
    apart = (module for module in network.modules() if not isinstance(module, nn.SyncBatchNorm))
    if batches.fewest < 2 and any(isinstance(module, _BatchNorm) for module in apart):
        reason = "a training batch would hold one sample, and this network's batch normalisation needs two or more"
        raise ConfigError(f"{reason}; give a larger batch size, more training samples, or a network without it")


class InOrder(Sampler[list[int]]):
    """Every sample once, in order: nothing is padded or repeated."""

    def __init__(self, samples: int, batch_size: int) -> None:
        self.samples, self.batch_size = samples, batch_size

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, self.samples, self.batch_size):
            yield list(range(start, min(start + self.batch_size, self.samples)))


class _Quoted:
    """Samples that return an error that is the user's as a value: raised in a worker it would arrive as another one."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, positions: list[int]) -> Batch | KneeError:
        try:
            return self.samples[positions]
        except KneeError as error:
            return error


def on_device(device: torch.device | str, batches: Iterable[Batch | KneeError]) -> Iterator[Batch]:
    """Yields the batches on the device, half floats as float32 there: half the bytes travel.

    Raises:
        KneeError: What a worker of the loader met.
    """
    for batch in batches:
        if isinstance(batch, KneeError):
            raise batch
        x = {name: _single(values.to(device, non_blocking=True)) for name, values in batch.x.items()}
        yield Batch(x, batch.y.to(device, non_blocking=True), batch.key)


def _single(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def loader(samples: Samples, sampler: Sampler[list[int]], workers: int = 0, pin: bool = False) -> DataLoader:
    """Returns a loader of whole batches, to be read through `on_device`; workers live as long as the loader."""
    return DataLoader(
        _Quoted(samples) if workers else samples,
        sampler=sampler,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
    )
