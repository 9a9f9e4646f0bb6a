"""Subgroups: forest plots, their table, and AUROC against acceleration."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from knee_i2m2.report.elements.cells import ALL, Cell, Row, Table, cell, grid_rows, test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture, without_none
from knee_i2m2.report.elements.style import INK, axes, legend, strokes, svg
from knee_i2m2.report.elements.words import count, interval, number, subgroup_name
from knee_i2m2.report.figures.overview import dots, limits, slug

__all__ = ["ACCELERATION", "acceleration_picture", "acceleration_table", "forest_pictures", "forest_table"]

ACCELERATION = "acceleration="


def _subgroups(record: Record, metric: str) -> pd.DataFrame:
    """Returns the rows of the rival shown in every subgroup, `all` included, without faster scans."""
    results = test_rows(record.evaluation, None, unit=record.answers.unit, rival=record.shown, metric=metric)
    return results[~results["subgroup"].str.startswith(ACCELERATION)]


def forest_pictures(record: Record) -> Iterator[Picture]:
    """Yields per target the AUROC of the rival shown in every subgroup, with its units and positives."""
    results = _subgroups(record, record.metric).assign(group=lambda rows: rows["subgroup"])
    groups, targets = list(results["subgroup"].unique()), record.answers.targets
    ends = limits(results[results["target"].isin(targets)])
    for place, target in enumerate(targets if len(groups) > 1 else ()):
        here = results[results["target"] == target]
        labels = {
            row["subgroup"]: f"{subgroup_name(row['subgroup'])}\n{_size(row, record)}"
            for row in here.to_dict("records")
        }
        named = (f"forest_{place + 1}_{slug(target)}", f"{target} in subgroups", target)
        overall = here.loc[here["subgroup"] == ALL, "value"].iloc[0]
        line = None if pd.isna(overall) else (float(overall), "whole test set")
        look = {record.shown: {"color": "#0072B2"}}
        yield from without_none([dots(named, _axis(record), {record.shown: here}, groups, look, line, labels, ends)])


def _axis(record: Record) -> str:
    return f"{'AUROC' if record.metric == 'auroc' else record.metric} of {record.shown}, 95 % interval"


def _size(row: Row, record: Record) -> str:
    positives = count(row["positives"])
    return f"{count(row['n'])} {record.answers.unit}s" + (f", {positives} positive" if positives else "")


def forest_table(record: Record) -> Table | None:
    """Returns the AUROC in every subgroup, and below it inside minus outside; None without subgroups."""
    results, contrasts = _subgroups(record, record.metric), _subgroups(record, "auroc_contrast")
    groups = list(results["subgroup"].unique())
    if len(groups) < 2:
        return None
    by_cell = {(row["subgroup"], row["target"]): row for row in contrasts.to_dict("records")}
    low = min([0.5, *results["low"].dropna()])

    def form(row: Row) -> Cell:
        return cell(row, (low, 1.0), _contrast(by_cell.get((row["subgroup"], row["target"]))))

    targets = record.answers.targets
    title = f"per {record.answers.unit}, {record.shown}{'; below, the difference to all others' if by_cell else ''}"
    rows = grid_rows(results, ("subgroup", groups), ("target", targets), form)
    named = tuple((subgroup_name(group), cells) for group, cells in rows)
    return Table("subgroups", title, targets, named, corner="subgroup")


def _contrast(row: Row | None) -> str:
    if row is None:
        return ""
    value, low, high = (float(str(row[name])) for name in ("value", "low", "high"))
    return f"Δ {number(value)} {interval(low, high)}".strip() if value == value else ""


def _faster(record: Record) -> pd.DataFrame:
    """Returns the rows of faster scans, in the order of their acceleration."""
    results = test_rows(record.evaluation, None, unit=record.answers.unit, metric=record.metric)
    results = results[results["subgroup"].str.startswith(ACCELERATION)]
    times = pd.to_numeric(results["subgroup"].str.removeprefix(ACCELERATION), errors="coerce")
    return results.assign(acceleration=times).dropna(subset="acceleration").sort_values("acceleration", kind="stable")


def acceleration_picture(record: Record) -> Picture | None:
    """Returns AUROC against acceleration, a line per target; None without faster scans."""
    results = _faster(record).dropna(subset="value")
    targets = [target for target in record.answers.targets if target in set(results["target"])]
    if not targets:
        return None
    with axes(4.0, 3.6) as (figure, plot):
        handles = []
        for target, look in strokes(targets).items():
            rows = results[results["target"] == target]
            plot.fill_between(
                rows["acceleration"], rows["low"], rows["high"], color=look["color"], alpha=0.12, linewidth=0
            )
            handles += plot.plot(rows["acceleration"], rows["value"], **look, marker="o", markersize=3.5)
        times = sorted(results["acceleration"].unique())
        plot.axhline(0.5, color=INK, linewidth=0.5, alpha=0.35)
        plot.set(xlabel="acceleration of the scan", ylabel="AUROC", xticks=times)
        plot.set_xticklabels([f"{time:g}" for time in times])
        legend(figure, handles, targets, 3)
        return Picture("acceleration", "AUROC against acceleration", svg(figure, "acceleration"))


def acceleration_table(record: Record) -> Table | None:
    """Returns the AUROC of faster scans by target."""
    results = _faster(record)
    targets = record.answers.targets
    groups = list(results["subgroup"].unique())
    rows = grid_rows(results, ("subgroup", groups), ("target", targets), lambda row: cell(row, (0.5, 1.0)))
    named = tuple((name.removeprefix(ACCELERATION), cells) for name, cells in rows)
    title = f"per {record.answers.unit}, {', '.join(results['rival'].unique())}"
    return Table("acceleration", title, targets, named, corner="acceleration") if rows else None
