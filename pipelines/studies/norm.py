"""Group against batch normalisation: a ResNet-18 as the knee's joint expert on a phantom.

Command: `make study-norm`, which makes a phantom whose lesions are three times as strong as the demo's, prepares it and
runs `python -m pipelines.studies.norm build/norm/data`.

Both norms start from the same convolutions and see the same slices in the same order: AdamW at a peak of 1e-3 with
decay 0.01, batches of 32; weights of the last epoch, so that nothing is chosen on validation. Cost on one CPU thread:
half a minute a run at a quarter of ResNet-18's channels, the default; 20 minutes a run with all channels on the data of
`knee-i2m2 demo` (`--width 1 --epochs 12`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from knee_i2m2.data.prepared import Prepared
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.experts.knee import renormalised, resnet18
from knee_i2m2.methods.method import class_weights, cross_entropy
from knee_i2m2.modalities.magnitude_phase import cos_sin
from knee_i2m2.training.batches import Shuffled
from knee_i2m2.training.fit import warm_cosine
from knee_i2m2.training.runner import seed_all
from knee_i2m2.types import Batch

BATCH_SIZE, LR, WEIGHT_DECAY = 32, 1e-3, 0.01


def norms(width: float) -> dict[str, Callable[[int], nn.Module]]:
    """Returns what makes a normalisation layer for so many channels; a group has as many at every width."""
    return {"group": partial(nn.GroupNorm, int(32 * width)), "batch": nn.BatchNorm2d}


def logits(network: nn.Module, batch: Batch) -> Tensor:
    """Returns logits of shape (batch, targets, 2) from magnitude, cosine and sine."""
    images = torch.cat([batch.x["magnitude"], cos_sin(batch.x["phase"])], dim=1)
    return network(images).unflatten(-1, (-1, 2))


def trained(norm: str, seed: int, epochs: int, width: float, samples: Prepared) -> nn.Module:
    """Returns the network after `epochs` over the training slices."""
    seed_all(seed, "weights")
    network = resnet18(3, 2 * len(samples.task.targets), samples.matrix, width)
    network = renormalised(network, norms(width)[norm])
    optimiser = AdamW(network.parameters(), LR, weight_decay=WEIGHT_DECAY)
    sampler, weights = Shuffled(len(samples), BATCH_SIZE, seed), class_weights(samples.y, 2)
    for epoch in range(epochs):
        sampler.epoch = epoch
        for step, batch in enumerate(samples[positions] for positions in sampler):
            optimiser.param_groups[0]["lr"] = LR * warm_cosine((epoch + step / len(sampler)) / epochs)
            optimiser.zero_grad()
            cross_entropy(logits(network, batch).log_softmax(-1), batch.y, weights).backward()
            optimiser.step()
    return network.eval()


@torch.no_grad()
def areas(network: nn.Module, samples: Prepared) -> list[float]:
    """Returns the AUROC of every target."""
    batches = (samples[positions.tolist()] for positions in torch.arange(len(samples)).split(128))
    answers = torch.cat([logits(network, batch) for batch in batches])
    log_odds = (answers[..., 1] - answers[..., 0]).numpy()
    return [auroc(truth, scores) for truth, scores in zip(samples.y.numpy().T, log_odds.T, strict=True)]


def rows(data: Path, seeds: list[int], epochs: int, width: float) -> Iterator[dict[str, object]]:
    """Yields a row for each seed, norm and target; a seed's two norms follow each other."""
    train, *held_out = (Prepared.open(data, split) for split in ("train", "val", "test"))
    for seed, norm in ((seed, norm) for seed in seeds for norm in norms(width)):
        start = time.process_time()
        network = trained(norm, seed, epochs, width, train)
        seconds = round(time.process_time() - start)
        values = zip(*(areas(network, samples) for samples in held_out), strict=True)
        for target, (val, test) in zip(train.task.targets, values, strict=True):
            run = {"norm": norm, "width": width, "epochs": epochs, "seed": seed, "target": target}
            yield {**run, "val_auroc": round(val, 4), "test_auroc": round(test, 4), "seconds": seconds}


def main() -> None:
    """Writes the table as far as it has got, after every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared knee data")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "norm.csv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--width", type=float, default=0.25, help="share of ResNet-18's channels")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = []
    for row in rows(options.data, options.seeds, options.epochs, options.width):
        table.append(row)
        pd.DataFrame(table).to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
