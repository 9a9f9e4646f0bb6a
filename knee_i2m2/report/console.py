"""The headline and the verdicts as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from knee_i2m2.evaluation.tidy import MACRO
from knee_i2m2.report.elements.cells import headed
from knee_i2m2.report.elements.verdicts import sentences
from knee_i2m2.report.elements.words import interval, metric_name, number

__all__ = ["bench_table", "headline_table", "verdict_lines"]

_HEADLINE = ("auroc", "accuracy", "efficiency")
"""Metrics in the terminal; the report holds the others."""


def headline_table(evaluation: pd.DataFrame) -> str:
    """Returns the test results, mean over seeds, with 95 % intervals: a block per unit and metric, a line per rival.

    All blocks have the order of the first, whose mean is over most targets: larger units lose targets to too few
    patients.

    Args:
        evaluation: Table of results, as `evaluate` returns it.
    """
    here = (evaluation["split"] == "test") & (evaluation["seed"] == "mean") & (evaluation["subgroup"] == "all")
    blocks = evaluation[here & evaluation["metric"].isin(_HEADLINE)].groupby(["metric", "unit"], sort=False)
    named = {f"{metric_name(metric)} per {unit}, test": rows for (metric, unit), rows in blocks}
    order = _best_first(next(iter(named.values()))) if named else []
    return "\n\n".join(_block(title, rows, order) for title, rows in named.items())


def _best_first(rows: pd.DataFrame) -> list[str]:
    """Returns the rivals in the order of their mean over targets."""
    last = rows[rows["target"] == rows["target"].iloc[-1]]
    return last.sort_values("value", ascending=False, kind="stable")["rival"].tolist()


def verdict_lines(effects: pd.DataFrame, margin: float | None = None) -> str:
    """Returns a sentence per target about what it depends on, for the smallest unit; empty without effects.

    Args:
        effects: Table of effects, as `evaluate` returns it.
        margin: Smallest difference that is reported as an effect.
    """
    units = [] if effects.empty else effects["unit"].unique()[:1]
    return "\n".join(line for unit in units for line in sentences(effects, unit, margin).values())


def bench_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a line per implementation: its time, and the time relative to the peer's and the limit's.

    Args:
        rows: `what, unit, ms, times_peer, times_limit` of each.
    """
    lines = [f"{'':<56}{'ms per ' + rows[0]['unit']:>16}{'x as fast as peer':>20}{'x the limit':>14}"]
    for row in rows:
        peer = "" if row["times_peer"] is None else f"{row['times_peer']:.2f}"
        lines.append(f"{row['what']:<56}{row['ms']:>16.3f}{peer:>20}{row['times_limit']:>14.2f}")
    return "\n".join(lines)


def _block(title: str, rows: pd.DataFrame, order: Sequence[str]) -> str:
    """Returns one table, its rivals in this order; with one target, the mean over targets is left out."""
    rows = rows if rows["target"].nunique() > 2 else rows[rows["target"] != MACRO]
    targets = list(dict.fromkeys(rows["target"]))
    rows, names = headed(rows)
    noted = rows["note"].where(rows["target"] == MACRO, "")  # those of the other targets are among the notes
    estimates = zip(rows[["value", "low", "high"]].to_numpy(), noted, strict=True)
    cells = [f"{number(v)} {interval(*ends)} {f'({note})' * bool(note)}".strip() for (v, *ends), note in estimates]
    wide = rows.assign(cell=cells).pivot(index="rival", columns="target", values="cell")
    wide = wide.loc[[rival for rival in order if rival in wide.index], targets]
    return wide.rename(columns={MACRO: names.get(MACRO)}).rename_axis(index=None, columns=title).to_string()
