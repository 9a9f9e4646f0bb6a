"""Answers of a run per slice, volume and patient, as trained or recalibrated; everything is fitted on val."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knee_i2m2.errors import ConfigError, suggestion
from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.recalibration import (
    AS_TRAINED,
    Recalibration,
    recalibrate,
    steps,
    temperature,
    weight_opinions,
)
from knee_i2m2.evaluation.split_answers import SplitAnswers, read_split_answers
from knee_i2m2.evaluation.statistics.aggregation import choose
from knee_i2m2.evaluation.units import LEVELS, group_truth, grouped, name_smallest_unit
from knee_i2m2.types import SPLITS

__all__ = ["RunAnswers", "run_answers"]


@dataclass(frozen=True)
class RunAnswers:
    """The answers of a run, smallest unit first.

    Attributes:
        val: Answers on val by unit.
        test: Answers on test by unit.
        aggregators: Unit -> target -> the function that aggregates the slices of a group.
        fitted: Parameters fitted by recalibration, one entry per unit, rival, seed and target.
    """

    val: tuple[SplitAnswers, ...]
    test: tuple[SplitAnswers, ...]
    aggregators: Mapping[str, Mapping[str, str]]
    fitted: Sequence[Mapping[str, Any]] = ()


def run_answers(
    run: Path, recalibration: Recalibration = AS_TRAINED, aggregators: Mapping[str, Mapping[str, str]] | None = None
) -> RunAnswers:
    """Returns a run's answers per slice (or sample), volume and patient.

    Predictions of one class out of several are not aggregated: only their samples are evaluated.

    Args:
        run: The run folder.
        recalibration: How answers are changed before evaluation.
        aggregators: Unit -> target -> the function that aggregates the slices of a group; chosen on val by default.

    Raises:
        ConfigError: The recalibration does not fit the run.
        DataError: Prediction files are missing or damaged, or two rivals answered different questions.
    """
    val, test = (name_smallest_unit(read_split_answers(run, split)) for split in SPLITS[1:])
    _check(recalibration, val)
    fitted: list[dict[str, Any]] = []
    for step in steps(recalibration):
        val, test = recalibrate(val, test, step, fitted)
    val, test = (weight_opinions(split, fitted) for split in (val, test))
    if not val.detection or val.unit == "sample":
        return RunAnswers((val,), (test,), {}, fitted)
    aggregators = aggregators or {unit: _best_aggregators(val, unit) for unit in LEVELS}
    pairs = [tuple(grouped(slices, unit, names) for slices in (val, test)) for unit, names in aggregators.items()]
    if recalibration.calibration != "none":  # a maximum of calibrated slices is not calibrated
        pairs = [recalibrate(*pair, temperature, fitted) for pair in pairs]
    vals, tests = zip((val, test), *pairs, strict=True)
    return RunAnswers(vals, tests, aggregators, fitted)


def _check(recalibration: Recalibration, answers: SplitAnswers) -> None:
    if recalibration and not answers.detection:
        raise ConfigError("--calibration and --prior-correction are for findings, there or not; leave them out")
    if recalibration.calibration == "weights" and recalibration.prior_correction:
        reason = "--calibration weights fits an intercept of its own, so that --prior-correction would change nothing"
        raise ConfigError(f"{reason}; leave one of them out")
    for rival in recalibration.prior_correction:
        if rival not in answers.rivals:
            raise ConfigError(f"--prior-correction: there is no rival {rival}; {suggestion(rival, answers.rivals)}")
    needing = recalibration.prior_correction if recalibration.calibration != "weights" else {*answers.rivals} - {IDEAL}
    for rival in sorted(needing):
        if not answers.experts.get(rival):
            needed = "which --calibration weights and --prior-correction need; leave them out"
            raise ConfigError(f"the predictions of {rival} hold no experts' logits, {needed}")


def _best_aggregators(val: SplitAnswers, unit: str) -> dict[str, str]:
    """Returns the aggregator of each target with the largest AUROC on val, averaged over rivals and seeds."""
    codes = np.unique(val.index[LEVELS[unit]].astype(str), return_inverse=True)[1]
    truth = group_truth(val.truth, codes, int(codes.max()) + 1)
    scores = [val.log_odds(key) for key in val.logp if key[0] != IDEAL]
    return dict(zip(val.targets, choose(truth, scores, codes), strict=True))
