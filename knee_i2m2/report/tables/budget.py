"""Tables of the training budget and of the counts of the data."""

from __future__ import annotations

import pandas as pd

from knee_i2m2.evaluation.cost import before
from knee_i2m2.evaluation.split_answers import CHOICE
from knee_i2m2.report.elements.cells import Cell, Table
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.words import count, quantity

__all__ = ["budget_table", "counts_table"]


def budget_table(record: Record) -> Table | None:
    """Returns the training budget of every rival, means over its seeds: alone, and with what it started from."""
    if record.budget.empty:
        return None
    amounts = [column for column in _RECORDED if column in record.budget]
    spent = record.budget.set_index(["rival", "seed"])[amounts].apply(pd.to_numeric, errors="coerce").astype(float)
    identities = record.answers.identities
    known = {key: before(spent[[name for name in spent if name in _TRAINED]], identities, *key) for key in spent.index}
    started = pd.DataFrame(known).T.reindex(columns=spent.columns, fill_value=0.0)
    own, total = spent.copy(), spent + started
    if "updates" in spent:  # recorded with those of the experts
        own["updates"], total["updates"] = spent["updates"] - started["updates"], spent["updates"]
    means, in_all = (table.groupby("rival", sort=False).mean() for table in (own, total))
    seeds = record.budget.groupby("rival", sort=False)["seed"].nunique()
    rivals = [rival for rival in record.rivals if rival in means.index]
    others = [rival for rival in means.index if rival not in rivals]
    named = [*((rival, rival) for rival in rivals), *((rival, f"{rival} (warm start only)") for rival in others)]
    rows = tuple(
        (
            label,
            (Cell(quantity(float(seeds[rival]))), *(_cell(means.loc[rival], in_all.loc[rival], a) for a in amounts)),
        )
        for rival, label in named
    )
    return Table("budget", "means over seeds", ("seeds", *(_AMOUNTS.get(a, a) for a in amounts)), rows)


_RECORDED = ("epochs", "updates", "training_flops", "parameters", "flops", "seconds")
_AMOUNTS = {"flops": "FLOPs", "training_flops": "training FLOPs"}
_TRAINED = ("epochs", "updates", "training_flops", "seconds")
"""Amounts that the training of its single experts adds to a rival's; a record of `updates` holds those already."""


def _cell(own: pd.Series, in_all: pd.Series, amount: str) -> Cell:
    total = quantity(float(in_all[amount])) if amount in _TRAINED else ""
    return Cell(quantity(float(own[amount])), note=f"in all {total}" if total else "")


def counts_table(record: Record) -> Table | None:
    """Returns how many samples, series, clusters and positives every split holds."""
    counts = record.data.get("counts")
    if not isinstance(counts, dict) or not counts:
        return None
    flat = pd.DataFrame({split: _flat(counted) for split, counted in counts.items() if isinstance(counted, dict)})
    if flat.empty:
        return None
    if record.answers.choice:
        flat = flat.rename(index={f"{CHOICE} +": f"{record.answers.targets[0]} +"})
    rows = tuple((split, tuple(Cell(count(n)) for n in counted)) for split, counted in flat.items())
    return Table("counts", "per split", tuple(flat.index), rows, corner="split")


def _flat(counted: dict) -> dict[str, object]:
    """Returns the counts of a split in one row: the positives of each target follow the others."""
    positives = counted.get("positives")
    plain = {name: n for name, n in counted.items() if name != "positives"}
    return plain | {f"{target} +": n for target, n in (positives if isinstance(positives, dict) else {}).items()}
