"""Contributions of the experts to their product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from math import factorial

import numpy as np
from jaxtyping import Float, Int, Num

from knee_i2m2.evaluation.draws import estimable, without_replicates
from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.ranking import weighted_mean

__all__ = ["contributions", "covariance_shares", "leave_one_out", "shapley", "value_of_subsets"]

Values = Mapping[frozenset[str], np.ndarray]
"""Set of experts -> the AUROC of their product."""


def contributions(
    answers: SplitAnswers, rival: str, weights: Int[np.ndarray, "units drawn"]
) -> Iterator[tuple[str, str, Float[np.ndarray, "targets drawn"]]]:
    """Yields (metric, expert, draws) of a rival of two classes: the means over its seeds.

    All three divide credit between experts that see the same modality; Shapley values and shares do so by construction.
    """
    enough = estimable(answers)
    keys = [key for key in answers.opinions if key[0] == rival]
    worth = [_worth(answers, key, weights) for key in keys]
    values = {experts: np.mean([one[experts] for one in worth], axis=0) for experts in worth[0]}
    shares = [_shares(answers, key, weights) for key in keys]
    measured = {
        "leave_one_out": leave_one_out(values),
        "shapley": shapley(values),
        "share": {expert: np.mean([one[expert] for one in shares], axis=0) for expert in shares[0]},
    }
    for metric, drawn in measured.items():
        yield from ((metric, expert, without_replicates(draw, enough)) for expert, draw in drawn.items())


def _log_odds(answers: SplitAnswers, key: tuple[str, str]) -> dict[str, Float[np.ndarray, "units targets"]]:
    return {expert: z[..., 1] - z[..., 0] for expert, z in answers.opinions[key].items()}


def _worth(answers: SplitAnswers, key: tuple[str, str], weights: Int[np.ndarray, "units drawn"]) -> Values:
    """Returns the AUROC, of shape (targets, drawn), of every subset's product."""
    per_target = [
        value_of_subsets(truth, {expert: z[:, place] for expert, z in _log_odds(answers, key).items()}, weights)
        for place, truth in enumerate(answers.truth.T)
    ]
    return {experts: np.stack([values[experts] for values in per_target]) for experts in per_target[0]}


def _shares(
    answers: SplitAnswers, key: tuple[str, str], weights: Int[np.ndarray, "units drawn"]
) -> dict[str, Float[np.ndarray, "targets drawn"]]:
    log_odds = _log_odds(answers, key)
    per_target = [
        covariance_shares({expert: z[known, place] for expert, z in log_odds.items()}, weights[known])
        for place, known in enumerate(answers.truth.T >= 0)
    ]
    return {expert: np.stack([shares[expert] for shares in per_target]) for expert in log_odds}


def value_of_subsets(
    truth: Int[np.ndarray, " units"],
    log_odds: Mapping[str, Float[np.ndarray, " units"]],
    weights: Num[np.ndarray, "units drawn"],
) -> dict[frozenset[str], Float[np.ndarray, " drawn"]]:
    """Returns the AUROC of the product of every subset of the experts; that of no expert is .5."""
    subsets = chain.from_iterable(combinations(log_odds, size) for size in range(1, len(log_odds) + 1))
    no_expert = {frozenset[str](): np.full(weights.shape[1], 0.5)}
    products = {frozenset(s): np.sum([log_odds[expert] for expert in s], axis=0) for s in subsets}
    return no_expert | {s: auroc(truth, product, weights) for s, product in products.items()}


def leave_one_out(values: Values) -> dict[str, np.ndarray]:
    """Returns the loss of the product of all experts when each of them is removed."""
    all_experts = max(values, key=len)
    return {expert: values[all_experts] - values[all_experts - {expert}] for expert in _ordered(values)}


def shapley(values: Values) -> dict[str, np.ndarray]:
    r"""Returns :math:`\phi_k = \sum_{S \not\ni k} \frac{|S|!\,(K-|S|-1)!}{K!} \left(v(S \cup k) - v(S)\right)`.

    They sum to :math:`v(\text{all}) - v(\emptyset)`.

    Args:
        values: v of every subset of the experts, the empty one included.

    References:
        A value for n-person games (Shapley, 1953)
    """
    experts = _ordered(values)
    weight = [factorial(n) * factorial(len(experts) - n - 1) / factorial(len(experts)) for n in range(len(experts))]
    return {
        k: np.sum([weight[len(s)] * (values[s | {k}] - values[s]) for s in values if k not in s], axis=0)
        for k in experts
    }


def _ordered(values: Values) -> Sequence[str]:
    """Returns the experts in the order of the subsets of one."""
    return [next(iter(s)) for s in values if len(s) == 1]


def covariance_shares(
    log_odds: Mapping[str, Float[np.ndarray, " units"]], weights: Num[np.ndarray, "units drawn"]
) -> dict[str, Float[np.ndarray, " drawn"]]:
    r"""Returns :math:`\operatorname{Cov}(l_k, \sum_j l_j) / \operatorname{Var}(\sum_j l_j)` per expert :math:`k`.

    A product of experts adds log-odds, so the shares sum to 1. An expert that pulls against the others has a negative
    share; if the product is constant, every share is NaN.

    Args:
        log_odds: Log-odds of class 1 by expert, natural logarithm.
        weights: How often each unit counts.
    """
    centred = {expert: l - l.mean() for expert, l in log_odds.items()}  # moments of small numbers lose no digits
    product = np.sum(list(centred.values()), axis=0)
    spread = _covariance(product, product, weights)
    held = np.where(spread > 0, spread, np.nan)
    return {expert: _covariance(l, product, weights) / held for expert, l in centred.items()}


def _covariance(
    a: Float[np.ndarray, " units"], b: Float[np.ndarray, " units"], weights: Num[np.ndarray, "units drawn"]
) -> Float[np.ndarray, " drawn"]:
    """Returns the covariance under every column of weights."""
    mean_a, mean_b, mean_ab = weighted_mean(np.stack([a, b, a * b]), weights)
    return mean_ab - mean_a * mean_b
