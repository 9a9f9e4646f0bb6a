"""Evaluation of a run: every rival, target, unit and subgroup, with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from knee_i2m2.errors import ConfigError, check_seed
from knee_i2m2.evaluation.answers import SPLITS, Answers, read_answers
from knee_i2m2.evaluation.bootstrap import cluster_weights
from knee_i2m2.evaluation.draws import MEAN, completed, differences, draws, efficiencies, metric_name
from knee_i2m2.evaluation.tidy import COMPARED, EVALUATED, counts, rows, write_results
from knee_i2m2.evaluation.units import units

__all__ = ["REFERENCE", "evaluate", "subgroups"]

REFERENCE = "i2m2"
"""The rival that all others are compared with."""

ALL = "all"
"""The subgroup that everybody belongs to."""

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
        ConfigError: Too few replicates, or a seed that is none.
        DataError: Prediction files are missing or damaged, or two rivals answered different questions.
    """
    check_seed(seed)
    if replicates < 2:
        raise ConfigError(f"--replicates {replicates}: an interval needs at least 2")
    answers = {split: read_answers(run, split) for split in SPLITS}
    generators = [np.random.default_rng([seed, number]) for number in range(len(SPLITS))]
    judged = [_split(answers[split], split, replicates, g) for split, g in zip(SPLITS, generators, strict=True)]
    evaluated, compared = (list(chain(*tables)) for tables in zip(*judged, strict=True))
    return (
        write_results(evaluated, EVALUATED, run / "evaluation.csv"),
        write_results(compared, COMPARED, run / "comparisons.csv"),
    )


def _split(answers: Answers, split: str, replicates: int, generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Returns the rows of both tables for one split: every unit and subgroup under the same resampling of clusters."""
    names = np.unique(answers.who["cluster"])
    weights = cluster_weights(len(names), replicates, generator)
    parts = [
        _part(unit.only(chosen), weights[np.searchsorted(names, unit.who["cluster"][chosen])], split, name)
        for unit in units(answers)
        for name, chosen in subgroups(unit)
    ]
    evaluated, compared = (list(chain(*tables)) for tables in zip(*parts, strict=True))
    return evaluated, compared


def _part(answers: Answers, weights: Int[np.ndarray, "units drawn"], split: str, subgroup: str) -> tuple[Rows, Rows]:
    """Returns the rows of both tables for one unit and subgroup; all but `all` have the mean over seeds only."""
    metric, counted = metric_name(answers), counts(answers)
    here = {"split": split, "unit": answers.unit, "subgroup": subgroup}
    measured = draws(answers, weights)
    complete = completed(measured)
    evaluated = rows(_headline(complete, subgroup), counted, metric=metric, **here)
    paired = _headline(differences(complete, REFERENCE), subgroup)
    compared = rows(paired, counted, against=REFERENCE, metric=metric, **here)
    if subgroup == ALL and metric == "auroc" and answers.unit != "volume":
        evaluated += rows(completed(efficiencies(measured)), counted, metric="efficiency", **here)
    return evaluated, compared


def _headline(drawn: dict[tuple[str, str], np.ndarray], subgroup: str) -> dict[tuple[str, str], np.ndarray]:
    """Returns all draws, or for a subgroup those of the mean over seeds."""
    return {key: draw for key, draw in drawn.items() if subgroup == ALL or key[1] == MEAN}


def subgroups(answers: Answers) -> Iterator[tuple[str, Bool[np.ndarray, " units"]]]:
    """Yields `all`, then `name=value` for every value of every subgroup column, with the units in it."""
    yield ALL, np.ones(len(answers.who), dtype=bool)
    for column in answers.who.columns.difference(["sample", "series", "cluster"], sort=False):
        labels = answers.who[column].map(_label)
        for label in sorted(labels.unique()):
            yield f"{column}={label}", (labels == label).to_numpy()


def _label(value: object) -> str:
    if pd.isna(value):
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)
