"""Units of evaluation: samples, slices, volumes, patients."""

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
"""Content of the `series` column if samples belong to no series."""

LEVELS = {"volume": "series", "patient": "cluster"}
"""Unit -> the column whose values its slices share."""


def name_smallest_unit(answers: SplitAnswers) -> SplitAnswers:
    """Returns the answers with `unit` set: slices for findings in series of slices, else samples."""
    no_series = not answers.detection or bool((answers.index["series"] == NO_SERIES).all())
    return replace(answers, unit="sample" if no_series else "slice")


def grouped(slices: SplitAnswers, unit: str, aggregators: Mapping[str, str]) -> SplitAnswers:
    """Returns truth and aggregated answers of each volume or patient.

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
        index=_group_index(slices, codes, names),
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
    """Returns 1 if any slice is positive, else -1 (unknown) if any is unknown, else 0.

    Args:
        truth: 0, 1, or -1 for unknown.
        groups: Number of the group that a slice belongs to, below `count`.
        count: Number of groups.
    """
    positive, unknown = (np.zeros((count, truth.shape[1]), dtype=bool) for _ in range(2))
    np.logical_or.at(positive, groups, truth == 1)
    np.logical_or.at(unknown, groups, truth == -1)
    return np.where(positive, 1, np.where(unknown, -1, 0))


def _group_index(slices: SplitAnswers, codes: Int[np.ndarray, " slices"], names: np.ndarray) -> pd.DataFrame:
    """Returns one row per group; a patient is its own series."""
    groups = slices.index.groupby(codes, sort=True)
    constant = [column for column in slices.subgroups if groups[column].nunique(dropna=False).max() == 1]
    firsts = groups[["cluster", *constant]].first()
    return firsts.assign(sample=names, series=names)[["sample", "series", "cluster", *constant]].reset_index(drop=True)
