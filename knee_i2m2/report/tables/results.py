"""Tables of rivals by targets: the headline, differences, the effect of position, spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from knee_i2m2.evaluation.tidy import MACRO
from knee_i2m2.report.elements.cells import Cell, Row, Table, cell, grid_rows, headed, test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.words import metric_name, number, p_value

__all__ = ["adjusted_table", "difference_table", "effect_table", "interval_table", "results_table", "seed_table"]

SPREAD = "SD over seeds"


def results_table(record: Record, unit: str, metric: str) -> Table | None:
    """Returns every rival and target on test, with the standard deviation over seeds if there are several."""
    chosen = test_rows(record.evaluation, unit=unit, metric=metric)
    table = _rivals_by_targets(record, chosen, f"{metric}_{unit}", f"per {unit}", lambda row: cell(row, _scale(chosen)))
    if table is None or chosen["seed_sd"].isna().all():
        return table
    last = {row["rival"]: row for row in chosen.to_dict("records")}  # the last target is the mean, if there are several
    rows = tuple((rival, (*cells, _spread(last[rival]))) for rival, cells in table.rows)
    return Table(table.name, table.title, (*table.columns, SPREAD), rows)


def _scale(chosen: pd.DataFrame) -> tuple[float, float]:
    bottom = 0.0 if "auroc" not in set(chosen["metric"]) else min([0.5, *chosen["low"].dropna()])
    return bottom, max([1.0, *chosen["high"].dropna()])


def _spread(row: Row) -> Cell:
    value, spread = float(str(row["value"])), float(str(row["seed_sd"]))
    if math.isfinite(spread):
        return Cell(number(spread))
    return Cell("one seed" if math.isfinite(value) else "")


def seed_table(record: Record, unit: str) -> Table | None:
    """Returns the standard deviation over seeds of every rival and target; None if no rival has two, or for one target.

    That of a single target is a column of the results.
    """
    chosen = test_rows(record.evaluation, unit=unit, metric=record.metric)
    if chosen["seed_sd"].isna().all() or len(record.answers.targets) == 1:
        return None
    title = f"Standard deviation over seeds, per {unit}"
    return _rivals_by_targets(record, chosen, f"seeds_{unit}", title, _spread)


def difference_table(record: Record, unit: str) -> Table | None:
    """Returns the paired difference of every rival to the reference on test, with Holm's p."""
    chosen = test_rows(record.comparisons, unit=unit)
    end = max([0.01, *chosen[["low", "high"]].abs().max().dropna()])

    def form(row: Row) -> Cell:
        return cell(row, (-end, end), p_value(float(str(row["p_holm"]))))

    table = _rivals_by_targets(record, chosen, f"difference_{unit}", f"per {unit}", form)
    return table and Table(table.name, table.title, table.columns, table.rows, zero=50.0)


def adjusted_table(record: Record) -> Table | None:
    """Returns the AUROC within strata of position, the raw one below it; None where positions are unknown."""
    chosen = test_rows(record.evaluation, unit=record.answers.unit, metric="auroc_adjusted")
    raw = test_rows(record.evaluation, unit=record.answers.unit, metric="auroc").set_index(["rival", "target"])["value"]

    def form(row: Row) -> Cell:
        return cell(row, (0.0, 1.0), f"raw {number(raw[row['rival'], row['target']])}")

    name, title = f"adjusted_{record.answers.unit}", f"AUROC within strata of position, per {record.answers.unit}"
    return _rivals_by_targets(record, chosen, name, title, form)


def effect_table(record: Record, unit: str) -> Table | None:
    """Returns every effect and target with the Holm-corrected interval and the verdict; None without effects."""
    chosen = record.effects[(record.effects["unit"] == unit) & (record.effects["split"] == "test")]
    end = max([0.01, *chosen[["holm_low", "holm_high"]].abs().max().dropna()])
    targets = [target for target in record.answers.targets if target in set(chosen["target"])]

    def form(row: Row) -> Cell:
        return cell(row | {"low": row["holm_low"], "high": row["holm_high"]}, (-end, end), str(row["verdict"]))

    effects = list(chosen["effect"].unique())
    rows = grid_rows(chosen, ("effect", effects), ("target", targets), form)
    title = f"per {unit}, Holm-corrected intervals"
    return Table(f"effects_{unit}", title, tuple(targets), rows, corner="effect", zero=50.0) if rows else None


def interval_table(record: Record, unit: str) -> Table | None:
    """Returns the AUROC of the rival shown with three intervals: as reported, Obuchowski, DeLong; None without them."""
    chosen = test_rows(record.evaluation, unit=unit, rival=record.shown)
    targets = [target for target in record.answers.targets if target in set(chosen["target"])]
    rows = grid_rows(chosen, ("metric", list(_METHODS)), ("target", targets), lambda row: cell(row, _CLOSE))
    named = tuple((_METHODS[name], cells) for name, cells in rows)
    title = f"per {unit}, {record.shown}"
    return Table(f"intervals_{unit}", title, tuple(targets), named, corner="method") if len(named) > 1 else None


_METHODS = {
    "auroc": "jackknife over clusters, t",
    "auroc_obuchowski": f"{metric_name('auroc_obuchowski')}, clustered",
    "auroc_delong": f"{metric_name('auroc_delong')}, as if independent",
}
_CLOSE = (0.5, 1.0)


def _rivals_by_targets(
    record: Record, chosen: pd.DataFrame, name: str, title: str, form: Callable[[Row], Cell]
) -> Table | None:
    targets = (*record.answers.targets, *([MACRO] if len(record.answers.targets) > 1 else []))
    chosen, names = headed(chosen)
    rows = grid_rows(chosen, ("rival", record.rivals), ("target", targets), form)
    return Table(name, title, tuple(names.get(target, target) for target in targets), rows) if rows else None
