"""Tables to read: named rows of cells, and how they are laid out and written as CSV."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from knee_i2m2.evaluation.draws import MEAN
from knee_i2m2.report.elements.words import NOT_ESTIMABLE, interval, number

__all__ = ["ALL", "TEST", "Cell", "Row", "Rows", "Table", "cell", "csv", "grid_rows", "headed", "safe", "test_rows"]

ALL, TEST = "all", "test"

Row = Mapping[str, object]


@dataclass(frozen=True)
class Cell:
    """A number as text, its interval, a note below, and the places of low, value and high on the scale, in percent."""

    value: str
    interval: str = ""
    marks: tuple[float, float, float] | None = None
    note: str = ""

    @property
    def missing(self) -> bool:
        """Whether the number is not estimable."""
        return self.value == NOT_ESTIMABLE


Rows = tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells under a title.

    Attributes:
        name: That of its file.
        title: What it shows.
        columns: Their names.
        rows: Names and cells.
        corner: Heading of the row names.
        zero: Place of 0 on the scale, in percent, if it is drawn.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Rows
    corner: str = "rival"
    zero: float | None = None


def test_rows(results: pd.DataFrame, subgroup: str | None = ALL, **wanted: str) -> pd.DataFrame:
    """Returns the rows about test, of the mean over seeds, whose columns have the given values.

    Args:
        results: A tidy table.
        subgroup: The subgroup; None for all.
        wanted: Column -> value.
    """
    named = {"split": TEST, "seed": MEAN, "subgroup": subgroup, **wanted}
    chosen = pd.Series(True, index=results.index)
    for column, value in named.items():
        if value is not None and column in results:
            chosen &= results[column] == value
    return results[chosen]


def grid_rows(
    results: pd.DataFrame,
    rows: tuple[str, Sequence[str]],
    columns: tuple[str, Sequence[str]],
    form: Callable[[Row], Cell],
) -> Rows:
    """Returns a tidy table's rows as rows of cells; missing combinations are empty cells, empty rows are left out.

    Args:
        results: A tidy table with one row per combination of the two columns.
        rows: The column that names the rows, and their order.
        columns: The column that names the columns, and their order.
        form: Makes the cell of a row.
    """
    placed = {(row[rows[0]], row[columns[0]]): form(row) for row in results.to_dict("records")}
    present = [name for name in rows[1] if any((name, column) in placed for column in columns[1])]
    return tuple((name, tuple(placed.get((name, column), Cell("")) for column in columns[1])) for name in present)


def headed(results: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Returns a tidy table without the notes that all estimates of a target share, and headings that hold these.

    Example:
        >>> headed(pd.DataFrame({"target": ["acl", "macro"], "note": ["", "1 of 4 targets"]}))[1]
        {'acl': 'acl', 'macro': 'macro (1 of 4 targets)'}
    """
    notes = {target: set(rows) for target, rows in results.groupby("target", sort=False)["note"]}
    shared = {target: min(one) if len(one) == 1 else "" for target, one in notes.items()}
    rest = results["note"].where(results["target"].map(shared) == "", "")
    return results.assign(note=rest), {t: f"{t} ({note})" if note else t for t, note in shared.items()}


def cell(row: Row, scale: tuple[float, float] | None = None, note: str = "") -> Cell:
    """Returns an estimate with its interval, drawn on a scale if there is one; if not, with why there is none."""
    value, low, high = (float(str(row[name])) for name in ("value", "low", "high"))
    return Cell(number(value), interval(low, high), _marks(low, value, high, scale), note or str(row.get("note", "")))


def _marks(
    low: float, value: float, high: float, scale: tuple[float, float] | None
) -> tuple[float, float, float] | None:
    if scale is None or not all(map(math.isfinite, (low, value, high))):
        return None
    bottom, top = scale
    places = [100 * min(max((end - bottom) / (top - bottom), 0.0), 1.0) for end in (low, value, high)]
    return places[0], places[1], places[2]


def csv(table: Table) -> str:
    """Returns a table as CSV; names that a spreadsheet would take for a formula are quoted."""
    cells = [[safe(name), *(_joined(one) for one in row)] for name, row in table.rows]
    columns = [table.corner, *map(safe, table.columns)]
    return pd.DataFrame(cells, columns=columns).to_csv(index=False, lineterminator="\n")


def _joined(one: Cell) -> str:
    return safe(" ".join(part for part in (one.value, one.interval, one.note) if part))


def safe(text: str) -> str:
    """Returns text that no spreadsheet takes for a formula; a lone carriage return would begin a row."""
    return (f"'{text}" if text.startswith(_FORMULA) else text).replace("\r", " ")


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
