"""Paired comparison of runs on the same targets and test samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.evaluation.draws import MEAN
from knee_i2m2.evaluation.effects import MARGIN, verdict_rows
from knee_i2m2.evaluation.evaluate import check_options, resampled_units
from knee_i2m2.evaluation.leaks import check_leaks
from knee_i2m2.evaluation.resampled_unit import ResampledUnit, minus
from knee_i2m2.evaluation.run_answers import run_answers
from knee_i2m2.evaluation.split_answers import disagreement
from knee_i2m2.evaluation.statistics.multiplicity import holm
from knee_i2m2.evaluation.tidy import MACRO, Statistic, counts, macro_note

__all__ = ["RUN_COMPARISON_COLUMNS", "compare"]

RUN_COMPARISON_COLUMNS = [
    *("run", "against", "rival", "unit", "target", "metric", "first", "second", "value", "low", "high"),
    *("p", "p_holm", "level", "holm_low", "holm_high", "verdict", "note"),
]
"""Columns of a comparison of runs; `value` is `second` (of `run`) minus `first` (of `against`).

`note` says why there is no interval, or how many targets the mean is over."""


def compare(
    runs: Sequence[Path], replicates: int = 1000, seed: int = 0, margin: float = MARGIN, allow_leaks: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Returns every run minus the first, rival by rival, and sentences about what could not be compared.

    Means over each run's seeds. Interval, p and verdict are of one statistic (Student's t for AUROC, a resampling of
    clusters for accuracy); Holm's correction is over all rivals, targets and runs of a unit.

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
    family = []
    for run, parts in zip(runs[1:], others, strict=True):
        alone = sorted({*first[0].answers.rivals} ^ {*parts[0].answers.rivals})
        notes += [f"{rival} is in {runs[0]} or {run} only, and is not compared" for rival in alone]
        family += [({"run": str(run), "against": str(runs[0])} | names, one) for names, one in _paired(first, parts)]
        if len(alone) == len({*first[0].answers.rivals, *parts[0].answers.rivals}):
            raise ConfigError(f"{runs[0]} and {run} have no rival in common, so that nothing can be compared")
    return pd.DataFrame(_judged(family, margin), columns=RUN_COMPARISON_COLUMNS), notes


Family = Sequence[tuple[dict[str, object], Statistic]]


def _judged(family: Family, margin: float) -> list[dict[str, object]]:
    """Returns a row per difference; Holm's correction is over all of a unit, and the means over targets have no p."""
    rows = [names | {"value": one.value} | _ends(one.interval()) for names, one in family]
    for unit in dict.fromkeys(names["unit"] for names, _ in family):
        places = [n for n, (names, _) in enumerate(family) if names["unit"] == unit and names["target"] != MACRO]
        judged = [*verdict_rows([family[n] for n in places], margin)]
        p_holm = holm(np.array([row["p"] for row in judged])).tolist()
        for place, row, p in zip(places, judged, p_holm, strict=True):
            rows[place] = row | {"p_holm": p}
    return rows


def _ends(interval: tuple[float, float]) -> dict[str, object]:
    return {"low": interval[0], "high": interval[1]}


def _paired(first: Sequence[ResampledUnit], second: Sequence[ResampledUnit]) -> Iterator[tuple[dict, Statistic]]:
    """Yields the names and the difference of every rival that both have, unit and target."""
    common = [rival for rival in first[0].answers.rivals if rival in second[0].answers.rivals]
    for rival in common:
        for one, other in zip(first, second, strict=True):
            here = {"rival": rival, "unit": one.answers.unit, "metric": one.answers.metric}
            key = (rival, MEAN)
            compared = (one.headline[key], other.headline[key], minus(other, [key], one, [key]))
            for count, before, after, apart in zip(counts(one.answers), *compared, strict=True):
                note = macro_note(compared[-1][:-1]) if count["target"] == MACRO else count["note"]
                names = here | {"target": count["target"], "note": note}
                yield names | {"first": before.value, "second": after.value}, apart
