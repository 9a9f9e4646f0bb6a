"""Averages and votes: experts that stay as they were fitted alone, and meet in the answer only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import minimize_scalar
from torch import Tensor

from knee_i2m2.fusion.mincq import c_bound, largest_margin, mincq
from knee_i2m2.methods.likelihood import SeparateLikelihoods
from knee_i2m2.methods.method import cross_entropy
from knee_i2m2.types import Opinions

__all__ = ["MajorityVote", "MeanOfExperts", "MinCq"]


class MeanOfExperts(SeparateLikelihoods):
    r"""Answers with :math:`\frac{1}{K} \sum_k p_k(y \mid x)`; the shift of the weights is undone in every expert."""

    combiner = "mean"
    warm = True

    def answer(self, opinions: Opinions) -> Float[Tensor, "batch *targets classes"]:
        """Returns log p."""
        return self.combine(self.unshifted(opinions))

    def bias(self, opinions: Opinions) -> Float[Tensor, "*targets classes"]:
        """Returns 0: what a combiner that is no product adds differs from sample to sample."""
        return torch.zeros_like(self.weights)

    def unshifted(self, opinions: Opinions) -> dict[str, Tensor]:
        """Returns every expert's logits without the shift of the weights."""
        return {name: logits - self.weights.log() for name, logits in opinions.items()}


class MajorityVote(MeanOfExperts):
    """Answers with the share of the experts that hold a class for the most probable."""

    combiner = "vote"


class MinCq(MeanOfExperts):
    r"""Answers with the vote of the smallest C-bound, fitted on validation (Morvant, Habrard, Ayache, 2014).

    A voter is an expert's :math:`2 p_k(y \mid x) - 1`; more than two classes are one against the rest, which is a
    reconstruction. :math:`\mu` is the one of ten whose C-bound on validation is smallest, the largest of equals, in
    place of cross-validation, and one slope, fitted there, turns margins into log-odds.
    """

    voters: Tensor
    slope: Tensor

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.register_buffer("voters", torch.ones(*self.weights.shape, len(self.experts.sees)) / len(self.experts.sees))
        self.register_buffer("slope", torch.ones(()))

    def answer(self, opinions: Opinions) -> Float[Tensor, "batch *targets classes"]:
        """Returns log p."""
        return (self.slope * self.margins(opinions)).log_softmax(dim=-1)

    def margins(self, opinions: Opinions) -> Float[Tensor, "batch *targets classes"]:
        """Returns the vote for each class, in [-1, 1]."""
        weight = dict(zip(self.experts.sees, self.voters.unbind(-1), strict=True))
        return sum(weight[name] * votes for name, votes in _votes(self.unshifted(opinions)).items())

    def fit_combiner(self, opinions: Opinions, y: Int64[Tensor, "samples *targets"]) -> None:
        """Fits the weights of each target and class, then the slope."""
        votes = torch.stack(tuple(_votes(self.unshifted(opinions)).values()), dim=-1)
        votes = votes.reshape(len(y), -1, *votes.shape[-2:]).double().numpy()
        weights = self.voters.view(-1, *self.voters.shape[-2:])
        for target, truth in enumerate(y.reshape(len(y), -1).numpy().T):
            known = truth >= 0
            for c, voters in enumerate(weights[target]):
                sides = np.where(truth[known] == c, 1, -1)
                voters.copy_(torch.from_numpy(_smallest_bound(votes[known, target, c], sides)))
        if (y >= 0).any():
            self.slope.copy_(_slope(self.margins(opinions), y))


def _votes(opinions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: 2 * logits.softmax(dim=-1) - 1 for name, logits in opinions.items()}


def _smallest_bound(
    votes: Float[np.ndarray, "samples voters"], y: np.ndarray, steps: int = 10
) -> Float[np.ndarray, " voters"]:
    """Returns the weights of the margin with the smallest C-bound; equal ones where no vote tells the sides apart."""
    most = largest_margin(votes, y) if len(y) else 0.0
    if most < 1e-9:
        return np.full(votes.shape[1], 1 / votes.shape[1])
    fitted = [mincq(votes, y, most * step / steps) for step in range(steps, 0, -1)]
    bounds = [c_bound(votes, y, weights) for weights in fitted]
    # where no weight is at its bound, a smaller mu only scales them: the C-bound is the same but for rounding
    return next(weights for weights, bound in zip(fitted, bounds, strict=True) if bound <= min(bounds) + 1e-6)


def _slope(margins: Float[Tensor, "samples *targets classes"], y: Int64[Tensor, "samples *targets"]) -> Tensor:
    """Returns the factor of the margins that has the largest likelihood, from 1/e to e^6."""

    def loss(log_slope: float) -> float:
        logp = (float(np.exp(log_slope)) * margins).log_softmax(dim=-1)
        return float(cross_entropy(logp, y, torch.ones(margins.shape[1:], dtype=margins.dtype)))

    return torch.tensor(np.exp(minimize_scalar(loss, bounds=(-1, 6), method="bounded").x))
