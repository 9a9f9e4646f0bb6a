"""Units that a number is about: a sample, a slice, a volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from knee_i2m2.evaluation.answers import Answers

__all__ = ["most_suspicious", "units", "volume_truth", "volumes"]

NO_SERIES = "-"
"""What the `series` column holds where samples belong to no series."""


def units(answers: Answers) -> tuple[Answers, ...]:
    """Returns the answers per slice and per volume where samples form series, else per sample.

    More than two classes have no "suspicious" end, so that only their slices are judged.
    """
    if (answers.who["series"] == NO_SERIES).all():
        return (replace(answers, unit="sample"),)
    slices = replace(answers, unit="slice")
    return (slices, volumes(slices)) if answers.classes == 2 else (slices,)


def volumes(slices: Answers) -> Answers:
    """Returns what is true and said of each series: the answer is that of its most suspicious slice.

    Subgroup columns that change within a series are dropped.
    """
    names, codes = np.unique(slices.who["series"].astype(str), return_inverse=True)
    return Answers(
        unit="volume",
        who=_who(slices.who, codes),
        targets=slices.targets,
        truth=volume_truth(slices.truth, codes, len(names)),
        logp={key: most_suspicious(logp, codes, len(names)) for key, logp in slices.logp.items()},
    )


def volume_truth(
    truth: Int[np.ndarray, "slices targets"],
    series: Int[np.ndarray, " slices"],
    count: int,
) -> Int[np.ndarray, "volumes targets"]:
    """Returns 1 if any slice is positive, else -1 if any is unknown, else 0.

    Args:
        truth: 0, 1, or -1 for unknown.
        series: Number of the volume that a slice belongs to, below `count`.
        count: Number of volumes.
    """
    positive, unknown = (np.zeros((count, truth.shape[1]), dtype=bool) for _ in range(2))
    np.logical_or.at(positive, series, truth == 1)
    np.logical_or.at(unknown, series, truth == -1)
    return np.where(positive, 1, np.where(unknown, -1, 0))


def most_suspicious(
    logp: Float[np.ndarray, "slices targets 2"],
    series: Int[np.ndarray, " slices"],
    count: int,
) -> Float[np.ndarray, "volumes targets 2"]:
    """Returns per volume and target the log-probabilities of the slice with the largest log-odds."""
    log_odds = logp[..., 1] - logp[..., 0]
    order = np.lexsort((np.arange(len(series)), series))
    starts = np.searchsorted(series[order], np.arange(count))
    largest = np.maximum.reduceat(log_odds[order], starts, axis=0)
    attained = log_odds[order] == largest[series[order]]
    rows = np.where(attained, order[:, None], len(order))
    first = np.minimum.reduceat(rows, starts, axis=0)
    return np.take_along_axis(logp, first[..., None], axis=0)


def _who(who: pd.DataFrame, series: Int[np.ndarray, " slices"]) -> pd.DataFrame:
    groups = who.groupby(series, sort=True)
    subgroups = [column for column in who.columns if column not in ("sample", "series", "cluster")]
    constant = [column for column in subgroups if groups[column].nunique(dropna=False).max() == 1]
    firsts = groups[["series", "cluster", *constant]].first()
    return firsts.assign(sample=firsts["series"])[["sample", "series", "cluster", *constant]].reset_index(drop=True)
