r"""Interaction gain: what a joint expert adds to what its modalities say separately, in nats.

.. math:: G = \operatorname{mean} \big(\log p_J(y) - \log p_A(y)\big)

over the test samples, where A has an additive and J a joint residual on the same base (`training.residual`). Intervals
are over clusters, after seeds are averaged. "none": the lower end is at most 0 and the upper below .02 nats; "found":
the lower end is above 0; else "undecided". A diagnostic, never a model: weights and factors were fitted on validation,
so that the gain on validation itself would be too large. The intervals do not hold the spread between seeds:
give several, of one a gain of some thousandths of a nat may be chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.statistics.bootstrap import Estimate
from knee_i2m2.evaluation.statistics.student import clustered_mean, paired_test
from knee_i2m2.types import Task

__all__ = ["NEGLIGIBLE", "InteractionGain", "interaction_gain"]

NEGLIGIBLE = 0.02
"""Nats below which an interaction does not matter."""

Answers = Float[np.ndarray, "seeds samples *targets classes"]


@dataclass(frozen=True)
class InteractionGain:
    """The gain of one target.

    Attributes:
        target: Its name.
        nats: The gain, with its interval.
        score: Joint minus additive: AUROC of two classes, accuracy of more; with its interval.
        clusters: How many the interval rests on.
    """

    target: str
    nats: Estimate
    score: Estimate
    clusters: int

    @property
    def verdict(self) -> str:
        """`found`, `none` or `undecided`."""
        if self.nats.low > 0:
            return "found"
        return "none" if self.nats.high < NEGLIGIBLE else "undecided"


def interaction_gain(
    task: Task, truth: Int[np.ndarray, "samples *targets"], clusters: np.ndarray, additive: Answers, joint: Answers
) -> list[InteractionGain]:
    """Returns the gain of every target that has a known truth.

    Args:
        task: What was asked.
        truth: Classes; -1 is unknown.
        clusters: Whose sample it is.
        additive: Log p with the additive residual, by seed.
        joint: Log p with the joint residual.
    """
    shape = (len(additive), len(truth), len(task.targets), task.classes)
    columns, a, j = truth.reshape(len(truth), -1).T, additive.reshape(shape), joint.reshape(shape)
    return [
        _of_target(name, y[y >= 0], np.asarray(clusters)[y >= 0], a[:, y >= 0, n], j[:, y >= 0, n])
        for n, (name, y) in enumerate(zip(task.targets, columns, strict=True))
        if (y >= 0).any()
    ]


def _of_target(name: str, y: np.ndarray, clusters: np.ndarray, additive: Answers, joint: Answers) -> InteractionGain:
    """Returns a target's gain from (seeds, samples, classes)."""
    places = np.broadcast_to(y[None, :, None], (len(additive), len(y), 1))
    told = np.take_along_axis(joint, places, axis=-1) - np.take_along_axis(additive, places, axis=-1)
    nats = clustered_mean(told[..., 0].mean(axis=0), clusters)
    return InteractionGain(name, nats, _score(y, clusters, additive, joint), len(np.unique(clusters)))


def _score(y: np.ndarray, clusters: np.ndarray, additive: np.ndarray, joint: np.ndarray) -> Estimate:
    if additive.shape[-1] == 2:
        log_odds = (np.mean(answers[..., 1] - answers[..., 0], axis=0) for answers in (joint, additive))
        test = paired_test(y, *log_odds, clusters)
        return Estimate(test.difference, test.low, test.high)
    right = ((answers.argmax(axis=-1) == y).mean(axis=0) for answers in (joint, additive))
    return clustered_mean(np.subtract(*right), clusters)
