"""Tidy tables of results: one number, its interval and its counts a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from knee_i2m2.clusters import LEAST_CLUSTERS
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.draws import MEAN, averaged, class_clusters
from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.files import reading, write_text

__all__ = [
    "COMPARISON_COLUMNS",
    "CONTRIBUTION_COLUMNS",
    "EFFECT_COLUMNS",
    "EVALUATION_COLUMNS",
    "MACRO",
    "Rows",
    "Statistic",
    "counts",
    "few_clusters",
    "macro_note",
    "read_results",
    "rows",
    "write_results",
]

MACRO = "macro"
"""The target that is a mean over targets: `draws.averaged`."""

_COUNTED = ["n", "positives", "clusters"]
_ESTIMATED = ["value", "low", "high", "seed_sd"]
_COMMON = ["seed", "split", "unit", "subgroup", "target", "metric", *_ESTIMATED, *_COUNTED, "note"]

EVALUATION_COLUMNS = ["rival", *_COMMON]
"""Columns of evaluation.csv; `note` says why a value has no interval, or what the mean over targets is over."""

COMPARISON_COLUMNS = ["rival", "against", *_COMMON, "p", "p_holm"]
"""Columns of comparisons.csv; p and the interval are of one statistic, Holm's p is over all differences of a unit."""

CONTRIBUTION_COLUMNS = ["rival", "expert", *_COMMON]
"""Columns of contributions.csv."""

EFFECT_COLUMNS = [
    *("effect", "rival", "against", "split", "unit", "target", "value", "low", "high"),
    *("p", "level", "holm_low", "holm_high", "verdict"),
]
"""Columns of effects.csv; `holm_low` and `holm_high` are read at `level`, Holm's over all rows of a unit."""

_NUMBERS = {*_ESTIMATED, *_COUNTED, "p", "p_holm", "level", "holm_low", "holm_high"}

Rows = list[dict[str, object]]


@runtime_checkable
class Statistic(Protocol):
    """A number with intervals and, of differences, p: of a bootstrap or of Student's t."""

    @property
    def sure(self) -> bool:
        """Whether there is enough for an interval."""

    @property
    def value(self) -> float:
        """The number."""

    def interval(self, level: float = ...) -> tuple[float, float]:
        """Returns its interval; NaN if there is none."""


def counts(answers: SplitAnswers) -> Rows:
    """Returns per target, then for `macro`, the units with a known truth, the positive ones, and their clusters.

    Positives exist for findings only, and not for `macro`.
    """
    clusters = answers.index["cluster"].to_numpy()
    known = [*(answers.truth >= 0).T, (answers.truth >= 0).any(axis=1)]
    positives = [int((y == 1).sum()) if answers.detection else None for y in answers.truth.T]
    columns = zip((*answers.targets, MACRO), known, (*positives, None), (*_few(answers), ""), strict=True)
    return [
        {"target": name, "n": int(k.sum()), "positives": p, "clusters": len(np.unique(clusters[k])), "note": note}
        for name, k, p, note in columns
    ]


def _few(answers: SplitAnswers) -> list[str]:
    """Returns per target why there is no interval; else empty."""
    if not answers.detection:
        return [""] * len(answers.targets)
    return [few_clusters(*both) for both in class_clusters(answers).T.tolist()]


def macro_note(targets: Sequence[Statistic]) -> str:
    """Returns how many of the targets `macro` is over; empty if all of them have an interval.

    Example:
        >>> from knee_i2m2.evaluation.statistics.bootstrap import Bootstrapped
        >>> sure, bare = (Bootstrapped(np.array([0.5, *replicates])) for replicates in ([0.4, 0.6], [np.nan] * 2))
        >>> macro_note([sure, bare])
        '1 of 2 targets'
    """
    mean = averaged(targets)
    bare = "" if mean[0].sure else ", none with an interval"
    return f"{len(mean)} of {len(targets)} targets{bare}" if bare or len(mean) < len(targets) else ""


def few_clusters(positive: int, negative: int) -> str:
    """Returns what is missing for an interval; empty if nothing is.

    Example:
        >>> few_clusters(4, 60)
        '4 positive patients, 10 needed'
    """
    few = {"positive": positive, "negative": negative}
    few = {side: count for side, count in few.items() if count < LEAST_CLUSTERS}
    counted = " and ".join(f"{count} {side}" for side, count in few.items())
    return f"{counted} patients, {LEAST_CLUSTERS} needed" if few else ""


def rows(measured: Mapping[Key, Sequence[Statistic]], counted: Rows, **constant: str) -> Rows:
    """Returns one row per (rival, seed) and target: value and interval with the counts.

    The standard deviation over seeds is a separate column of the mean over seeds; it is not part of the interval.

    Args:
        measured: Per target, with or without a last one for `macro`, by (rival, seed).
        counted: What `counts` returns.
        constant: Columns that are the same in every row.
    """
    noted = {key: macro_note(several[: len(counted) - 1]) for key, several in measured.items()}
    return [
        {"rival": rival, "seed": seed, **constant, **count, "value": one.value, "low": low, "high": high, "seed_sd": sd}
        | ({"note": noted[rival, seed]} if count["target"] == MACRO else {})
        for (rival, seed), several in measured.items()
        for count, one, sd in zip(counted[: len(several)], several, _over_seeds(measured, rival, seed), strict=True)
        for low, high in [one.interval()]
    ]


def _over_seeds(measured: Mapping[Key, Sequence[Statistic]], rival: str, seed: str) -> list[float]:
    """Returns the standard deviations over the seeds of a rival; NaN for a single seed."""
    values = [
        [of.value for of in several] for (name, one), several in measured.items() if name == rival and one != MEAN
    ]
    if seed != MEAN or len(values) < 2:
        return [float("nan")] * len(measured[rival, seed])
    return np.std(values, axis=0, ddof=1).tolist()


def write_results(rows: Rows, columns: list[str], path: Path) -> pd.DataFrame:
    """Writes the rows as CSV, whole or not at all, and returns the table; what is not estimable stays empty."""
    frame = pd.DataFrame(rows, columns=columns)
    numbers = [column for column in columns if column in _NUMBERS]
    whole = [column for column in columns if column in _COUNTED]
    frame[numbers] = frame[numbers].astype(float)
    frame[whole] = frame[whole].astype("Int64")
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))
    return frame


def read_results(path: Path, columns: list[str]) -> pd.DataFrame:
    """Returns a table of results.

    Raises:
        DataError: The file is missing, or holds other columns.
    """
    if not path.is_file():
        raise DataError(path, "there is no such table", "run `evaluate` first")
    with reading(path, "run `evaluate` again", "is no readable CSV"):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(frame.columns) != columns:
        raise DataError(path, f"has other columns than {', '.join(columns)}", "run `evaluate` again")
    numbers = [column for column in columns if column in _NUMBERS]
    frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce").astype(float)
    return frame
