"""Evaluation of a run: every rival, target, unit and subgroup, with intervals, paired differences and effects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from knee_i2m2.clusters import CLUSTERS, LEAST_CLUSTERS
from knee_i2m2.errors import ConfigError, check_seed, suggestion
from knee_i2m2.evaluation.accelerated import read_accelerated
from knee_i2m2.evaluation.cost import equal_cost, training_flops
from knee_i2m2.evaluation.effects import MARGIN
from knee_i2m2.evaluation.leaks import check_leaks, few_patients_notes
from knee_i2m2.evaluation.recalibration import AS_TRAINED, Recalibration
from knee_i2m2.evaluation.resampled_unit import ResampledUnit
from knee_i2m2.evaluation.run_answers import RunAnswers, run_answers
from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics.bootstrap import cluster_weights
from knee_i2m2.evaluation.thresholds import Thresholds, fit_thresholds, threshold_entries
from knee_i2m2.evaluation.tidy import (
    COMPARISON_COLUMNS,
    CONTRIBUTION_COLUMNS,
    EFFECT_COLUMNS,
    EVALUATION_COLUMNS,
    Rows,
    write_results,
)
from knee_i2m2.files import write_text
from knee_i2m2.identity import joined_sentences
from knee_i2m2.predictions import UNKNOWN
from knee_i2m2.types import SPLITS, Rival

__all__ = ["REFERENCE", "Evaluation", "evaluate"]

REFERENCE = "i2m2"
"""The rival that all others are compared with."""

SAMPLES = ("slice", "sample")
"""The smallest units."""


_TRAIN_UNKNOWN = f"without {CLUSTERS} it is not known whether train holds clusters of val or test"


class Evaluation(NamedTuple):
    """The tables of an evaluation, and sentences about what was joined or could not be estimated."""

    results: pd.DataFrame
    comparisons: pd.DataFrame
    contributions: pd.DataFrame
    effects: pd.DataFrame
    notes: list[str]


def evaluate(
    run: Path,
    replicates: int = 1000,
    seed: int = 0,
    recalibration: Recalibration = AS_TRAINED,
    margin: float = MARGIN,
    accelerated: Sequence[Path] = (),
    allow_leaks: bool = False,
    reference: str = REFERENCE,
) -> Evaluation:
    """Writes a run's evaluation.csv, comparisons.csv, contributions.csv, effects.csv and evaluation.json.

    AUROC and its differences have intervals by Student's t. For all other metrics clusters are resampled once per
    split, for all rivals, seeds, targets, units and subgroups together. With fewer than ten clusters of either class a
    value has no interval; a number that cannot be estimated is empty, never 0 or .5. Thresholds, aggregators and
    recalibrations are fitted on val.

    Args:
        run: The run folder; its `predictions` are read, and `clusters.json`, which shows leaks from train.
        replicates: Bootstrap replicates.
        seed: Of the resampling.
        recalibration: How answers are changed before evaluation.
        margin: Smallest difference that is reported as an effect.
        accelerated: Folders of `predict --acceleration`, whose AUROC is reported with that of test.
        allow_leaks: Whether a cluster may be in more than one split; evaluation.json then lists it.
        reference: The rival that all others are compared with, and whose effects are measured.

    Raises:
        ConfigError: Too few replicates, a seed that is none, or a recalibration that does not fit the run.
        DataError: Prediction files are missing or damaged, two rivals differ in samples, targets or truth, a cluster
            (patient) leaks, or there is only one.
    """
    check_options(replicates, seed, margin)
    answers = run_answers(run, recalibration)
    if reference != REFERENCE and reference not in answers.test[0].rivals:
        hint = suggestion(reference, answers.test[0].rivals)
        raise ConfigError(f"--reference {reference} is no rival of {run}; {hint}")
    leaks = check_leaks(run, answers.val[0], answers.test[0], allow_leaks)
    faster = dict(read_accelerated(accelerated, answers.test[0]))
    val, test = (resampled_units(getattr(answers, split), split, replicates, seed) for split in SPLITS[1:])
    before = run_answers(run, aggregators=answers.aggregators).test if recalibration else (None,) * len(test)
    thresholds = fit_thresholds(answers.val)
    units = [*val, *(test[0].accelerated(times, answers) for times, answers in faster.items())]
    evaluated = [row for unit in units for row in unit.headline_rows()]
    pairs = zip(test, before, strict=True)
    evaluated += [row for unit, old in pairs for row in _tested(unit, old, thresholds, reference)]
    effects = [row for unit in test for row in unit.effects(answers.test[0].identities, reference, margin)]
    train_known = (run / CLUSTERS).is_file()
    compared = [row for unit in (*val, *test) for row in _compared(unit, reference)]
    results = write_results(evaluated, EVALUATION_COLUMNS, run / "evaluation.csv")
    differences = write_results(compared, COMPARISON_COLUMNS, run / "comparisons.csv")
    cost = training_flops(run, answers.test[0].identities)
    notes = [*_notes(answers, train_known), *equal_cost(results, differences, cost, reference)]
    settings = {"replicates": replicates, "seed": seed, "margin": margin, "reference": reference}
    settings |= {"least_clusters": LEAST_CLUSTERS, "train_known": train_known}
    fitted = {"aggregators": answers.aggregators, "thresholds": threshold_entries(thresholds), "fitted": answers.fitted}
    content = {**settings, **asdict(recalibration), "leaks": leaks, "notes": notes, **fitted}
    write_text(run / "evaluation.json", json.dumps(content, indent=2) + "\n")
    return Evaluation(
        results,
        differences,
        write_results(_contributed(test[0], reference), CONTRIBUTION_COLUMNS, run / "contributions.csv"),
        write_results(effects, EFFECT_COLUMNS, run / "effects.csv"),
        notes,
    )


def _notes(answers: RunAnswers, train_known: bool) -> list[str]:
    """Returns what was joined, and what is not estimable, not measured or not known, in sentences."""
    val, test = answers.val[0].spellings, answers.test[0].spellings
    joined = [text for column in test for text in joined_sentences(test[column] | val.get(column, set()), column)]
    few = few_patients_notes(answers.val, answers.test)
    notes = [*joined, *few, *_unknown_identities(answers.test[0].identities)]
    return notes if train_known else [*notes, _TRAIN_UNKNOWN]


def _unknown_identities(identities: Mapping[str, Rival]) -> list[str]:
    """Returns a sentence about the rivals whose files do not say how their answers were made."""
    names = ", ".join(name for name, rival in identities.items() if rival.method == UNKNOWN)
    reason = (
        "do not say by which method they were made, so no effect is measured with them; write them again with `train`"
    )
    return [f"the prediction files of {names} {reason}"] if names else []


def check_options(replicates: int, seed: int, margin: float) -> None:
    """Raises ConfigError for options that allow no interval or verdict."""
    check_seed(seed)
    if replicates < 2:
        raise ConfigError(f"--replicates {replicates}: an interval needs at least 2")
    if not 0 <= margin < 1:
        raise ConfigError(f"--margin {margin:g}: give a difference of AUROC from 0 to 1, such as .03")


def resampled_units(units: Sequence[SplitAnswers], split: str, replicates: int, seed: int) -> list[ResampledUnit]:
    """Returns the units of a split under one resampling of its clusters, which does not depend on the other split."""
    names = np.unique(units[0].index["cluster"])
    weights = cluster_weights(len(names), replicates, np.random.default_rng([seed, SPLITS[1:].index(split)]))
    return [ResampledUnit(unit, weights[np.searchsorted(names, unit.index["cluster"])], split) for unit in units]


def _tested(unit: ResampledUnit, before: SplitAnswers | None, thresholds: Thresholds, reference: str) -> Rows:
    """Returns the rows of evaluation.csv about a unit of test."""
    table = unit.headline_rows()
    if unit.answers.detection:
        table += unit.closed_form_rows() + unit.measure_rows(thresholds[unit.answers.unit], before)
        table += unit.efficiency_rows() if unit.answers.unit in SAMPLES else []
    else:
        table += unit.choice_rows()
    for inside, outside in unit.subgroups:
        contrast = reference in unit.answers.rivals and unit.answers.detection and len(outside.answers.index)
        table += inside.headline_rows() + (inside.contrast_rows(outside, reference) if contrast else [])
    return table


def _compared(unit: ResampledUnit, reference: str) -> Rows:
    table = unit.difference_rows(reference)
    inside = (
        [row for some, _ in unit.subgroups for row in some.difference_rows(reference)] if unit.split == "test" else []
    )
    return table + inside


def _contributed(unit: ResampledUnit, reference: str) -> Rows:
    answerable = unit.answers.detection and reference in unit.answers.experts
    return unit.contribution_rows(reference) if answerable else []
