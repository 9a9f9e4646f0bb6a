"""The report of a run: one page, the same in Markdown, and its tables and figures as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from knee_i2m2.evaluation.evaluate import REFERENCE
from knee_i2m2.files import write_text
from knee_i2m2.report.figures import (
    Picture,
    efficiency_picture,
    roc_pictures,
    share_picture,
    training_pictures,
)
from knee_i2m2.report.inputs import Record, read_record
from knee_i2m2.report.tables import Table, budget_table, counts_table, csv, difference_table, results_table
from knee_i2m2.report.words import METRICS, facts, headline

__all__ = ["write_report"]


def write_report(run: Path) -> Path:
    """Writes report.html (one offline file), report.md, tables/*.csv and figures/*.svg into an evaluated run.

    Returns:
        The path of report.html.

    Raises:
        DataError: The run is not evaluated, or a file is damaged.
    """
    record = read_record(run)
    tables, pictures = _tables(record), _pictures(record)
    values = _words(record) | {"tables": tables, "pictures": pictures}
    for table in _flat(tables):
        write_text(run / "tables" / f"{table.name}.csv", csv(table))
    for picture in _flat(pictures):
        write_text(run / "figures" / f"{picture.name}.svg", _standalone(picture.svg))
    write_text(run / "report.md", _rendered("report.md.jinja", values))
    write_text(run / "report.html", _rendered("report.html.jinja", values))
    return run / "report.html"


def _tables(record: Record) -> dict[str, list[Table]]:
    """Returns the tables of every section."""
    measured = record.evaluation[["unit", "metric"]].drop_duplicates()
    units = list(measured["unit"].unique())
    metric = "auroc" if record.answers.classes == 2 else "accuracy"
    return {
        "results": _found(results_table(record, unit, metric) for unit in units),
        "differences": _found(difference_table(record, unit) for unit in units),
        "efficiency": _found([results_table(record, record.answers.unit, "efficiency")]),
        "budget": _found([budget_table(record)]),
        "counts": _found([counts_table(record)]),
    }


def _pictures(record: Record) -> dict[str, list[Picture]]:
    """Returns the figures of every section."""
    return {
        "roc": list(roc_pictures(record)),
        "training": list(training_pictures(record)),
        "efficiency": _found([efficiency_picture(record)]),
        "shares": _found([share_picture(record)]),
    }


def _found(parts: Iterable[Any]) -> list[Any]:
    return [part for part in parts if part is not None]


def _flat(sections: Mapping[str, list[Any]]) -> list[Any]:
    return [part for section in sections.values() for part in section]


def _words(record: Record) -> dict[str, Any]:
    """Returns what the page says in words."""
    return {
        "name": record.name,
        "task": str(record.data.get("task", "")),
        "targets": record.answers.targets,
        "unit": record.answers.unit,
        "metric": "AUROC" if record.answers.classes == 2 else METRICS["accuracy"],
        "reference": REFERENCE,
        "headline": headline(record.evaluation, record.comparisons, record.answers.unit),
        "shared": len(record.shared),
        "clusters": record.answers.who["cluster"].nunique(),
        "data": list(facts(record.data, leave_out=("counts", "task", "targets"))),
        "environment": list(facts(record.environment, leave_out=("command",))),
        "command": str(record.environment.get("command", "")),
    }


def _rendered(template: str, values: Mapping[str, Any]) -> str:
    """Returns a template of this folder with its values; names are escaped in HTML and in Markdown."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: bool(name) and name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"drawing": Markup, "plain": _plain}
    return found.get_template(template).render(values)


def _plain(text: object) -> str:
    """Returns text that Markdown takes for text."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return "".join(f"\\{character}" if character in r"\`*_|" else character for character in escaped)


def _standalone(svg: str) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg}'
