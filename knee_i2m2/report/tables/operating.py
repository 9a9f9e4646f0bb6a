"""Tables of targets by measures: operating points, ranking and calibration of one rival."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from knee_i2m2.evaluation.measures import COUNTS
from knee_i2m2.evaluation.tidy import MACRO
from knee_i2m2.report.elements.cells import Cell, Row, Table, cell, grid_rows, headed, test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.words import NOT_ESTIMABLE, count, metric_name, number

__all__ = ["calibration_table", "measures_frame", "operating_table", "ranking_table"]

RATES = ("sensitivity", "specificity", "ppv", "npv", "balanced_accuracy")
RANKING = (
    *("auroc", "auprc", "prevalence"),
    *("sensitivity_at_specificity_90", "sensitivity_at_specificity_95"),
    *("specificity_at_sensitivity_90", "specificity_at_sensitivity_95"),
)
CALIBRATION = ("brier", "brier_skill", "ece", "calibration_slope", "calibration_intercept")
BEFORE = "_before"
_FITTED = ("calibration_slope", "calibration_intercept")
"""Fitted once, without replicates: no interval belongs to them."""


def operating_table(record: Record, unit: str) -> Table | None:
    """Returns rates and 2x2 counts of the rival shown at the threshold that was fitted on val."""
    return _measured(record, unit, "operating", (*RATES, *COUNTS[1:], COUNTS[0]), macro=False)


def ranking_table(record: Record, unit: str) -> Table | None:
    """Returns AUPRC with its prevalence, and fixed operating points: they depend on the order of scores only."""
    return _measured(record, unit, "ranking", RANKING, macro=True)


def calibration_table(record: Record, unit: str, rival: str | None = None) -> Table | None:
    """Returns the calibration of a rival, by default of the rival shown, also before recalibration if there was one."""
    name, earlier = "calibration" if rival is None else f"calibration_{rival}", [f"{m}{BEFORE}" for m in CALIBRATION]
    after = _measured(record, unit, name, CALIBRATION, macro=True, rival=rival)
    before = _measured(record, unit, name, earlier, macro=True, rival=rival)
    if after is None or before is None:
        return after
    pairs = zip(before.rows, after.rows, strict=True)
    rows = tuple(row for (name, old), (_, new) in pairs for row in ((f"{name}, before", old), (f"{name}, after", new)))
    return replace(after, rows=rows)


def _measured(
    record: Record, unit: str, name: str, metrics: Sequence[str], macro: bool, rival: str | None = None
) -> Table | None:
    rival = rival or record.shown
    chosen = test_rows(record.evaluation, unit=unit, rival=rival)
    targets = [*record.answers.targets, *([MACRO] if macro and len(record.answers.targets) > 1 else [])]
    chosen, names = headed(chosen[chosen["metric"].isin(metrics)])
    rows = grid_rows(chosen, ("target", targets), ("metric", metrics), _cell)
    named = tuple((names[target], cells) for target, cells in rows)
    columns = tuple(metric_name(metric.removesuffix(BEFORE)) for metric in metrics)
    return Table(f"{name}_{unit}", f"per {unit}, {rival}", columns, named, corner="target") if rows else None


def _cell(row: Row) -> Cell:
    metric, value = str(row["metric"]), float(str(row["value"]))
    if metric == COUNTS[0]:
        return Cell(number(value), note="log-odds" if math.isfinite(value) else "")
    if metric in COUNTS:
        return Cell(count(value) or NOT_ESTIMABLE)
    if metric.startswith(_FITTED):
        return Cell(number(value))
    return cell(row)


def measures_frame(record: Record) -> pd.DataFrame:
    """Returns every measure of every rival and target on test, a row each; empty if not estimable."""
    measured = test_rows(record.evaluation).set_index(["rival", "unit", "target", "metric"])["value"]
    return measured.unstack(sort=False).reset_index().rename_axis(columns=None)
