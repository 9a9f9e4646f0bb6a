"""What the recipes share: the training of a task's rivals inside a run folder, and their prediction files."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader
from torch.utils.flop_counter import flop_registry

from knee_i2m2 import predictions
from knee_i2m2.clusters import ClusterRecord
from knee_i2m2.data.derived import Without
from knee_i2m2.data.prepared import Compute, Prepared, described_by, read_data
from knee_i2m2.data.splits import SPLITS
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.experts.experts import Experts
from knee_i2m2.methods.method import Loss, Method, cross_entropy, overrides
from knee_i2m2.training import checkpoint
from knee_i2m2.training.batches import InOrder, Samples, Shuffled, loader, on_device
from knee_i2m2.training.fit import Answers, Augment, Epoch, Stage, fit, fit_combiner, predict
from knee_i2m2.training.folder import RunFolder
from knee_i2m2.training.rivals import learning, order, single, trained_together, warm_start
from knee_i2m2.types import Progress, Rival, Task, silent

__all__ = [
    "Asked",
    "Budget",
    "Session",
    "in_order",
    "open_run",
    "open_samples",
    "options",
    "prediction_table",
]

_LOG = logging.getLogger(__name__)


def open_samples(data: Path, task: str, compute: Compute | None = None) -> dict[str, Prepared]:
    """Returns the samples of every split.

    Args:
        data: Prepared folder.
        task: The task that it must be of.
        compute: Makes the array where the folder stores none.

    Raises:
        ConfigError: The data were prepared for another task.
        DataError: The prepared data are missing or damaged, or their clusters are not those that `prepare` recorded.
    """
    if read_data(data)["task"] != task:
        hint = f"give --data the folder that `knee-i2m2 prepare {task}` wrote"
        raise ConfigError(f"{data}: holds the data of task {read_data(data)['task']}; {hint}")
    if (record := ClusterRecord.read(data)) is None:
        raise DataError(data, "does not record who is in which split", f"run `knee-i2m2 prepare {task}` again")
    samples = {split: Prepared.open(data, split, compute) for split in SPLITS}
    for split, part in samples.items():
        record.refuse_other(split, part.clusters, data / "index.parquet")
    return samples


def options(config: Any) -> dict[str, Any]:
    """Returns a configuration as plain values for `config.yaml`."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(config).items()}


def open_run(config: Any) -> RunFolder:
    """Returns the run folder of a configuration; what an older run does not name was the default.

    Raises:
        ConfigError: The folder was made otherwise, or is no run folder.
    """
    optional = [f for f in fields(config) if f.default is not MISSING or f.default_factory is not MISSING]
    defaults = {f.name: f.default if f.default is not MISSING else f.default_factory() for f in optional}
    run = RunFolder.open(config.out, options(config), read_data(config.data), defaults)
    if record := ClusterRecord.read(config.data):
        record.write(run.path)
    return run


@runtime_checkable
class Asked(Samples, Protocol):
    """Samples that know who they are and what is asked of them."""

    @property
    def index(self) -> pd.DataFrame:
        """One row a sample."""

    @property
    def task(self) -> Task:
        """What is asked."""


@dataclass(frozen=True)
class Budget:
    """How a rival is trained.

    Attributes:
        stage: How long.
        optimiser: Parameters, or groups of them -> optimiser.
        groups: Method -> parameters, or groups of them.
    """

    stage: Stage
    optimiser: Callable[[Any], Optimizer]
    groups: Callable[[Method], Any] = nn.Module.parameters


@dataclass(frozen=True)
class Session:
    """The training of rivals on one machine, or on one of several processes.

    Attributes:
        fabric: Launched.
        run: Where everything is written.
        samples: Split -> samples with their index and task.
        rivals: All rivals of the task by name.
        experts: (rival, seed) -> its experts with fresh networks.
        weights: Class weights of the loss, of shape (*targets, classes).
        score: (log p, truth) -> validation score, higher is better.
        budgets: Rival, or expert that a product starts from -> how it is trained.
        batch_size: Samples a step and process.
        workers: Processes that read data.
        resume: Whether to go on with an interrupted training.
        augment: What changes the training batches, on the device.
        together: Column of the index whose equal values follow each other in training.
        loss: What is minimised.
        drop: Modalities without each of which every rival that can also answers, as a further row.
    """

    fabric: Fabric
    run: RunFolder
    samples: Mapping[str, Asked]
    rivals: Mapping[str, Rival]
    experts: Callable[[Rival, int], Experts]
    weights: torch.Tensor
    score: Callable[[np.ndarray, np.ndarray], float]
    budgets: Mapping[str, Budget]
    batch_size: int
    workers: int
    resume: bool
    augment: Augment | None = None
    together: str | None = None
    loss: Loss = cross_entropy
    drop: Sequence[str] = ()

    def train(self, wanted: list[str], seeds: list[int], progress: Progress = silent) -> None:
        """Trains what is not finished, single experts before the products that start from them; writes predictions."""
        ordered = order(wanted, self.rivals)
        pending = [(name, rival, seed) for seed in seeds for name, rival in ordered.items()]
        if self.fabric.is_global_zero and (more := [name for name in ordered if name not in wanted]):
            _LOG.warning("also trained, because a product starts from it: %s", ", ".join(more))
        for number, (name, rival, seed) in enumerate(pending, 1):
            method = learning(rival, self.experts(rival, seed), self.weights, self.loss)
            if not self.run.finished(name, seed):
                watch = _watched(self.run, name, seed, progress, f"[{number}/{len(pending)}] {name}, seed {seed}")
                self._fit(method, name, rival, seed, watch)
            if name in wanted and self.fabric.is_global_zero:
                self._write_predictions(method, name, rival, seed, self.samples)
                self._write_without(method, name, rival, seed)

    def _fit(self, method: Method, name: str, rival: Rival, seed: int, watch: Callable[[Epoch, int], None]) -> None:
        """Trains one rival and logs its closing record."""
        start, folder = time.monotonic(), self.run.checkpoints(name, seed)
        _refuse_unfinished(folder, self.resume)
        for split in SPLITS[1:] if self.fabric.is_global_zero else ():  # an earlier training's are not this one's
            self.run.predictions(name, seed, split).unlink(missing_ok=True)
        if rival.warm:
            warm_start(method, {e: self.run.checkpoints(single(e, self.rivals), seed) / "best" for e in rival.experts})
        together = trained_together(rival)
        history, steps = self._learn(method, name, folder, seed, watch) if together else ([], 0)
        if not together and self.fabric.is_global_zero:
            checkpoint.save(folder / "best", method, {})
        self.fabric.barrier()
        fit_combiner(self.fabric, method, in_order(self.samples["val"], self.batch_size, self.workers), folder)
        if self.fabric.is_global_zero:
            train = self.samples["train"]
            learnt = training_flops(method, train) * len(train) * len(history) if history else 0
            cost = {**cost_of(method, train), "training_flops": learnt, "seconds": round(time.monotonic() - start, 1)}
            self.run.log(rival=name, seed=seed, finished=True, **self._spent(rival, seed, history, steps), **cost)
            self.run.tell(f"{name} seed {seed} finished after {len(history)} epochs")

    def _learn(self, method: Method, name: str, folder: Path, seed: int, watch) -> tuple[list[Epoch], int]:
        """Returns the epochs and the optimiser steps in each."""
        budget = self.budgets[name]
        train, valid = self._shuffled(seed), in_order(self.samples["val"], self.batch_size, self.workers)
        history = fit(
            self.fabric,
            method,
            train,
            valid,
            budget.optimiser(budget.groups(method)),
            self.score,
            budget.stage,
            folder,
            seed,
            lambda epoch: watch(epoch, budget.stage.epochs),
            self.resume,
            self.augment,
        )
        return history, len(train)

    def _spent(self, rival: Rival, seed: int, history: list[Epoch], steps: int) -> dict[str, int | None]:
        """Returns epochs, and updates including those of the experts that a product started from."""
        alone = [single(expert, self.rivals) for expert in rival.experts] if rival.warm else []
        before = [self.run.finished(name, seed) for name in alone]
        best = max(history, key=lambda epoch: (epoch.score, -epoch.epoch), default=None)
        return {
            "epochs": len(history),
            "best_epoch": best.epoch if best else None,
            "updates": steps * len(history) + sum(record["updates"] for record in before),
        }

    def _shuffled(self, seed: int) -> DataLoader:
        """Returns this process's part of the training batches."""
        fabric, samples = self.fabric, self.samples["train"]
        sets = pd.factorize(samples.index[self.together])[0].tolist() if self.together else None
        sampler = Shuffled(len(samples), self.batch_size, seed, fabric.global_rank, fabric.world_size, sets)
        return loader(samples, sampler, self.workers, pin=fabric.device.type == "cuda")

    def _write_predictions(
        self, method: Method, name: str, rival: Rival, seed: int, samples: Mapping[str, Asked], suffix: str = ""
    ) -> None:
        """Writes val and test from the best weights, where they are missing."""
        files = {split: self.run.predictions(name + suffix, seed, split) for split in SPLITS[1:]}
        missing = [split for split, file in files.items() if not file.is_file()]
        if missing:
            checkpoint.load_weights(self.run.checkpoints(name, seed) / "best", method)
            method.to(self.fabric.device)
        for split in missing:
            batches = in_order(samples[split], self.batch_size, self.workers)
            answers = predict(method, batches, self.fabric.device)
            experts = tuple(answers.opinions)
            said = Rival(experts, rival.method + suffix, rival.combiner, rival.warm and len(experts) > 1)
            table = prediction_table(answers, samples[split], said if suffix else rival)
            predictions.write(table, files[split])

    def _write_without(self, method: Method, name: str, rival: Rival, seed: int) -> None:
        """Writes what the rival answers without each of the modalities to drop, or that it cannot."""
        for modality in self.drop:
            if not any(modality in needs for needs in method.experts.sees.values()):
                continue
            samples = {split: Without(self.samples[split], modality) for split in SPLITS[1:]}
            try:
                method.experts.able(samples[SPLITS[1]][[0]].x)
            except ValueError as error:
                _LOG.warning("%s has no row without %s: %s", name, modality, error)
                continue
            self._write_predictions(method, name, rival, seed, samples, f" without {modality}")


def in_order(samples: Samples, batch_size: int, workers: int = 0) -> DataLoader:
    """Returns all samples in order, in batches four times as large: no gradients need memory."""
    return loader(samples, InOrder(len(samples), 4 * batch_size), workers)


def prediction_table(answers: Answers, samples: Asked, rival: Rival) -> pd.DataFrame:
    """Returns the table of a rival's answers to the samples, with every subgroup column that these have."""
    index = samples.index.iloc[answers.key]
    index = index[described_by(index, samples.task.targets)]
    values = (answers.y, answers.logp, answers.opinions, answers.bias)
    return predictions.table(index, samples.task.targets, *values, rival)


def cost_of(method: Method, samples: Samples) -> dict[str, int]:
    """Returns a method's parameters, and the floating-point operations of its answer to one sample."""
    counter, (batch,) = _Operations(), on_device("cpu", [samples[[0]]])
    with counter, torch.no_grad():
        copy.deepcopy(method).cpu().eval()(batch.x)
    parameters = sum(parameter.numel() for parameter in method.parameters())
    return {"parameters": parameters, "flops": counter.flops}


def training_flops(method: Method, samples: Samples) -> int:
    """Returns the floating-point operations of learning from one sample: its losses and their gradients."""
    counter, (batch,) = _Operations(), on_device("cpu", [samples[[0, min(1, len(samples) - 1)]]])
    copied = copy.deepcopy(method).cpu().train()
    with torch.random.fork_rng(), counter:
        losses = [*copied.losses(batch.x, batch.y).values()]
        for loss in losses if overrides(method, "direction") else [sum(losses)]:
            loss.backward(retain_graph=True)
    return counter.flops // len(batch.y)


class _Operations(TorchDispatchMode):
    """Counts floating-point operations, also of gradients taken inside a loss, which torch's counter cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if formula := flop_registry.get(operation._overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def _refuse_unfinished(folder: Path, resume: bool) -> None:
    if checkpoint.exists(folder / "last") and not resume:
        raise ConfigError(f"{folder} holds an unfinished training; add --resume to go on, or choose another --out")


def _watched(run: RunFolder, name: str, seed: int, progress: Progress, title: str) -> Callable[[Epoch, int], None]:
    """Returns what logs an epoch and reports it, given the epoch and the most there may be."""
    progress(title, 0, None)

    def watch(epoch: Epoch, epochs: int) -> None:
        record = {"losses": {"train": epoch.train, "valid": epoch.valid}, "score": epoch.score}
        run.log(rival=name, seed=seed, epoch=epoch.epoch, **record, seconds=round(epoch.seconds, 2))
        progress(title, epoch.epoch + 1, epochs, f": validation {epoch.score:.3f}")

    return watch
