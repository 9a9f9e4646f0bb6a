"""The page that compares runs: paired differences, rival by rival."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.evaluate import REFERENCE
from knee_i2m2.evaluation.tidy import MACRO
from knee_i2m2.files import read_mapping, write_text
from knee_i2m2.report.elements.cells import Cell, Row, Rows, Table, cell, grid_rows, headed
from knee_i2m2.report.elements.inputs import is_simulated
from knee_i2m2.report.elements.rendering import render
from knee_i2m2.report.elements.section import Point, Section
from knee_i2m2.report.elements.words import interval, metric_name, number, p_value, sentence, with_noun
from knee_i2m2.report.paper.summary import SIMULATED

__all__ = ["write_comparison"]

VERDICTS = {"adds": "better", "costs": "worse"}
"""Verdict about an effect -> verdict about a run; the others are the same."""


def write_comparison(table: pd.DataFrame, out: Path, runs: Sequence[str], notes: Sequence[str]) -> Path:
    """Writes compare.html (one offline file) and compare.md.

    Args:
        table: Table of `compare`.
        out: Folder.
        runs: Names of the runs; all others are compared with the first.
        notes: Sentences about rivals that are not compared.

    Returns:
        The path of compare.html.
    """
    table = with_noun(table, read_mapping(Path(runs[0]) / "data.json").get("task"))
    sections = [*_sections(table, runs), _limits(notes)]
    values = {
        "runs": list(runs),
        "title": f"{', '.join(runs[1:])} against {runs[0]}",
        "simulated": SIMULATED if any(map(_simulated, map(Path, runs))) else "",
        "reference": REFERENCE,
        "headline": " ".join(_headline(table[table["run"] == run], run, runs[0]) for run in runs[1:]),
        "sections": [section for section in sections if not section.empty],
    }
    write_text(out / "compare.md", render("compare.md.jinja", values))
    write_text(out / "compare.html", render("compare.html.jinja", values))
    return out / "compare.html"


def _simulated(run: Path) -> bool:
    rivals = [folder.name for folder in (run / "predictions").iterdir()]
    return is_simulated(read_mapping(run / "data.json"), rivals)


def _sections(table: pd.DataFrame, runs: Sequence[str]) -> Iterator[Section]:
    for place, run in enumerate(runs[1:], start=1):
        here = table[(table["run"] == run) & (table["against"] == runs[0])]
        units = list(here["unit"].unique())
        how = "Student’s t" if "auroc" in set(here["metric"]) else "a bootstrap"
        yield Section(
            f"run-{place}",
            f"{run} against {runs[0]}",
            (
                f"{run} minus {runs[0]}, means over each run’s seeds; intervals by {how} over the clusters, such as "
                "patients. A difference is called better or worse when its Holm-corrected interval (over all rivals, "
                "targets and runs per unit) excludes 0 and it reaches the margin; p is corrected alike.",
            ),
            points=tuple(_points(here)),
            tables=tuple(_differences(here, unit, place) for unit in units),
            folded=tuple(_values(here, unit, place, run, runs[0]) for unit in units),
        )


def _limits(notes: Sequence[str]) -> Section:
    return Section("limits", "What is not compared", notes=tuple(map(sentence, notes)))


def _main(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of the reference, or of the first rival, in the smallest unit."""
    rivals = list(table["rival"].unique())
    rival = REFERENCE if REFERENCE in rivals else rivals[0]
    return table[(table["rival"] == rival) & (table["unit"] == table["unit"].iloc[0])]


def _headline(table: pd.DataFrame, run: str, against: str) -> str:
    """Returns one sentence about the reference of a run and that of the first."""
    rows = _main(table)
    row = rows[rows["target"] == MACRO].iloc[0] if MACRO in set(rows["target"]) else rows.iloc[0]
    mean, over = (
        ("mean ", f" over {row['note']}" * bool(row["note"])) if (rows["target"] != MACRO).sum() > 1 else ("", "")
    )
    begin = f"For {row['rival']} the {mean}{metric_name(row['metric'])} per {row['unit']}"
    if not math.isfinite(row["value"]):
        return f"{begin} of {run} and {against} cannot be compared."
    away = {1: f"{number(row['value'])} above", -1: f"{number(-row['value'])} below", 0: "equal to"}
    text = f"{begin}{over} is {number(row['second'])} in {run}, {away[int(np.sign(row['value']))]} that in {against}"
    return f"{text} (95\u00a0% interval of the paired difference {number(row['low'])} to {number(row['high'])})."


def _points(table: pd.DataFrame) -> Iterator[Point]:
    """Yields the verdict about the reference on every target."""
    rows = _main(table)
    for row in rows[rows["target"] != MACRO].to_dict("records"):
        verdict = VERDICTS.get(str(row["verdict"]), str(row["verdict"]))
        by = f"{number(row['value'])} {interval(row['holm_low'], row['holm_high'])}".strip()
        more = tuple(part for part in (by, p_value(row["p_holm"])) if part) if math.isfinite(row["value"]) else ()
        yield Point(str(row["target"]), f"{row['rival']}: {verdict}", more)


def _differences(table: pd.DataFrame, unit: str, place: int) -> Table:
    rows = table[table["unit"] == unit]
    end = max([0.01, *rows[["low", "high"]].abs().max().dropna()])

    def form(row: Row) -> Cell:
        verdict = str(row["verdict"]) if isinstance(row["verdict"], str) else ""
        text = " · ".join(part for part in (VERDICTS.get(verdict, verdict), p_value(_float(row["p_holm"]))) if part)
        return cell(row, (-end, end), text if math.isfinite(_float(row["value"])) else "")

    title = f"Differences per {unit}"
    return Table(f"run_{place}_{unit}", title, *_columns_and_rows(rows, form), zero=50.0)


def _values(table: pd.DataFrame, unit: str, place: int, run: str, against: str) -> Table:
    rows = table[table["unit"] == unit]

    def form(row: Row) -> Cell:
        return Cell(f"{number(_float(row['first']))} → {number(_float(row['second']))}")

    title = f"{metric_name(rows['metric'].iloc[0])} per {unit}: {against} → {run}"
    return Table(f"values_{place}_{unit}", title, *_columns_and_rows(rows, form))


def _columns_and_rows(rows: pd.DataFrame, form: Callable[[Row], Cell]) -> tuple[tuple[str, ...], Rows]:
    """Returns columns and rows: targets by rivals, the reference first and the ideal observer last."""
    order = {REFERENCE: -1, IDEAL: 1}
    rivals = sorted(rows["rival"].unique(), key=lambda rival: (order.get(rival, 0), rival))
    targets = list(dict.fromkeys(rows["target"]))
    targets = targets if len(targets) > 2 else [target for target in targets if target != MACRO]
    rows, names = headed(rows)
    return tuple(names[target] for target in targets), grid_rows(rows, ("rival", rivals), ("target", targets), form)


def _float(value: object) -> float:
    return float(str(value))
