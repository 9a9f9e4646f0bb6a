"""Scores of saliency maps: do they point at findings, and do they depend on what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num, Shaped
from scipy.stats import spearmanr

from knee_i2m2.clusters import LEAST_CLUSTERS
from knee_i2m2.evaluation.statistics.bootstrap import Estimate, clustered_interval
from knee_i2m2.evaluation.statistics.ranking import weighted_mean

__all__ = ["LIMIT", "Box", "centre_of", "clustered_mean", "covered", "inside", "peaks", "similarity"]

LIMIT = 0.5
"""A map that ranks pixels more alike than this with learned and with random weights does not show what was learned."""

Maps = Float[np.ndarray, "samples rows columns"]
Points = Num[np.ndarray, "samples 2"]


class Box(NamedTuple):
    """A finding's box in pixels: left column, upper row, width, height."""

    x: float
    y: float
    width: float
    height: float


def peaks(maps: Maps) -> Points:
    """Returns the row and column of every map's maximum, the first of those that tie."""
    return np.stack(np.unravel_index(maps.reshape(len(maps), -1).argmax(axis=1), maps.shape[1:]), axis=1)


def inside(points: Points, boxes: Sequence[Sequence[Box]]) -> Bool[np.ndarray, " samples"]:
    """Returns whether each point lies in one of its sample's boxes: the pointing game, without tolerance.

    Args:
        points: Row and column.
        boxes: The boxes of every sample.

    References:
        Top-down neural attention by excitation backprop (Zhang et al., 2018)
    """
    pairs = zip(points[:, 0], points[:, 1], boxes, strict=True)
    return np.array([bool(_union(some, row[None], column[None]).any()) for row, column, some in pairs])


def covered(boxes: Sequence[Sequence[Box]], matrix: tuple[int, int]) -> Float[np.ndarray, " samples"]:
    """Returns the share of every sample's pixels that its boxes cover: what pointing at random reaches."""
    rows, columns = np.indices(matrix)
    return np.array([_union(some, rows, columns).mean() for some in boxes])


def _union(boxes: Sequence[Box], rows: np.ndarray, columns: np.ndarray) -> Bool[np.ndarray, "..."]:
    """Returns which of the places lie in one of the boxes."""
    found = np.zeros(rows.shape, dtype=bool)
    for x, y, width, height in boxes:
        found |= (x <= columns) & (columns <= x + width) & (y <= rows) & (rows <= y + height)
    return found


def centre_of(boxes: Sequence[Box]) -> Float[np.ndarray, " 2"]:
    """Returns the mean row and column of boxes' centres, as seen in training: pointing there needs no image."""
    return np.mean([(box.y + box.height / 2, box.x + box.width / 2) for box in boxes], axis=0)


def similarity(first: Maps, second: Maps) -> Float[np.ndarray, " samples"]:
    """Returns Spearman's rank correlation of every pair of maps; 0 where one is constant.

    Of maps of the learned and of random weights it is the randomisation test: it should be low.

    References:
        Sanity checks for saliency maps (Adebayo et al., 2018)
    """
    pairs = zip(first.reshape(len(first), -1), second.reshape(len(second), -1), strict=True)
    return np.array([float(spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0 for a, b in pairs])


def clustered_mean(values: Shaped[np.ndarray, " samples"], clusters: Shaped[np.ndarray, " samples"]) -> Estimate:
    """Returns a mean with its interval, for which clusters are resampled; NaN below ten clusters."""
    if len(np.unique(clusters)) < LEAST_CLUSTERS:
        return Estimate(float("nan"), float("nan"), float("nan"))
    known = np.zeros(len(values), dtype=int)
    return clustered_interval(
        lambda _, one, weights: weighted_mean(one, weights), known, values.astype(float), clusters
    )
