"""Evaluation of a run: every rival, target, unit and subgroup, with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from knee_i2m2.evaluation.answers import SPLITS, Answers, read_answers
from knee_i2m2.evaluation.bootstrap import cluster_weights
from knee_i2m2.evaluation.draws import MEAN, completed, differences, draws, efficiencies, metric_name
from knee_i2m2.evaluation.tidy import COMPARED, EVALUATED, counts, rows, write_results
from knee_i2m2.evaluation.units import units

__all__ = ["REFERENCE", "evaluate", "subgroups"]

REFERENCE = "i2m2"
"""The rival that all others are compared with."""

Rows = list[dict[str, object]]


def evaluate(run: Path, replicates: int = 1000, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Writes a run's evaluation.csv and comparisons.csv from its prediction files, and returns both tables.

    Clusters are resampled once per split, for all rivals, seeds, targets, units and subgroups together; a number that a
    sample does not support is empty, never 0 or .5.

    Args:
        run: The run folder; only its `predictions` are read.
        replicates: Bootstrap replicates.
        seed: Of the resampling.

    Raises:
        DataError: Prediction files are missing or damaged, or two rivals answered different questions.
    """
    evaluated: Rows = []
    compared: Rows = []
    everything = [read_answers(run, split) for split in SPLITS]
    for number, (split, answers) in enumerate(zip(SPLITS, everything, strict=True)):
        names = np.unique(answers.who["cluster"])
        weights = cluster_weights(len(names), replicates, np.random.default_rng([seed, number]))
        for unit in units(answers):
            drawn = weights[np.searchsorted(names, unit.who["cluster"])]
            _judge(unit, drawn, split, evaluated, compared)
    return (
        write_results(evaluated, EVALUATED, run / "evaluation.csv"),
        write_results(compared, COMPARED, run / "comparisons.csv"),
    )


def _judge(unit: Answers, weights: Int[np.ndarray, "units drawn"], split: str, evaluated: Rows, compared: Rows) -> None:
    """Appends the rows of one split and unit: everybody, efficiencies, then the subgroups' seed means."""
    metric = metric_name(unit)
    for name, chosen in subgroups(unit):
        here = {"split": split, "unit": unit.unit, "subgroup": name}
        some = unit.only(chosen)
        measured = draws(some, weights[chosen])
        complete = completed(measured)
        kept = complete if name == "all" else {key: d for key, d in complete.items() if key[1] == MEAN}
        evaluated += rows(kept, counts(some), metric=metric, **here)
        compared += rows(differences(kept, REFERENCE), counts(some), against=REFERENCE, metric=metric, **here)
        if name == "all" and unit.unit != "volume" and metric == "auroc":
            evaluated += rows(completed(efficiencies(measured)), counts(some), metric="efficiency", **here)


def subgroups(answers: Answers) -> Iterator[tuple[str, Bool[np.ndarray, " units"]]]:
    """Yields `all`, then `name=value` for every value of every subgroup column, with the units in it."""
    yield "all", np.ones(len(answers.who), dtype=bool)
    for column in answers.who.columns.difference(["sample", "series", "cluster"], sort=False):
        labels = answers.who[column].map(_label)
        for label in sorted(labels.unique()):
            yield f"{column}={label}", (labels == label).to_numpy()


def _label(value: object) -> str:
    if pd.isna(value):
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)
