"""Contributions of the experts: leave-one-out, Shapley values and shares, as figures and tables."""

from __future__ import annotations

from collections.abc import Iterator

from knee_i2m2.report.elements.cells import Table, cell, grid_rows, test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture
from knee_i2m2.report.elements.style import strokes
from knee_i2m2.report.figures.overview import dots, keyed

__all__ = ["contribution_pictures", "contribution_tables"]

KINDS = {
    "leave_one_out": "AUROC lost without the expert",
    "shapley": "Shapley value, in AUROC above 0.5",
    "share": "share of the product's log-odds",
}


def contribution_pictures(record: Record) -> Iterator[Picture]:
    """Yields a figure per kind of contribution: every expert per target, with its interval."""
    experts = list(record.contributions["expert"].unique())
    looks, pictures = strokes(experts), []
    for kind, label in KINDS.items():
        results = test_rows(record.contributions, metric=kind).assign(group=lambda rows: rows["target"])
        series = {expert: results[results["expert"] == expert] for expert in experts}
        pictures.append(dots((kind, label, ""), label, series, record.answers.targets, looks, line=(0.0, "")))
    yield from keyed(pictures, looks)


def contribution_tables(record: Record) -> Iterator[Table]:
    """Yields a table per kind of contribution: experts by targets."""
    for kind, label in KINDS.items():
        results = test_rows(record.contributions, metric=kind)
        targets = [target for target in record.answers.targets if target in set(results["target"])]
        end = max([0.01, *results[["low", "high"]].abs().max().dropna()])
        experts = list(results["expert"].unique())
        rows = grid_rows(results, ("expert", experts), ("target", targets), lambda row, end=end: cell(row, (-end, end)))
        if rows:
            yield Table(kind, label, tuple(targets), rows, corner="expert", zero=50.0)
