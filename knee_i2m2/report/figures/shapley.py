"""What each expert puts into the product: leave-one-out, Shapley values and shares, as figures and tables."""

from __future__ import annotations

from collections.abc import Iterator

from knee_i2m2.report.elements.cells import Table, cell, grid_rows, test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture
from knee_i2m2.report.elements.style import strokes
from knee_i2m2.report.figures.overview import dots

__all__ = ["contribution_pictures", "contribution_tables"]

KINDS = {
    "leave_one_out": "AUROC lost without the expert",
    "shapley": "Shapley value, in AUROC above 0.5",
    "share": "share of the product's log-odds",
}


def contribution_pictures(record: Record) -> Iterator[Picture]:
    """Yields a figure per kind of credit: every expert per target, with its interval."""
    for kind, label in KINDS.items():
        found = test_rows(record.contributions, metric=kind).assign(group=lambda rows: rows["target"])
        experts = list(found["expert"].unique())
        series = {expert: found[found["expert"] == expert] for expert in experts}
        drawn = dots((kind, label, ""), label, series, record.answers.targets, strokes(experts), line=0.0)
        yield from [drawn] if drawn else []


def contribution_tables(record: Record) -> Iterator[Table]:
    """Yields a table per kind of credit: experts by targets."""
    for kind, label in KINDS.items():
        found = test_rows(record.contributions, metric=kind)
        targets = [target for target in record.answers.targets if target in set(found["target"])]
        end = max([0.01, *found[["low", "high"]].abs().max().dropna()])
        experts = list(found["expert"].unique())
        rows = grid_rows(found, ("expert", experts), ("target", targets), lambda row, end=end: cell(row, (-end, end)))
        if rows:
            yield Table(kind, label, tuple(targets), rows, corner="expert", zero=50.0)
