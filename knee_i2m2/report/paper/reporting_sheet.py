"""A reporting sheet after CLAIM 2024, filled in from the files of a run.

References:
    Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update (Tejani et al., Radiology: Artificial
    Intelligence, 2024); the words are ours
"""

from __future__ import annotations

from collections.abc import Iterator

from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.rendering import render
from knee_i2m2.report.paper.checklist import Chapter, Item
from knee_i2m2.report.paper.checklist_data import data, partitions, reference_standard, study_design, testing_data
from knee_i2m2.report.paper.checklist_model import evaluation, model, training
from knee_i2m2.report.paper.checklist_results import discussion, other_information, performance, results_data
from knee_i2m2.report.paper.summary import leak_warning

__all__ = ["chapters", "reporting_sheet"]


def reporting_sheet(record: Record) -> str:
    """Returns the sheet as Markdown: unknown items are marked TO DO, and nothing is guessed.

    Args:
        record: Files of the run.
    """
    sections = chapters(record)
    items = [item for chapter in sections for item in chapter.items]
    values = {
        "name": record.name,
        "leak": leak_warning(record),
        "chapters": sections,
        "total": len(items),
        "filled": sum(not item.todo for item in items),
        "partial": sum(item.partial for item in items),
    }
    return render("reporting_sheet.md.jinja", values)


def chapters(record: Record) -> tuple[Chapter, ...]:
    """Returns all items under their headings, in the order of the checklist."""
    return (
        Chapter("Title and abstract", tuple(_title())),
        Chapter("Introduction", tuple(_introduction())),
        Chapter("Methods: study design", tuple(study_design())),
        Chapter("Methods: data", tuple(data(record))),
        Chapter("Methods: reference standard", tuple(reference_standard(record))),
        Chapter("Methods: data partitions", tuple(partitions(record))),
        Chapter("Methods: testing data", tuple(testing_data(record))),
        Chapter("Methods: model", tuple(model(record))),
        Chapter("Methods: training", tuple(training(record))),
        Chapter("Methods: evaluation", tuple(evaluation(record))),
        Chapter("Results: data", tuple(results_data(record))),
        Chapter("Results: model performance", tuple(performance(record))),
        Chapter("Discussion", tuple(discussion(record))),
        Chapter("Other information", tuple(other_information(record))),
    )


def _title() -> Iterator[Item]:
    yield Item(1, "AI methodology named in the title", "Name the kind of method in the title.")
    yield Item(2, "Structured abstract", "Summarise design, methods, results and conclusions.")


def _introduction() -> Iterator[Item]:
    yield Item(3, "Background and intended use", "Give the background, the intended use and the clinical role.")
    yield Item(4, "Aims and hypotheses", "State the aims and the hypotheses that were fixed beforehand.")
