"""Tidy tables of results: one number, its interval and its counts a row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.draws import MEAN
from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.evaluation.statistics.bootstrap import estimate
from knee_i2m2.files import write_text

__all__ = [
    "COMPARISON_COLUMNS",
    "CONTRIBUTION_COLUMNS",
    "EFFECT_COLUMNS",
    "EVALUATION_COLUMNS",
    "MACRO",
    "Rows",
    "counts",
    "read_results",
    "rows",
    "write_results",
]

MACRO = "macro"
"""The target that is the mean over all estimable targets."""

_COUNTED = ["n", "positives", "clusters"]
_ESTIMATED = ["value", "low", "high", "seed_sd"]
_COMMON = ["seed", "split", "unit", "subgroup", "target", "metric", *_ESTIMATED, *_COUNTED]

EVALUATION_COLUMNS = ["rival", *_COMMON]
"""Columns of evaluation.csv."""

COMPARISON_COLUMNS = ["rival", "against", *_COMMON, "p", "p_holm"]
"""Columns of comparisons.csv; the p-values are those of the clustered DeLong test, Holm's over the targets."""

CONTRIBUTION_COLUMNS = ["rival", "expert", *_COMMON]
"""Columns of contributions.csv."""

EFFECT_COLUMNS = [
    *("effect", "rival", "against", "split", "unit", "target", "value", "low", "high"),
    *("p", "level", "holm_low", "holm_high", "verdict"),
]
"""Columns of effects.csv; `holm_low` and `holm_high` are read at `level`, Holm's over the targets."""

_WORDS = {"rival", "against", "expert", "effect", "seed", "split", "unit", "subgroup", "target", "metric", "verdict"}

Rows = list[dict[str, object]]


def counts(answers: SplitAnswers) -> Rows:
    """Returns per target, then for `macro`, the units with a known truth, the positive ones, and their clusters.

    Positives exist for findings only, and not for `macro`.
    """
    clusters = answers.index["cluster"].to_numpy()
    known = [*(answers.truth >= 0).T, (answers.truth >= 0).any(axis=1)]
    positives = [int((y == 1).sum()) if answers.detection else None for y in answers.truth.T]
    columns = zip((*answers.targets, MACRO), known, (*positives, None), strict=True)
    return [
        {"target": name, "n": int(k.sum()), "positives": p, "clusters": len(np.unique(clusters[k]))}
        for name, k, p in columns
    ]


def rows(drawn: Mapping[Key, np.ndarray], counted: Rows, **constant: str) -> Rows:
    """Returns one row per (rival, seed) and target: the estimate of each draw with its counts.

    The standard deviation over seeds is a separate column of the mean over seeds; it is not part of the interval.

    Args:
        drawn: Arrays of shape (targets, 1 + replicates) by (rival, seed), with or without a last row for `macro`.
        counted: What `counts` returns.
        constant: Columns that are the same in every row.
    """
    return [
        {"rival": rival, "seed": seed, **constant, **count, **estimate(draw)._asdict(), "seed_sd": sd}
        for (rival, seed), draws in drawn.items()
        for count, draw, sd in zip(
            counted[: len(draws)], draws, _over_seeds(drawn, rival, seed, len(draws)), strict=True
        )
    ]


def _over_seeds(drawn: Mapping[Key, np.ndarray], rival: str, seed: str, count: int) -> list[float]:
    """Returns the standard deviations over the seeds of a rival; NaN for a single seed."""
    values = [draws[:, 0] for (name, one), draws in drawn.items() if name == rival and one != MEAN]
    if seed != MEAN or len(values) < 2:
        return [float("nan")] * count
    return np.std(values, axis=0, ddof=1).tolist()


def write_results(rows: Rows, columns: list[str], path: Path) -> pd.DataFrame:
    """Writes the rows as CSV, whole or not at all, and returns the table; what is not estimable stays empty."""
    frame = pd.DataFrame(rows, columns=columns)
    numbers = [column for column in columns if column not in _WORDS]
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
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(path, f"is no readable CSV ({error})", "run `evaluate` again") from error
    if list(frame.columns) != columns:
        raise DataError(path, f"has other columns than {', '.join(columns)}", "run `evaluate` again")
    numbers = [column for column in columns if column not in _WORDS]
    frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce").astype(float)
    return frame
