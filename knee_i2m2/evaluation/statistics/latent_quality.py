r"""Latent-space quality: how much risk a set of encoders leaves that a fresh head could not mend.

.. math:: \eta(S) = \min_h r(h \circ g_S) - \min_{S', h} r(h \circ g_{S'})

for features :math:`g_S` of the modalities S, which stay as they are, and the risk r, mean :math:`-\log p` in nats.

What Makes Multi-modal Learning Better than Single (Provably) (Huang et al., NeurIPS 2021). The estimator is ours, a
reconstruction: heads are refitted on training features, a linear one and a perceptron with one hidden layer, and judged
on validation, where the better one is also chosen. With few samples the order of subsets can turn round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.statistics.bootstrap import Estimate
from knee_i2m2.evaluation.statistics.student import clustered_mean

__all__ = ["LatentQuality", "latent_quality"]

Features = Mapping[str, np.ndarray]
"""Subset -> features of shape (samples, values)."""


@dataclass(frozen=True)
class LatentQuality:
    """The features of one subset of modalities.

    Attributes:
        subset: Its name.
        head: The better one: linear or perceptron.
        risk: In nats, with its interval over clusters.
        eta: What it leaves above the best subset, in nats; paired, with its interval.
    """

    subset: str
    head: str
    risk: Estimate
    eta: Estimate


def latent_quality(
    train: Features,
    y_train: Int[np.ndarray, " training"],
    val: Features,
    y_val: Int[np.ndarray, " samples"],
    clusters: Shaped[np.ndarray, " samples"],
    seed: int = 0,
) -> list[LatentQuality]:
    """Returns every subset's risk and eta, the best one first.

    Args:
        train: Subset -> features of the training samples.
        y_train: Their classes.
        val: Subset -> features of the validation samples.
        y_val: Their classes.
        clusters: Whose each validation sample is.
        seed: Of the perceptron's weights.

    Raises:
        DataError: A class of validation is not in the training samples.
    """
    if missing := sorted(set(y_val.tolist()) - set(y_train.tolist())):
        raise DataError("the features", f"have class {missing[0]} in validation alone", "give training samples of it")
    surprises = {name: _best(train[name], y_train, val[name], y_val, seed) for name in train}
    first = min(surprises, key=lambda name: surprises[name][1].mean())
    measured = [
        LatentQuality(name, head, clustered_mean(s, clusters), clustered_mean(s - surprises[first][1], clusters))
        for name, (head, s) in surprises.items()
    ]
    return sorted(measured, key=lambda one: one.risk.value)


def _best(x: np.ndarray, y: np.ndarray, x_val: np.ndarray, y_val: np.ndarray, seed: int) -> tuple[str, np.ndarray]:
    """Returns the head of the smaller risk, and -log p of every validation sample."""
    heads = {
        "linear": LogisticRegression(max_iter=1000),
        "perceptron": MLPClassifier(64, early_stopping=True, max_iter=300, random_state=seed),
    }
    surprises = {}
    for name, head in heads.items():
        fitted = make_pipeline(StandardScaler(), head).fit(x, y)
        places = np.searchsorted(fitted.classes_, y_val)
        surprises[name] = -np.log(fitted.predict_proba(x_val)[np.arange(len(y_val)), places].clip(1e-12))
    return min(surprises.items(), key=lambda item: item[1].mean())
