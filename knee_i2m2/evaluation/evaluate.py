"""Evaluation of a run: every rival, target, unit and subgroup, with intervals, paired differences and effects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from knee_i2m2.errors import ConfigError, check_seed, suggestion
from knee_i2m2.evaluation.accelerated import read_accelerated
from knee_i2m2.evaluation.closed_form import closed_form, with_p_values
from knee_i2m2.evaluation.effects import MARGIN
from knee_i2m2.evaluation.leaks import check_leaks, not_estimable_notes
from knee_i2m2.evaluation.recalibration import AS_TRAINED, Recalibration
from knee_i2m2.evaluation.resampled_unit import ResampledUnit
from knee_i2m2.evaluation.run_answers import run_answers
from knee_i2m2.evaluation.split_answers import SPLITS, SplitAnswers
from knee_i2m2.evaluation.statistics.bootstrap import LEAST_POSITIVE, cluster_weights
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

__all__ = ["REFERENCE", "Evaluation", "evaluate"]

REFERENCE = "i2m2"
"""The rival that all others are compared with."""

SAMPLES = ("slice", "sample")
"""The smallest units."""


class Evaluation(NamedTuple):
    """The tables of an evaluation, and sentences about what could not be estimated."""

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

    Clusters are resampled once per split, for all rivals, seeds, targets, units and subgroups together. A number that a
    sample does not support is empty, never 0 or .5. Thresholds, aggregators and recalibrations are fitted on val.

    Args:
        run: The run folder; its `predictions` are read, and what `data.json` says of leaks.
        replicates: Bootstrap replicates.
        seed: Of the resampling.
        recalibration: How answers are changed before they are judged.
        margin: From which difference on an effect is named.
        accelerated: Folders of `predict --acceleration`, whose AUROC is put beside that of test.
        allow_leaks: Whether a cluster may stand in more than one split; it is then written down.
        reference: The rival that all others are compared with, and whose effects are measured.

    Raises:
        ConfigError: Too few replicates, a seed that is none, or a recalibration that does not fit the run.
        DataError: Prediction files are missing or damaged, two rivals answered different questions, a cluster (patient)
            leaks, or there is but one.
    """
    check_options(replicates, seed, margin)
    found = run_answers(run, recalibration)
    if reference != REFERENCE and reference not in found.test[0].rivals:
        hint = suggestion(reference, found.test[0].rivals)
        raise ConfigError(f"--reference {reference} is no rival of {run}; {hint}")
    leaks = check_leaks(run, found.val[0], found.test[0], allow_leaks)
    faster = dict(read_accelerated(accelerated, found.test[0]))
    val, test = (resampled_units(getattr(found, split), split, replicates, seed) for split in SPLITS)
    before = run_answers(run, aggregators=found.aggregators).test if recalibration else (None,) * len(test)
    thresholds = fit_thresholds(found.val)
    parts = [*val, *(test[0].accelerated(times, said) for times, said in faster.items())]
    evaluated = [row for part in parts for row in part.headline_rows()]
    pairs = zip(test, before, strict=True)
    evaluated += [row for part, old in pairs for row in _tested(part, old, thresholds, reference)]
    effects = [row for part in test for row in part.effects(found.test[0].identities, reference, margin)]
    notes = [note for part in (*val, *test) for note in not_estimable_notes(part.answers, part.split)]
    settings = {"replicates": replicates, "seed": seed, "margin": margin, "reference": reference}
    settings["least_positive_clusters"] = LEAST_POSITIVE
    fitted = {"aggregators": found.aggregators, "thresholds": threshold_entries(thresholds), "fitted": found.fitted}
    said = {**settings, **asdict(recalibration), "leaks": leaks, "notes": notes, **fitted}
    write_text(run / "evaluation.json", json.dumps(said, indent=2) + "\n")
    compared = [row for part in (*val, *test) for row in _compared(part, reference)]
    return Evaluation(
        write_results(evaluated, EVALUATION_COLUMNS, run / "evaluation.csv"),
        write_results(compared, COMPARISON_COLUMNS, run / "comparisons.csv"),
        write_results(_contributed(test[0], reference), CONTRIBUTION_COLUMNS, run / "contributions.csv"),
        write_results(effects, EFFECT_COLUMNS, run / "effects.csv"),
        notes,
    )


def check_options(replicates: int, seed: int, margin: float) -> None:
    """Raises ConfigError for options of which no interval or verdict can come."""
    check_seed(seed)
    if replicates < 2:
        raise ConfigError(f"--replicates {replicates}: an interval needs at least 2")
    if not 0 <= margin < 1:
        raise ConfigError(f"--margin {margin:g}: give a difference of AUROC from 0 to 1, such as .03")


def resampled_units(units: Sequence[SplitAnswers], split: str, replicates: int, seed: int) -> list[ResampledUnit]:
    """Returns the units of a split under one resampling of its clusters, which does not depend on the other split."""
    names = np.unique(units[0].index["cluster"])
    weights = cluster_weights(len(names), replicates, np.random.default_rng([seed, SPLITS.index(split)]))
    return [ResampledUnit(unit, weights[np.searchsorted(names, unit.index["cluster"])], split) for unit in units]


def _tested(part: ResampledUnit, before: SplitAnswers | None, thresholds: Thresholds, reference: str) -> Rows:
    """Returns all that is measured on a unit of test."""
    found = part.headline_rows()
    if part.answers.detection:
        found += closed_form(part) + part.measure_rows(thresholds[part.answers.unit], before)
        found += part.efficiency_rows() if part.answers.unit in SAMPLES else []
    else:
        found += part.choice_rows()
    for inside, outside in part.subgroups:
        contrast = reference in part.answers.rivals and part.answers.detection and len(outside.answers.index)
        found += inside.headline_rows() + (inside.contrast_rows(outside, reference) if contrast else [])
    return found


def _compared(part: ResampledUnit, reference: str) -> Rows:
    found = with_p_values(part, part.difference_rows(reference), reference)
    inside = (
        [row for some, _ in part.subgroups for row in some.difference_rows(reference)] if part.split == "test" else []
    )
    return found + inside


def _contributed(part: ResampledUnit, reference: str) -> Rows:
    answerable = part.answers.detection and reference in part.answers.experts
    return part.contribution_rows(reference) if answerable else []
