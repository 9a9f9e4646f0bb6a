"""Tidy tables of results: one number, its interval and its counts a row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.answers import Answers
from knee_i2m2.evaluation.bootstrap import estimate
from knee_i2m2.files import write_text

__all__ = ["COMPARED", "EVALUATED", "MACRO", "counts", "read_results", "rows", "write_results"]

MACRO = "macro"
"""The target that is the mean over all estimable targets."""

_COUNTED = ["n", "positives", "clusters"]
_COMMON = ["seed", "split", "unit", "subgroup", "target", "metric", "value", "low", "high", *_COUNTED]
_NUMBERS = ["value", "low", "high", *_COUNTED]

EVALUATED = ["rival", *_COMMON]
"""Columns of evaluation.csv."""

COMPARED = ["rival", "against", *_COMMON]
"""Columns of comparisons.csv."""


def counts(answers: Answers) -> list[dict[str, object]]:
    """Returns per target, then for `macro`, the units with a known truth, the positive ones, and their clusters.

    Positives exist for two classes only, and not for `macro`.
    """
    clusters = answers.who["cluster"].to_numpy()
    known = [*(answers.truth >= 0).T, (answers.truth >= 0).any(axis=1)]
    positives = [int((y == 1).sum()) if answers.classes == 2 else None for y in answers.truth.T]
    columns = zip((*answers.targets, MACRO), known, (*positives, None), strict=True)
    return [
        {"target": name, "n": int(k.sum()), "positives": p, "clusters": len(np.unique(clusters[k]))}
        for name, k, p in columns
    ]


def rows(
    drawn: Mapping[tuple[str, str], np.ndarray],
    counted: list[dict[str, object]],
    **constant: str,
) -> list[dict[str, object]]:
    """Returns one row per (rival, seed) and target: the estimate of each draw beside its counts.

    Args:
        drawn: Arrays of shape (targets + 1, 1 + replicates) by (rival, seed).
        counted: What `counts` returns.
        constant: Columns that are the same in every row.
    """
    return [
        {"rival": rival, "seed": seed, **constant, **count, **estimate(draw)._asdict()}
        for (rival, seed), draws in drawn.items()
        for count, draw in zip(counted, draws, strict=True)
    ]


def write_results(rows: list[dict[str, object]], columns: list[str], path: Path) -> pd.DataFrame:
    """Writes the rows as CSV, whole or not at all, and returns the table; what is not estimable stays empty."""
    frame = pd.DataFrame(rows, columns=columns)
    frame[_NUMBERS] = frame[_NUMBERS].astype(float)
    frame[_COUNTED] = frame[_COUNTED].astype("Int64")
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
    frame[_NUMBERS] = frame[_NUMBERS].apply(pd.to_numeric, errors="coerce").astype(float)
    return frame
