"""Tables of the training budget and of the counts of the data."""

from __future__ import annotations

import pandas as pd

from knee_i2m2.report.elements.cells import Cell, Table
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.words import count, quantity

__all__ = ["budget_table", "counts_table"]


def budget_table(record: Record) -> Table | None:
    """Returns the training budget of every rival: means over its seeds."""
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
    flat = pd.DataFrame({split: _flat(counted) for split, counted in counts.items() if isinstance(counted, dict)})
    if flat.empty:
        return None
    rows = tuple((split, tuple(Cell(count(n)) for n in counted)) for split, counted in flat.items())
    return Table("counts", "per split", tuple(flat.index), rows, corner="split")


def _flat(counted: dict) -> dict[str, object]:
    """Returns the counts of a split in one row: the positives of each target follow the others."""
    positives = counted.get("positives")
    plain = {name: n for name, n in counted.items() if name != "positives"}
    return plain | {f"{target} +": n for target, n in (positives if isinstance(positives, dict) else {}).items()}
