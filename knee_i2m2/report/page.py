"""The report of a run: one page, the same in Markdown, and its tables and figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knee_i2m2.files import write_text
from knee_i2m2.report.elements.cells import csv, safe
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.elements.rendering import render, svg_document
from knee_i2m2.report.elements.section import Section, without_none
from knee_i2m2.report.elements.words import metric_name
from knee_i2m2.report.first_screen import FirstScreen, first_screen
from knee_i2m2.report.paper.model_card import model_card
from knee_i2m2.report.paper.reporting_sheet import reporting_sheet
from knee_i2m2.report.run_details import run_detail_sections
from knee_i2m2.report.sections import explanation_sections, result_sections
from knee_i2m2.report.single.browser import SCRIPTS, browser_section
from knee_i2m2.report.tables.latex import latex
from knee_i2m2.report.tables.operating import measures_frame
from knee_i2m2.report.tables.results import results_table

__all__ = ["write_report"]


def write_report(run: Path, title: str | None = None) -> Path:
    """Writes report.html (one offline file) of an evaluated run, and the files for a paper.

    That is report.md, reporting_sheet.md (after CLAIM), model_card.md, tables (CSV, LaTeX) and figures (SVG).

    Args:
        run: Run folder.
        title: Of the page; the name of the folder by default.

    Returns:
        The path of report.html.

    Raises:
        DataError: The run is not evaluated, or a file is damaged.
    """
    record = read_record(run)
    first, sections = first_screen(record, title), _sections(record)
    _write_parts(run, record, first, sections)
    values = _values(record, first, sections)
    write_text(run / "report.md", render("report.md.jinja", values))
    write_text(run / "reporting_sheet.md", reporting_sheet(record))
    write_text(run / "model_card.md", model_card(record))
    write_text(run / "report.html", render("report.html.jinja", values))
    return run / "report.html"


def _sections(record: Record) -> list[Section]:
    """Returns the sections in their order on the page; single cases get the remaining bytes."""
    before, after = [*result_sections(record)], [*explanation_sections(record), *run_detail_sections(record)]
    used = sum(len(picture.svg) for section in (*before, *after) for picture in section.pictures)
    sections = (*before, browser_section(record.cases, _ROOM - used), *after)
    return [section for section in sections if not section.empty]


_ROOM = 9_000_000
"""Bytes for figures and pictures; the page is to stay below ten million."""


def _write_parts(run: Path, record: Record, first: FirstScreen, sections: Sequence[Section]) -> None:
    """Writes every table and figure as a file, and the headline for LaTeX."""
    for table in (first.counts, *(table for section in sections for table in (*section.tables, *section.folded))):
        write_text(run / "tables" / f"{table.name}.csv", csv(table))
    for picture in (*first.pictures, *(picture for section in sections for picture in section.pictures)):
        write_text(run / "figures" / f"{picture.name}.svg", svg_document(picture.svg))
    measures = measures_frame(record).map(lambda value: safe(value) if isinstance(value, str) else value)
    write_text(run / "tables" / "measures.csv", measures.to_csv(index=False, lineterminator="\n"))
    for table in without_none(results_table(record, unit, record.metric) for unit in record.units):
        caption = f"{metric_name(record.metric)} {table.title} on test: means over seeds with 95 % intervals."
        write_text(run / "tables" / f"{table.name}.tex", latex(table, caption))


def _values(record: Record, first: FirstScreen, sections: Sequence[Section]) -> dict[str, Any]:
    """Returns the values of the templates."""
    return {
        "sections": sections,
        "first": first,
        "reference": record.reference,
        "scripts": SCRIPTS if any(section.html for section in sections) else "",
    }
