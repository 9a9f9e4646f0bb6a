r"""Residuals: what experts add on top of what single modalities say, with and without seeing them together.

The base is :math:`b = c + \sum_m w_m \log p_m` of experts on single modalities. Each half of the training clusters is
answered by experts fitted on the other half; c and :math:`w_m \ge 0` are fitted on validation. On top of it learn,
with equal budgets, an additive residual :math:`\sum_m r_m(x_m)` and a joint one :math:`r(x_1, \dots, x_M)`, each
multiplied by a :math:`\lambda \ge 0` fitted on validation. Only the joint one can find an interaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from torch import Tensor, nn

from knee_i2m2.data.derived import Derived
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.fusion.product import product_of_experts
from knee_i2m2.methods.likelihood import Likelihood
from knee_i2m2.training.learn import Plan, fit, predict, rival
from knee_i2m2.training.session import Asked
from knee_i2m2.types import Batch, Modalities, Opinions, Rival, Task

__all__ = ["Residuals", "residuals"]

Values = Float[np.ndarray, "samples *targets classes"]


@dataclass(frozen=True)
class Residuals:
    """Answers to the test samples with either residual, by seed.

    Attributes:
        task: What was asked.
        truth: Of shape (samples, *targets); -1 is unknown.
        clusters: Whose sample it is.
        additive: Log p of shape (seeds, samples, *targets, classes).
        joint: The same with the joint residual.
        factors: The lambdas, of shape (seeds, 2, targets): additive, joint.
    """

    task: Task
    truth: Int[np.ndarray, "samples *targets"]
    clusters: np.ndarray
    additive: Float[np.ndarray, "seeds samples *targets classes"]
    joint: Float[np.ndarray, "seeds samples *targets classes"]
    factors: Float[np.ndarray, "seeds 2 targets"]


def residuals(
    train: Asked,
    val: Asked,
    test: Asked,
    networks: Mapping[str, nn.Module] | Callable[[str], nn.Module] | None = None,
    *,
    seeds: Sequence[int] = (0,),
    **budget,
) -> Residuals:
    """Returns the test samples' answers with an additive and with a joint residual on the same base.

    Args:
        train: Samples to learn from.
        val: Samples that choose epochs, and that weights and lambdas are fitted on.
        test: Samples that are answered.
        networks: Expert -> network, as for `rival`; by default chosen by the shapes of the samples.
        seeds: Of halves, weights and orders.
        budget: Of every training: epochs, lr, batch_size, patience, device, as for `fit`.

    Raises:
        ConfigError: There is only one modality.
        DataError: There are not two clusters to learn from.
    """
    names = tuple(name for name in train[[0]].x if name != "position")
    if len(names) < 2:
        raise ConfigError(f"{', '.join(names)} alone cannot interact; give samples of two or more modalities")
    plan = rival(Rival(names), train, networks)
    runs = [_Run(plan, names, (train, val, test), seed, budget).answers() for seed in seeds]
    additive, joint, factors = (np.stack(values) for values in zip(*runs, strict=True))
    return Residuals(test.task, test.y.numpy(), test.index["cluster"].to_numpy(), additive, joint, factors)


@dataclass(frozen=True)
class _Part(Derived):
    """Some of the samples, perhaps with a base."""

    positions: np.ndarray
    base: Tensor | None = None

    @property
    def index(self) -> pd.DataFrame:
        return self.samples.index.iloc[self.positions].reset_index(drop=True)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, positions: list[int]) -> Batch:
        batch = self.samples[self.positions[positions].tolist()]
        based = batch.x if self.base is None else {**batch.x, "base": self.base[positions]}
        return batch._replace(x=based, key=torch.as_tensor(positions))


class _OnTop(Likelihood):
    """A product whose first factor is given with the samples."""

    def opinions(self, x: Modalities) -> Opinions:
        return {"base": x["base"], **super().opinions(x)}


@dataclass(frozen=True)
class _Run:
    """One seed."""

    plan: Plan
    names: tuple[str, ...]
    samples: tuple[Asked, Asked, Asked]
    seed: int
    budget: Mapping = field(default_factory=dict)

    def answers(self) -> tuple[Values, Values, Float[np.ndarray, "2 targets"]]:
        """Returns log p of the test samples with the additive and with the joint residual, and their lambdas."""
        told, truth = self._alone(), self.samples[1].y.numpy()
        weights = _base_weights(told[1], truth)
        based = [
            _Part(samples, np.arange(len(samples)), torch.from_numpy(_base(log_p, weights)).float())
            for samples, log_p in zip(self.samples, told, strict=True)
        ]
        pairs = [self._residual(experts, based, truth) for experts in (self.names, ("+".join(self.names),))]
        return pairs[0][0], pairs[1][0], np.stack([factors for _, factors in pairs])

    def _alone(self) -> list[Float[np.ndarray, "samples *targets classes modalities"]]:
        """Returns what experts on single modalities say of train, val and test: of a half, those of the other half."""
        train, val, test = self.samples
        halves = self._halves(train)
        fitted = [[self._fit(Likelihood, (m,), _Part(train, half), val) for m in self.names] for half in halves]
        said = [_said(models, _Part(train, other)) for models, other in zip(fitted, reversed(halves), strict=True)]
        of_train = np.empty((len(train), *said[0].shape[1:]))
        for other, values in zip(reversed(halves), said, strict=True):
            of_train[other] = values
        return [of_train, *(np.mean([_said(models, part) for models in fitted], axis=0) for part in (val, test))]

    def _halves(self, train: Asked) -> list[np.ndarray]:
        clusters = train.index["cluster"].to_numpy()
        whose = np.unique(clusters)
        if len(whose) < 2:
            raise DataError("the training samples", "are of one cluster", "give two or more, of which each is a half")
        first = np.random.default_rng([self.seed, len(whose)]).permutation(whose)[: len(whose) // 2]
        inside = np.isin(clusters, first)
        return [np.flatnonzero(inside), np.flatnonzero(~inside)]

    def _fit(self, kind: type[Likelihood], experts: tuple[str, ...], train: Asked, val: Asked) -> Likelihood:
        fresh = self.plan.experts(Rival(experts), self.seed)
        method = kind(fresh, product_of_experts, torch.ones(train.task.answers))
        fit(method, train, val, seed=self.seed, **self.budget)
        return method

    def _residual(
        self, experts: tuple[str, ...], based: Sequence[_Part], truth: np.ndarray
    ) -> tuple[Values, np.ndarray]:
        """Returns log p of the test samples, and the lambda of every target."""
        train, val, test = based
        model = self._fit(_OnTop, experts, train, val)
        of_val, of_test = (predict(model, part).logits for part in (val, test))
        base, residual = of_val["base"], _sum(of_val, experts)
        factors = [_factor(*one) for one in _per_target(truth, base, residual)]
        shaped = np.reshape(factors, [1, *truth.shape[1:], 1])
        return log_softmax(of_test["base"] + shaped * _sum(of_test, experts), axis=-1), np.array(factors)


def _sum(logits: Mapping[str, np.ndarray], experts: Sequence[str]) -> np.ndarray:
    return np.sum([logits[name] for name in experts], axis=0)


def _said(models: Sequence[Likelihood], samples: Asked) -> Float[np.ndarray, "samples *targets classes modalities"]:
    return np.stack([predict(model, samples).logp for model in models], axis=-1)


def _per_target(truth: np.ndarray, *values: np.ndarray):
    """Yields the truth of each target and the values of the samples that know it."""
    columns = truth.reshape(len(truth), -1).T
    shaped = [v.reshape(len(truth), len(columns), *v.shape[truth.ndim :]) for v in values]
    for target, y in enumerate(columns):
        known = y >= 0
        yield y[known], *(v[known, target] for v in shaped)


def _loss(logits: np.ndarray, y: np.ndarray) -> float:
    return -float(np.take_along_axis(log_softmax(logits, axis=-1), y[:, None], axis=-1).mean())


def _factor(y: np.ndarray, base: np.ndarray, residual: np.ndarray) -> float:
    """Returns the lambda in [0, 4] of the largest likelihood, 0 where nothing is known."""
    if not len(y):
        return 0.0
    found = minimize_scalar(lambda factor: _loss(base + factor * residual, y), bounds=(0, 4), method="bounded")
    return float(found.x) if found.fun < _loss(base, y) else 0.0


def _base_weights(log_p: np.ndarray, truth: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the class bias c and the weights w of every target."""
    return [_fitted_base(*one) for one in _per_target(truth, log_p)]


def _fitted_base(
    y: np.ndarray, log_p: Float[np.ndarray, "samples classes modalities"]
) -> tuple[np.ndarray, np.ndarray]:
    classes, modalities = log_p.shape[1:]

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        logp = log_softmax(values[:classes] + log_p @ values[classes:], axis=-1)
        error = (np.exp(logp) - np.eye(classes)[y]) / len(y)
        slopes = np.concatenate([error.sum(axis=0), np.einsum("sc,scm->m", error, log_p)])
        ridge = 1e-4 * values[:classes]  # the bias has a direction that changes nothing
        return -logp[np.arange(len(y)), y].mean() + ridge @ values[:classes] / 2, slopes + np.pad(
            ridge, (0, modalities)
        )

    start = np.r_[np.zeros(classes), np.ones(modalities)]
    if not len(y):
        return start[:classes], start[classes:]
    found = minimize(loss, start, jac=True, bounds=[(None, None)] * classes + [(0, None)] * modalities).x
    return found[:classes], found[classes:]


def _base(log_p: np.ndarray, weights: list[tuple[np.ndarray, np.ndarray]]) -> Values:
    shape = log_p.shape[:-1]
    per_target = log_p.reshape(len(log_p), len(weights), *log_p.shape[-2:])
    bases = [c + per_target[:, target] @ w for target, (c, w) in enumerate(weights)]
    return np.stack(bases, axis=1).reshape(shape)
