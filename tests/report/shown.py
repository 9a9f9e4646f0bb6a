"""What a table shows, and what a run's CSV files hold, for the tests of the report."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pandas as pd

from knee_i2m2.report.elements.cells import Cell, Table


def cells(table: Table | None) -> dict[str, dict[str, Cell]]:
    """Returns the cells of a table by row and column, with the notes that its headings hold."""
    assert table is not None
    return {
        bare(name): {
            bare(c): replace(one, note=one.note or shared(name) or shared(c))
            for c, one in zip(table.columns, row, strict=True)
        }
        for name, row in table.rows
    }


_SHARED = re.compile(r" \((\d+ (?:of|positive|negative) .*)\)$")


def bare(heading: str) -> str:
    """Returns a heading without its note."""
    return _SHARED.sub("", heading)


def shared(heading: str) -> str:
    """Returns the note of a heading."""
    return (*_SHARED.findall(heading), "")[0]


def written(run: Path, file: str = "evaluation", **wanted: str) -> pd.DataFrame:
    """Returns the rows of a run's CSV file about test and about all, mean over seeds, unless others are wanted."""
    frame = pd.read_csv(run / f"{file}.csv", dtype={"seed": str})
    named = {"split": "test", "seed": "mean", "subgroup": "all", **wanted}
    for column, value in named.items():
        frame = frame[frame[column] == value] if column in frame else frame
    return frame


def text(value: float) -> str:
    """Returns what a table should show of a number."""
    return "not estimable" if math.isnan(value) else f"{value:.3f}".replace("-0.000", "0.000").replace("-", "−")


def shows(cell: Cell, row: pd.Series, low: str = "low", high: str = "high") -> bool:
    """Returns whether a cell shows the value and the interval of a row."""
    interval = "" if math.isnan(row[low]) else f"[{text(row[low])}, {text(row[high])}]"
    return (cell.value, cell.interval) == (text(row["value"]), interval)


def words(svg: str) -> list[str]:
    """Returns the texts of a figure."""
    return [unescape(one) for one in re.findall(r"<text[^>]*>(.*?)</text>", svg, flags=re.DOTALL)]
