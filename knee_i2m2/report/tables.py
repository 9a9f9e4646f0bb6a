"""Tables to read: rivals by targets, budgets, counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from knee_i2m2.evaluation.tidy import MACRO
from knee_i2m2.report.inputs import Record
from knee_i2m2.report.words import interval, number, quantity

__all__ = ["Cell", "Table", "budget_table", "counts_table", "csv", "difference_table", "results_table"]


@dataclass(frozen=True)
class Cell:
    """A number as text, its interval as text, and where low, value and high lie on the table's scale, in percent."""

    value: str
    interval: str = ""
    marks: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells under a title; `name` is that of its file."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    zero: float | None = None


def results_table(record: Record, unit: str, metric: str) -> Table | None:
    """Returns the headline of every rival and target on test, or None where it was not measured."""
    chosen = _headline(record.evaluation, unit, metric)
    top = max([1.0, *chosen["high"].dropna()])
    bottom = 0.0 if metric != "auroc" else min([0.5, *chosen["low"].dropna()])
    return _rivals_by_targets(record, chosen, f"{metric}_{unit}", f"per {unit}", (bottom, top))


def difference_table(record: Record, unit: str) -> Table | None:
    """Returns the paired difference of every rival to the reference on test."""
    chosen = record.comparisons[record.comparisons["split"] == "test"]
    chosen = chosen[(chosen["seed"] == "mean") & (chosen["subgroup"] == "all") & (chosen["unit"] == unit)]
    ends = [0.01, *chosen[["low", "high"]].abs().max().dropna()]
    table = _rivals_by_targets(record, chosen, f"difference_{unit}", f"per {unit}", (-max(ends), max(ends)))
    return table and Table(table.name, table.title, table.columns, table.rows, zero=50.0)


def _headline(evaluation: pd.DataFrame, unit: str, metric: str) -> pd.DataFrame:
    here = (evaluation["split"] == "test") & (evaluation["subgroup"] == "all") & (evaluation["seed"] == "mean")
    return evaluation[here & (evaluation["unit"] == unit) & (evaluation["metric"] == metric)]


def _rivals_by_targets(
    record: Record, chosen: pd.DataFrame, name: str, title: str, scale: tuple[float, float]
) -> Table | None:
    if chosen.empty:
        return None
    targets = (*record.answers.targets, *([MACRO] if len(record.answers.targets) > 1 else []))
    placed = chosen.set_index(["rival", "target"])
    rivals = [rival for rival in record.rivals if rival in set(chosen["rival"])]
    rows = tuple((rival, tuple(_cell(placed.loc[rival, target], scale) for target in targets)) for rival in rivals)
    return Table(name, title, targets, rows)


def _cell(row: pd.Series, scale: tuple[float, float]) -> Cell:
    bottom, top = scale
    low, value, high = (100 * (row[end] - bottom) / (top - bottom) for end in ("low", "value", "high"))
    drawn = all(map(math.isfinite, (low, value, high)))
    return Cell(number(row["value"]), interval(row["low"], row["high"]), (low, value, high) if drawn else None)


def budget_table(record: Record) -> Table | None:
    """Returns what the training of every rival cost: means over its seeds."""
    if record.budget.empty:
        return None
    amounts = [c for c in ("epochs", "updates", "parameters", "flops", "seconds") if c in record.budget]
    numbers = record.budget[amounts].apply(pd.to_numeric, errors="coerce")
    means = numbers.groupby(record.budget["rival"], sort=False).mean()
    seeds = record.budget.groupby("rival", sort=False)["seed"].nunique()
    rivals = [rival for rival in record.rivals if rival in means.index]
    others = [rival for rival in means.index if rival not in rivals]
    named = [*((rival, rival) for rival in rivals), *((rival, f"{rival} (warm start only)") for rival in others)]
    rows = tuple((label, _texts(float(seeds[rival]), *map(float, means.loc[rival]))) for rival, label in named)
    return Table("budget", "means over seeds", ("seeds", *(_AMOUNTS.get(a, a) for a in amounts)), rows)


_AMOUNTS = {"flops": "FLOPs"}


def _texts(*amounts: float) -> tuple[Cell, ...]:
    return tuple(Cell(quantity(amount)) for amount in amounts)


def counts_table(record: Record) -> Table | None:
    """Returns how many samples, series, clusters and positives every split holds."""
    counts = record.data.get("counts")
    if not isinstance(counts, dict) or not counts:
        return None
    flat = pd.DataFrame({split: _flat(held) for split, held in counts.items() if isinstance(held, dict)})
    rows = tuple((split, tuple(Cell(_count(n)) for n in held)) for split, held in flat.items())
    return Table("counts", "per split", tuple(flat.index), rows)


def _flat(held: dict) -> dict[str, object]:
    """Returns the counts of a split in one row: the positives of each target follow the others."""
    positives = held.get("positives")
    plain = {name: n for name, n in held.items() if name != "positives"}
    return plain | {f"{target} +": n for target, n in (positives if isinstance(positives, dict) else {}).items()}


def _count(n: object) -> str:
    whole = isinstance(n, (int, float)) and math.isfinite(n)
    return f"{n:,.0f}".replace(",", " ") if whole else ""


def csv(table: Table) -> str:
    """Returns a table as CSV; names that a spreadsheet would take for a formula are quoted."""
    cells = [[_safe(name), *(_joined(cell) for cell in row)] for name, row in table.rows]
    columns = ["split" if table.name == "counts" else "rival", *map(_safe, table.columns)]
    return pd.DataFrame(cells, columns=columns).to_csv(index=False, lineterminator="\n")


def _joined(cell: Cell) -> str:
    return f"{cell.value} {cell.interval}".strip()


def _safe(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name


_FORMULA: Sequence[str] = ("=", "+", "-", "@", "\t", "\r")
