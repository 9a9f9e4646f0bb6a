"""The training loop and its prediction counterpart."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.methods.method import Method, overrides
from knee_i2m2.training import checkpoint
from knee_i2m2.training.batches import on_device, refuse_lone
from knee_i2m2.training.runner import seed_all, synchronised
from knee_i2m2.types import Batch, Modalities

__all__ = [
    "Answers",
    "Augment",
    "Epoch",
    "Stage",
    "constant",
    "fit",
    "fit_combiner",
    "predict",
    "warm_cosine",
    "warm_linear",
]

Augment = Callable[[Modalities, torch.Generator], Modalities]
"""What changes a training batch, where it lies, by what it draws from a generator on the CPU."""


def constant(passed: float) -> float:
    """Returns 1."""
    return 1.0


def warm_linear(passed: float) -> float:
    """Returns a factor that rises from 0 to 1 in the first 10 % of a stage and falls to 0, both along straight lines.

    As transformers are fine-tuned since BERT (Devlin et al., 2019).
    """
    return passed / 0.1 if passed < 0.1 else (1 - passed) / 0.9


def warm_cosine(passed: float) -> float:
    """Returns a factor that rises from 0.04 to 1 in the first 30 % of a stage and falls to 0 by half a cosine each.

    After the one-cycle policy (Smith and Topin, 2017), without its momentum cycle.
    """
    if passed < 0.3:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * passed / 0.3)) / 2
    return (1 + math.cos(math.pi * (passed - 0.3) / 0.7)) / 2


class Answers(NamedTuple):
    """What a method said of every sample.

    Attributes:
        logp: Of shape (samples, *targets, classes).
        opinions: Expert -> raw logits of the shape of `logp`.
        bias: What was added to the combined log p.
        y: Truth of shape (samples, *targets).
        key: Positions in the index, of shape (samples,).
    """

    logp: np.ndarray
    opinions: dict[str, np.ndarray]
    bias: np.ndarray
    y: np.ndarray
    key: np.ndarray


@dataclass(frozen=True)
class Epoch:
    """An epoch's mean losses by name, validation score and duration in s."""

    epoch: int
    train: dict[str, float]
    valid: dict[str, float]
    score: float
    seconds: float


@dataclass(frozen=True)
class Stage:
    """How long a stage may train.

    Attributes:
        epochs: At most.
        patience: Epochs without a better validation score after which it stops.
        clip: Greatest norm of the gradient; none if infinite.
        rate: Share of the stage that has passed, in [0, 1] -> factor of the learning rate.
        accumulate: Batches whose mean gradient makes a step.
    """

    epochs: int
    patience: int
    clip: float = math.inf
    rate: Callable[[float], float] = constant
    accumulate: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.patience < 1:
            raise ConfigError(
                f"{self.epochs} epochs with patience {self.patience} train nothing; give at least 1 of each"
            )
        if self.accumulate < 1:
            raise ConfigError(f"a step of {self.accumulate} batches learns nothing; give at least 1")


def fit(
    fabric: Fabric,
    method: Method,
    train: DataLoader,
    valid: DataLoader,
    optimiser: Optimizer,
    score: Callable[[np.ndarray, np.ndarray], float],
    stage: Stage,
    folder: Path,
    seed: int,
    report: Callable[[Epoch], None],
    resume: bool = False,
    augment: Augment | None = None,
) -> list[Epoch]:
    """Trains a method until the validation score stops rising, and leaves it with its best weights.

    Args:
        fabric: Launched.
        method: On any device; it is moved.
        train: Its sampler draws the order from its `epoch`.
        valid: Every sample once.
        optimiser: Over the method's parameters.
        score: (log p, truth) -> the number to raise, such as the mean AUROC.
        stage: How long.
        folder: Holds `last/` and `best/`.
        seed: With the epoch it seeds whatever the networks draw.
        report: Called after each epoch.
        resume: Go on from `last/` if it is there.
        augment: Changes the training batches on the device; its generator is seeded by (seed, epoch, step, process).

    Raises:
        ConfigError: A batch of one sample would be normalised by itself.
        DataError: A loss or the validation score is not a finite number.
    """
    method = synchronised(method, fabric.world_size, fabric.device)
    refuse_lone(method, train.sampler)
    model, optimiser = fabric.setup(method, optimiser)
    model.mark_forward_method("losses")
    history = _resume(method, optimiser, folder) if resume else []
    for epoch in range(len(history), stage.epochs):
        if _stale(history) >= stage.patience:
            break
        history.append(_epoch(fabric, model, train, valid, optimiser, score, stage, epoch, seed, augment))
        if fabric.is_global_zero:
            _keep(method, optimiser, history, folder)
            report(history[-1])
        fabric.barrier()
    checkpoint.load_weights(folder / "best", method)
    return history


def _epoch(fabric, model, train, valid, optimiser, score, stage: Stage, epoch: int, seed: int, augment) -> Epoch:
    """Trains one epoch and judges it on the validation samples."""
    start = time.monotonic()
    seed_all(seed, "epoch", epoch)
    train.sampler.epoch = epoch
    model.train()
    steps = -(-len(train) // stage.accumulate)
    factors = (stage.rate((epoch + step / steps) / stage.epochs) for step in range(steps))
    generators = (_generator(seed, epoch, step) for step in range(steps))
    batches = on_device(fabric.device, train)
    if augment:
        batches = _augmented(batches, augment, (seed, epoch, fabric.global_rank))
    parts = zip(_in_parts(batches, stage.accumulate, len(train)), factors, generators, strict=True)
    stepped = (_step(fabric, model, optimiser, part, stage.clip, *drawn) for part, *drawn in parts)
    trained = _over_processes(fabric, _mean(chain.from_iterable(stepped)))
    model.eval()
    with torch.no_grad():
        validated = _mean(_losses(fabric, model, batch) for batch in on_device(fabric.device, valid))
    _refuse_divergence({**trained, **validated}, epoch)
    if overrides(model.module, "after_epoch"):
        model.module.after_epoch(epoch, trained, validated)
    answers = predict(model.module, valid, fabric.device)
    value = float(score(answers.logp, answers.y))
    if not math.isfinite(value):
        raise DataError("validation", "no target has both classes, so no epoch can be chosen", "use a larger split")
    return Epoch(epoch, trained, validated, value, time.monotonic() - start)


def _in_parts(batches: Iterable[Batch], size: int, count: int) -> Iterator[tuple[int, Iterator[Batch]]]:
    """Yields how many batches make a step, and those batches, which are read one after the other."""
    source = iter(batches)
    for start in range(0, count, size):
        held = min(size, count - start)
        yield held, islice(source, held)


def _step(
    fabric,
    model,
    optimiser,
    part: tuple[int, Iterator[Batch]],
    clip: float,
    factor: float,
    generator: torch.Generator,
) -> list[dict[str, Tensor]]:
    """Takes one optimiser step along the mean gradient, with `factor` times the learning rate; returns the losses."""
    for group in optimiser.param_groups:
        group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
    optimiser.zero_grad(set_to_none=True)
    method = model.module
    losses = _directed(fabric, model, part) if overrides(method, "direction") else _summed(fabric, model, part)
    if overrides(method, "modulate"):
        method.modulate(lambda values: fabric.all_reduce(values, reduce_op="mean"), generator)
    if math.isfinite(clip):
        fabric.clip_gradients(model, optimiser, max_norm=clip, error_if_nonfinite=False)
    optimiser.step()
    return losses


def _summed(fabric, model, part: tuple[int, Iterator[Batch]]) -> list[dict[str, Tensor]]:
    """Adds the gradient of the sum of losses; processes exchange it once."""
    count, batches = part
    values = []
    for n, batch in enumerate(batches, start=1):
        with fabric.no_backward_sync(model, enabled=n < count):
            losses = _losses(fabric, model, batch)
            fabric.backward(sum(losses.values()) / count)
        values.append({name: loss.detach() for name, loss in losses.items()})
    return values


def _directed(fabric, model, part: tuple[int, Iterator[Batch]]) -> list[dict[str, Tensor]]:
    """Adds the direction that the method makes of one gradient per loss; processes exchange these once."""
    count, batches = part
    parameters = {name: p for name, p in model.module.named_parameters() if p.requires_grad}
    total: dict[str, Tensor] = {}
    values = []
    for batch in batches:
        with fabric.no_backward_sync(model):
            losses = _losses(fabric, model, batch)
            for name, loss in losses.items():
                flat = _flat_gradient(loss / count, list(parameters.values()))
                total[name] = total[name] + flat if name in total else flat
        values.append({name: loss.detach() for name, loss in losses.items()})
    stack = fabric.all_reduce(torch.stack(list(total.values())), reduce_op="mean")
    direction = model.module.direction(dict(zip(total, (_named(row, parameters) for row in stack), strict=True)))
    for name, gradient in direction.items():
        parameter = parameters[name]
        parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad + gradient
    return values


def _flat_gradient(loss: Tensor, parameters: list[Tensor]) -> Tensor:
    """Returns the gradient of a loss along all parameters, in one row; 0 where the loss does not depend."""
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    pairs = zip(gradients, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def _named(row: Tensor, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns a row of gradients by parameter."""
    parts = row.split([p.numel() for p in parameters.values()])
    return {name: part.view_as(p) for part, (name, p) in zip(parts, parameters.items(), strict=True)}


def _generator(*names: int) -> torch.Generator:
    """Returns a generator on the CPU, seeded alike in all processes."""
    (state,) = np.random.SeedSequence(names).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state))


def _over_processes(fabric: Fabric, losses: dict[str, float]) -> dict[str, float]:
    """Returns the mean losses of all processes, each of which saw its part of the batches."""
    if fabric.world_size == 1:
        return losses
    means = fabric.all_reduce(torch.tensor(list(losses.values()), dtype=torch.float64), reduce_op="mean")
    return dict(zip(losses, means.tolist(), strict=True))


def _losses(fabric: Fabric, model, batch: Batch) -> dict[str, Tensor]:
    """Returns the losses in the precision asked for, which Fabric itself sees to in `forward` alone."""
    with fabric.autocast():
        return dict(model.losses(batch.x, batch.y))


def _refuse_divergence(losses: dict[str, float], epoch: int) -> None:
    for name, loss in losses.items():
        if not math.isfinite(loss):
            reason = f"the {name} loss is {loss} in epoch {epoch}"
            raise DataError("training", reason, "lower the learning rate, or look for values that are not finite")


def _mean(losses: Iterable[dict[str, Tensor]]) -> dict[str, float]:
    """Returns the mean of each loss over the batches."""
    batches = list(losses)
    return {name: float(torch.stack([losses[name] for losses in batches]).mean()) for name in batches[0]}


def fit_combiner(fabric: Fabric, method: Method, valid: DataLoader, folder: Path) -> None:
    """Fits the method's combiner on validation, where it has one to fit, and keeps it in `best/`.

    Args:
        fabric: Launched.
        method: With its best weights.
        valid: Every validation sample once.
        folder: Holds `best/`.
    """
    if not overrides(method, "fit_combiner"):
        return
    answers = predict(method.to(fabric.device), valid, fabric.device)
    opinions = {name: torch.from_numpy(logits) for name, logits in answers.opinions.items()}
    method.cpu().fit_combiner(opinions, torch.from_numpy(answers.y))
    if fabric.is_global_zero:
        state = checkpoint.load_state(folder / "best") if checkpoint.exists(folder / "best") else {}
        checkpoint.save(folder / "best", method, state)
    fabric.barrier()


@torch.no_grad()
def predict(method: Method, batches: Iterable[Batch], device: torch.device | str = "cpu") -> Answers:
    """Returns what `method`, on `device`, answers to every sample; its mode is left as evaluation."""
    method.eval()
    parts = [_answer(method, batch) for batch in on_device(device, batches)]
    opinions = {name: np.concatenate([p.opinions[name] for p in parts]) for name in parts[0].opinions}
    logp, y, key = (np.concatenate([getattr(p, name) for p in parts]) for name in ("logp", "y", "key"))
    return Answers(logp, opinions, parts[0].bias, y, key)


def _answer(method: Method, batch: Batch) -> Answers:
    opinions = {name: logits.double() for name, logits in method.opinions(batch.x).items()}
    logp, bias = method.answer(opinions), method.bias(opinions)
    said = {name: _numpy(logits) for name, logits in opinions.items()}
    return Answers(_numpy(logp), said, _numpy(bias), _numpy(batch.y), _numpy(batch.key))


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _augmented(batches: Iterable[Batch], augment: Augment, names: tuple[int, ...]) -> Iterator[Batch]:
    """Yields each batch as drawn from a generator of its own, so that any epoch can be repeated by itself."""
    for step, batch in enumerate(batches):
        yield batch._replace(x=augment(batch.x, _generator(*names, step)))


def _best(history: list[Epoch]) -> int:
    return max(range(len(history)), key=lambda i: (history[i].score, -i))


def _stale(history: list[Epoch]) -> int:
    """Returns how many epochs have passed since the best one."""
    return len(history) - 1 - _best(history) if history else 0


def _keep(method: Method, optimiser: Optimizer, history: list[Epoch], folder: Path) -> None:
    """Writes `last`, and `best` if this epoch is."""
    state = {"optimiser": optimiser.state_dict(), "history": [vars(epoch) for epoch in history]}
    if _stale(history) == 0:
        checkpoint.save(folder / "best", method, state)
    checkpoint.save(folder / "last", method, state)


def _resume(method: Method, optimiser: Optimizer, folder: Path) -> list[Epoch]:
    """Returns the epochs that `last` has seen, after loading it; none if there is none."""
    if not checkpoint.exists(folder / "last"):
        return []
    checkpoint.load_weights(folder / "last", method)
    state = checkpoint.load_state(folder / "last")
    optimiser.load_state_dict(state["optimiser"])
    return [Epoch(**epoch) for epoch in state["history"]]
