"""Paired comparison of runs on the same targets and test samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.evaluation.closed_form import paired_p
from knee_i2m2.evaluation.draws import MEAN
from knee_i2m2.evaluation.effects import MARGIN, corrected
from knee_i2m2.evaluation.evaluate import check_options, resampled_units
from knee_i2m2.evaluation.leaks import check_leaks
from knee_i2m2.evaluation.resampled_unit import ResampledUnit
from knee_i2m2.evaluation.run_answers import run_answers
from knee_i2m2.evaluation.split_answers import disagreement
from knee_i2m2.evaluation.statistics.bootstrap import estimate
from knee_i2m2.evaluation.statistics.multiplicity import holm
from knee_i2m2.evaluation.tidy import MACRO

__all__ = ["RUN_COMPARISON_COLUMNS", "compare"]

RUN_COMPARISON_COLUMNS = [
    *("run", "against", "rival", "unit", "target", "metric", "first", "second", "value", "low", "high"),
    *("p", "p_holm", "level", "holm_low", "holm_high", "verdict"),
]
"""Columns of a comparison of runs; `value` is `second` (of `run`) minus `first` (of `against`)."""


def compare(
    runs: Sequence[Path], replicates: int = 1000, seed: int = 0, margin: float = MARGIN, allow_leaks: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Returns every run minus the first, rival by rival, and sentences about what could not be compared.

    Means over each run's seeds, under one resampling of clusters. Both p-values are those of the clustered DeLong test,
    plain and Holm's over the targets (two classes only); the verdict is that of the Holm-corrected bootstrap interval.

    Args:
        runs: Run folders; predictions only are read.
        replicates: Bootstrap replicates.
        seed: Of the resampling.
        margin: Smallest difference for which a run is called better.
        allow_leaks: Whether a cluster may be in more than one split.

    Raises:
        ConfigError: There are fewer than two runs, or two share no rival.
        DataError: The runs differ in test samples, targets or truth.
    """
    check_options(replicates, seed, margin)
    if len(runs) < 2 or len(set(runs)) < len(runs):
        raise ConfigError("compare: give two or more different runs, the one to compare with first")
    answers = [run_answers(run) for run in runs]
    notes = []
    for run, one in zip(runs, answers, strict=True):
        if leaks := check_leaks(run, one.val[0], one.test[0], allow_leaks):
            notes.append(f"THE SPLIT OF {run} LEAKS: {len(leaks)} clusters (patients) are in more than one split")
        if reason := disagreement(answers[0].test[0], one.test[0], str(runs[0]), str(run)):
            raise DataError(run, reason, "compare runs on the same prepared data and split")
    first, *others = ([*resampled_units(one.test, "test", replicates, seed)] for one in answers)
    table = []
    for run, parts in zip(runs[1:], others, strict=True):
        alone = sorted({*first[0].answers.rivals} ^ {*parts[0].answers.rivals})
        notes += [f"{rival} is in {runs[0]} or {run} only, and is not compared" for rival in alone]
        named = {"run": str(run), "against": str(runs[0])}
        table += [named | row for row in _differences(first, parts, margin)]
        if len(alone) == len({*first[0].answers.rivals, *parts[0].answers.rivals}):
            raise ConfigError(f"{runs[0]} and {run} have no rival in common, so that nothing can be compared")
    return pd.DataFrame(table, columns=RUN_COMPARISON_COLUMNS), notes


def _differences(
    first: Sequence[ResampledUnit], second: Sequence[ResampledUnit], margin: float
) -> Iterator[dict[str, object]]:
    """Yields a row per rival that both have, unit and target; the mean over targets has no p."""
    common = [rival for rival in first[0].answers.rivals if rival in second[0].answers.rivals]
    for rival in common:
        for one, other in zip(first, second, strict=True):
            here = {"rival": rival, "unit": one.answers.unit, "metric": one.answers.metric}
            yield from ({**here, **row} for row in _paired(one, other, rival, margin))


def _paired(one: ResampledUnit, other: ResampledUnit, rival: str, margin: float) -> Iterator[dict[str, object]]:
    before, after = one.complete[rival, MEAN], other.complete[rival, MEAN]
    targets = one.answers.targets
    p = [paired_p(other.answers, one.answers, rival, place) for place in range(len(targets))]
    tested = [*zip(p, holm(np.array(p)).tolist(), strict=True), (np.nan, np.nan)]
    rows = [*corrected(after - before, targets, margin), {"target": MACRO, **estimate((after - before)[-1])._asdict()}]
    for row, values, (plain, corrected_p) in zip(
        rows, zip(before[:, 0], after[:, 0], strict=True), tested, strict=True
    ):
        yield row | {"first": values[0], "second": values[1], "p": plain, "p_holm": corrected_p}
