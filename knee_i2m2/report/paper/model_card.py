"""The model card of a run: what was trained, on what, how well it answers, and what nobody should use it for.

References:
    Model Cards for Model Reporting (Mitchell et al., 2019)
"""

from __future__ import annotations

from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.rendering import rendered
from knee_i2m2.report.elements.section import Section
from knee_i2m2.report.elements.words import count, headline, sentence
from knee_i2m2.report.figures.forest import acceleration_table, forest_table
from knee_i2m2.report.paper.summary import (
    calibration_told,
    dependence_told,
    disjoint_told,
    effects_told,
    interval_told,
    leak_told,
    left_out_told,
    metric_name,
    model_told,
    operating_tables,
    options_told,
    preparation_told,
    result_tables,
    simulated_told,
    software_told,
    subgroups_told,
    titled,
)
from knee_i2m2.report.single.saliency import saliency_section
from knee_i2m2.report.tables.budget import budget_table, counts_table

__all__ = ["model_card"]


def model_card(record: Record) -> str:
    """Returns the card as Markdown; what only the authors can tell is marked TO DO.

    Args:
        record: What the run left behind.
    """
    values = {
        "name": record.name,
        "task": str(record.data.get("task", "")),
        "targets": record.answers.targets,
        "leak": leak_told(record),
        "headline": headline(record.evaluation, record.comparisons, record.answers.unit),
        "details": _details(record),
        "measured": (_data(record), _evaluation(record), _dependence(record), _subgroups(record)),
        "limitations": _limitations(record),
    }
    return rendered("model_card.md.jinja", values)


def _details(record: Record) -> Section:
    return Section(
        "details",
        "Model details",
        (f"The model is the rival {record.shown}; the others are there to compare it with.",),
        command=str(record.environment.get("command", "")),
        notes=(*model_told(record), *options_told(record), *software_told(record)),
        tables=titled("Training budget", budget_table(record)),
    )


def _data(record: Record) -> Section:
    told = (*simulated_told(record), *disjoint_told(record), *left_out_told(record), *preparation_told(record))
    return Section("data", "Data", notes=told, tables=titled("Counts", counts_table(record)))


def _evaluation(record: Record) -> Section:
    clusters = count(record.answers.who["cluster"].nunique())
    return Section(
        "evaluation",
        "Evaluation",
        (f"On test, which holds {clusters} clusters, such as patients; means over seeds.", *interval_told(record)),
        notes=(calibration_told(record),),
        tables=(*result_tables(record), *operating_tables(record)),
    )


def _dependence(record: Record) -> Section:
    unit = f"Sentences are about {metric_name(record.metric)} per {record.answers.unit}."
    told = dependence_told(record)
    return Section(
        "dependence",
        "What every target depends on",
        (*effects_told(record), unit) if told else ("Not measured: the run lacks the rivals that would tell.",),
        notes=told,
    )


def _subgroups(record: Record) -> Section:
    tables = (*titled("Subgroups", forest_table(record)), *titled("Faster scans", acceleration_table(record)))
    return Section(
        "subgroups",
        "Subgroups",
        () if tables else ("Not measured: the predictions name no subgroup.",),
        notes=tuple(subgroups_told(record)),
        tables=tables,
    )


def _limitations(record: Record) -> Section:
    maps = saliency_section(record.cases).warning
    told = (*simulated_told(record), *map(str, record.settings["notes"]), *([maps] if maps else []))
    return Section(
        "limitations",
        "Limitations",
        ("Nothing here was measured on other data than this test split.",),
        warning=leak_told(record),
        notes=tuple(map(sentence, told)),
    )
