"""Units that a number is about: a sample, a slice, a volume, a patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics.aggregation import AGGREGATORS

__all__ = ["LEVELS", "NO_SERIES", "group_truth", "grouped", "log_probabilities", "name_smallest_unit"]

NO_SERIES = "-"
"""What the `series` column holds where samples belong to no series."""

LEVELS = {"volume": "series", "patient": "cluster"}
"""Unit -> the column whose values its slices share."""


def name_smallest_unit(answers: SplitAnswers) -> SplitAnswers:
    """Returns the answers with their smallest unit named: slices where findings are asked of series, else samples."""
    alone = not answers.detection or bool((answers.index["series"] == NO_SERIES).all())
    return replace(answers, unit="sample" if alone else "slice")


def grouped(slices: SplitAnswers, unit: str, aggregators: Mapping[str, str]) -> SplitAnswers:
    """Returns what is true and said of each volume or patient.

    Subgroup columns that change within a group are dropped.

    Args:
        slices: Answers of two classes.
        unit: A name in `LEVELS`.
        aggregators: Target -> name in `AGGREGATORS`.
    """
    names, codes = np.unique(slices.index[LEVELS[unit]].astype(str), return_inverse=True)
    places = [(place, AGGREGATORS[aggregators[target]]) for place, target in enumerate(slices.targets)]

    def of(log_odds: Float[np.ndarray, "slices targets"]) -> Float[np.ndarray, "groups targets"]:
        return np.concatenate([f(log_odds[:, [place]], codes, len(names)) for place, f in places], axis=1)

    return SplitAnswers(
        unit=unit,
        index=_who(slices, codes, names),
        targets=slices.targets,
        truth=group_truth(slices.truth, codes, len(names)),
        logp={key: log_probabilities(of(slices.log_odds(key))) for key in slices.logp},
    )


def log_probabilities(log_odds: Float[np.ndarray, "units targets"]) -> Float[np.ndarray, "units targets 2"]:
    """Returns the log-probabilities of both classes."""
    return -np.logaddexp(0, np.stack([log_odds, -log_odds], axis=-1))


def group_truth(
    truth: Int[np.ndarray, "slices targets"],
    groups: Int[np.ndarray, " slices"],
    count: int,
) -> Int[np.ndarray, "groups targets"]:
    """Returns 1 if any slice is positive, else -1 if any is unknown, else 0.

    Args:
        truth: 0, 1, or -1 for unknown.
        groups: Number of the group that a slice belongs to, below `count`.
        count: Number of groups.
    """
    positive, unknown = (np.zeros((count, truth.shape[1]), dtype=bool) for _ in range(2))
    np.logical_or.at(positive, groups, truth == 1)
    np.logical_or.at(unknown, groups, truth == -1)
    return np.where(positive, 1, np.where(unknown, -1, 0))


def _who(slices: SplitAnswers, codes: Int[np.ndarray, " slices"], names: np.ndarray) -> pd.DataFrame:
    """Returns one row a group; the series of a patient is the patient."""
    groups = slices.index.groupby(codes, sort=True)
    constant = [column for column in slices.subgroups if groups[column].nunique(dropna=False).max() == 1]
    firsts = groups[["cluster", *constant]].first()
    return firsts.assign(sample=names, series=names)[["sample", "series", "cluster", *constant]].reset_index(drop=True)
