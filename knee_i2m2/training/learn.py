"""Training and prediction without a run folder: a rival on samples in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import nn
from torch.optim import AdamW

from knee_i2m2.errors import ConfigError, suggestion
from knee_i2m2.experts.by_shape import Positional, expert_by_shape, shared_by_shape
from knee_i2m2.experts.experts import Experts
from knee_i2m2.experts.shared import Shared
from knee_i2m2.methods import METHODS
from knee_i2m2.methods.method import TARGET_LOSSES, Loss, Method, class_weights
from knee_i2m2.training.batches import Shuffled, loader
from knee_i2m2.training.fit import Answers, Epoch, Stage, fit_combiner, warm_cosine
from knee_i2m2.training.fit import fit as train_stage
from knee_i2m2.training.fit import predict as answers_of
from knee_i2m2.training.rivals import learning, method_rivals, separate, standard_rivals, trained_together, warm_start
from knee_i2m2.training.runner import launch, seed_all
from knee_i2m2.training.session import Asked, in_order
from knee_i2m2.types import Progress, Rival, Task, silent

__all__ = ["Plan", "Predicted", "fit", "log_likelihood", "predict", "rival"]


@dataclass(frozen=True)
class Plan:
    """A rival, and what makes its experts.

    Attributes:
        rival: Its identity.
        experts: (rival, seed) -> experts with fresh networks.
    """

    rival: Rival
    experts: Callable[[Rival, int], Experts]


@dataclass(frozen=True)
class Predicted:
    """A model's answers to samples.

    Attributes:
        task: What was asked.
        logp: Log-probabilities, of shape (samples, *targets, classes).
        logits: Expert -> raw logits of the shape of `logp`.
        bias: What is added to the combined log p.
    """

    task: Task
    logp: np.ndarray
    logits: Mapping[str, np.ndarray]
    bias: np.ndarray

    def log_odds(self, target: str) -> Float[np.ndarray, " samples"]:
        """Returns log p(1) - log p(0) of a target.

        Raises:
            ConfigError: There is no such target, or it has more than two classes.
        """
        if target not in self.task.targets:
            raise ConfigError(f"there is no target {target}; {suggestion(target, self.task.targets)}")
        if self.task.classes != 2:
            raise ConfigError(f"{target} has {self.task.classes} classes and no log-odds; use .logp")
        logp = self.logp.reshape(len(self.logp), len(self.task.targets), 2)[:, self.task.targets.index(target)]
        return logp[:, 1] - logp[:, 0]


def rival(
    name: str | Rival, samples: Asked, networks: Mapping[str, nn.Module] | Callable[[str], nn.Module] | None = None
) -> Plan:
    """Returns a rival of these samples' modalities.

    Args:
        name: A modality, intra, inter, i2m2, a control (intra2, inter3, inter_tuned, frozen, position), a method such
            as ogm_ge, or an identity.
        samples: Their shapes choose the networks.
        networks: Expert -> network, whose arguments are the modalities in the order of the expert's name. A function
            makes fresh ones; of modules copies are trained.

    Raises:
        ConfigError: There is no such rival, or no network for its modalities.
    """
    shapes = {modality: tuple(values.shape[1:]) for modality, values in samples[[0]].x.items()}
    identity = name if isinstance(name, Rival) else _identity(name, shapes)
    answers = samples.task.answers
    if networks is not None:
        return Plan(identity, partial(separate, partial(_given, networks, answers)))
    if METHODS[identity.method].shared:
        return Plan(identity, partial(_shared, shapes, answers))
    return Plan(identity, partial(separate, lambda expert: expert_by_shape(expert, shapes, answers)))


def log_likelihood(logp: Float[np.ndarray, "samples *targets classes"], truth: np.ndarray) -> float:
    """Returns the mean log p of the known truths; NaN if none is known."""
    known = truth >= 0
    chosen = np.take_along_axis(logp, np.maximum(truth, 0)[..., None], axis=-1)[..., 0]
    return float(chosen[known].mean()) if known.any() else float("nan")


def fit(
    plan: Plan | Method,
    train: Asked,
    val: Asked,
    epochs: int = 20,
    lr: float = 1e-3,
    batch_size: int = 32,
    seed: int = 0,
    *,
    fine_tune_epochs: int | None = None,
    weight_decay: float = 0.01,
    patience: int = 8,
    score: Callable[[np.ndarray, np.ndarray], float] = log_likelihood,
    target_loss: str = "mean",
    device: str = "auto",
    folder: Path | None = None,
    progress: Progress = silent,
) -> Method:
    """Returns the trained model; where its rival starts warm, each expert is fitted alone first.

    Args:
        plan: What `rival` returns, or a method with its experts.
        train: Samples to learn from; both classes of a target weigh the same in the loss, undone in the answer.
        val: Samples that choose the best epoch.
        epochs: At most, of each stage that starts from scratch.
        lr: AdamW's learning rate at its peak; a tenth of it where a product starts from its experts.
        batch_size: Samples a step.
        seed: Of weights and orders.
        fine_tune_epochs: At most, where a product starts from its experts; a quarter of `epochs` by default.
        weight_decay: AdamW's.
        patience: Epochs without a better validation score.
        score: (log p, truth) -> what is raised on validation; the log-likelihood by default.
        target_loss: mean over all labels, or the sum of each target's own mean. A method has its own loss.
        device: auto, cpu, cuda or one card such as cuda:0.
        folder: Where checkpoints are kept; a temporary one by default.
        progress: Called after every epoch.

    Raises:
        ConfigError: There is no such loss, or the method has another one.
        DataError: The training diverges, or validation cannot choose an epoch.
    """
    if target_loss not in TARGET_LOSSES:
        raise ConfigError(f"there is no target_loss {target_loss}; {suggestion(target_loss, TARGET_LOSSES)}")
    if isinstance(plan, Method) and plan.loss is not TARGET_LOSSES[target_loss]:
        raise ConfigError(f"the method has a loss of its own, not target_loss {target_loss}; give it the same")
    loss = TARGET_LOSSES[target_loss]
    stages = _Stages(launch(device), train, val, batch_size, seed, weight_decay, patience, score, progress, loss)
    with nullcontext(folder) if folder else tempfile.TemporaryDirectory() as place:
        method = plan if isinstance(plan, Method) else stages.model(plan, plan.rival)
        if isinstance(plan, Plan) and plan.rival.warm:
            stages.start(method, plan, Path(place) / "alone", epochs, lr)
            epochs, lr = fine_tune_epochs or max(1, epochs // 4), lr / 10
        if isinstance(plan, Method) or trained_together(plan.rival):
            stages.run(method, Path(place) / "together", epochs, lr)
        fit_combiner(stages.fabric, method, in_order(val, batch_size), Path(place) / "together")
        return method


@dataclass(frozen=True)
class _Stages:
    """What the stages of a training have in common; see `fit`."""

    fabric: Fabric
    train: Asked
    val: Asked
    batch_size: int
    seed: int
    weight_decay: float
    patience: int
    score: Callable[[np.ndarray, np.ndarray], float]
    progress: Progress
    loss: Loss

    def model(self, plan: Plan, identity: Rival) -> Method:
        """Returns a rival with fresh networks."""
        weights = class_weights(self.train.y, self.train.task.classes)
        return learning(identity, plan.experts(identity, self.seed), weights, self.loss)

    def start(self, method: Method, plan: Plan, place: Path, epochs: int, lr: float) -> None:
        """Fits each expert alone and loads it into the method."""
        for expert in plan.rival.experts:
            self.run(self.model(plan, Rival((expert,))), place / expert, epochs, lr)
        warm_start(method, {expert: place / expert / "best" for expert in plan.rival.experts})

    def run(self, method: Method, place: Path, epochs: int, lr: float) -> Method:
        """Returns the method with its best weights after one stage."""
        batches = loader(self.train, Shuffled(len(self.train), self.batch_size, self.seed))
        valid, stage = in_order(self.val, self.batch_size), Stage(epochs, self.patience, rate=warm_cosine)
        optimiser = AdamW(method.parameters(), lr=lr, weight_decay=self.weight_decay)

        def watch(epoch: Epoch) -> None:
            self.progress(place.name, epoch.epoch + 1, epochs, f": validation {epoch.score:.3f}")

        train_stage(self.fabric, method, batches, valid, optimiser, self.score, stage, place, self.seed, watch)
        return method


def predict(model: Method, samples: Asked, batch_size: int = 128) -> Predicted:
    """Returns what a model, on the device where it is, answers to all samples."""
    device = next(model.parameters()).device
    answers: Answers = answers_of(model, in_order(samples, batch_size), device)
    return Predicted(samples.task, answers.logp, answers.opinions, answers.bias)


def _identity(name: str, shapes: Mapping[str, tuple[int, ...]]) -> Rival:
    """Returns the rival of this name among all that the modalities allow."""
    modalities = tuple(modality for modality in shapes if modality != "position")
    known = {modality: Rival((modality,)) for modality in shapes}
    if len(modalities) > 1:
        known |= standard_rivals(modalities) | method_rivals(modalities)
    if name not in known:
        raise ConfigError(f"there is no rival {name}; {suggestion(name, known)}")
    return known[name]


def _shared(shapes: Mapping[str, tuple[int, ...]], answers: tuple[int, ...], plan: Rival, seed: int) -> Shared:
    seed_all(seed, "weights", "shared")
    return shared_by_shape(plan.experts, shapes, answers, METHODS[plan.method].head)


def _given(
    networks: Mapping[str, nn.Module] | Callable[[str], nn.Module], answers: tuple[int, ...], expert: str
) -> nn.Module:
    """Returns a fresh network of the user's."""
    if not isinstance(networks, Mapping):
        return Positional(networks(expert), answers)
    if expert not in networks:
        raise ConfigError(f"there is no network of expert {expert}; {suggestion(expert, networks)}")
    return Positional(deepcopy(networks[expert]), answers)
