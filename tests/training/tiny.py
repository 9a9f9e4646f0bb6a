"""The smallest problem that a product can learn: two targets, each told by one of two modalities."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from knee_i2m2.experts.experts import Stacked
from knee_i2m2.training.batches import InOrder, Shuffled, loader
from knee_i2m2.training.fit import Epoch, Stage, fit, warm_cosine
from knee_i2m2.training.rivals import assemble
from knee_i2m2.types import Rival, modalities_of

PRODUCT = Rival(("a", "b", "a+b"), warm=True)


class Samples:
    """Noisy numbers whose signs are the labels."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x = {name: torch.randn(count, 3, generator=generator) for name in ("a", "b")}
        signal = torch.stack([self.x["a"][:, 0], self.x["b"][:, 0]], dim=-1)
        self.y = (signal + 0.3 * torch.randn(count, 2, generator=generator) > 0).long()

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, positions: list[int]):
        from knee_i2m2.types import Batch

        return Batch({name: v[positions] for name, v in self.x.items()}, self.y[positions], torch.tensor(positions))


def expert(name: str, random: bool = True) -> nn.Module:
    """A perceptron; `random` adds what a resumed training could get wrong: buffers and random draws."""
    width = 3 * len(modalities_of(name))
    middle = [nn.BatchNorm1d(8), nn.Dropout(0.3)] if random else []
    perceptron = nn.Sequential(nn.Linear(width, 8), nn.Tanh(), *middle, nn.Linear(8, 4))
    return Stacked({m: nn.Identity() for m in modalities_of(name)}, perceptron, (2, 2))


def accuracy(logp: np.ndarray, truth: np.ndarray) -> float:
    return float((logp.argmax(-1) == truth).mean())


def product(seed: int = 0, random: bool = True):
    return assemble(PRODUCT, lambda name: expert(name, random), torch.ones(2, 2), seed)


def on_cpu(**options) -> Fabric:
    fabric = Fabric(accelerator="cpu", devices=1, **options)
    fabric.launch()
    return fabric


def learn(
    folder: Path, method=None, *, epochs=4, patience=9, seed=0, resume=False, clip=math.inf, rate=warm_cosine,
    lr=0.05, score=accuracy, report=lambda epoch: None, fabric=None, batch_size=8, samples=33,
    optimiser=torch.optim.AdamW, augment=None, accumulate=1,
):  # fmt: skip
    """Returns a product after its training, and the epochs."""
    method, fabric = method or product(seed), fabric or on_cpu()
    sampler = Shuffled(samples, batch_size, seed, fabric.global_rank, fabric.world_size)
    train, valid = Samples(samples, 1), Samples(20, 2)
    history = fit(
        fabric,
        method,
        loader(train, sampler),
        loader(valid, InOrder(len(valid), 8)),
        optimiser(method.parameters(), lr=lr),
        score,
        Stage(epochs, patience, clip, rate, accumulate),
        folder,
        seed,
        report,
        resume,
        augment,
    )
    return method, history


def state(method: nn.Module) -> dict[str, Tensor]:
    return {name: values.detach().clone() for name, values in method.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two states are equal to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def timeless(history: list[Epoch]) -> list[dict]:
    return [{key: value for key, value in vars(epoch).items() if key != "seconds"} for epoch in history]
