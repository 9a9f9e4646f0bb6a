"""The model card of a run: model, data, performance, and uses that are out of scope.

References:
    Model Cards for Model Reporting (Mitchell et al., 2019)
"""

from __future__ import annotations

from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.rendering import render
from knee_i2m2.report.elements.section import Section
from knee_i2m2.report.elements.words import count, headline, metric_name, sentence
from knee_i2m2.report.figures.forest import acceleration_table, forest_table
from knee_i2m2.report.paper.summary import (
    calibration_method,
    dependence_sentences,
    dependence_title,
    disjoint_splits,
    effect_criterion,
    experts_and_seeds,
    interval_method,
    leak_warning,
    left_out_counts,
    operating_tables,
    preparation_options,
    result_tables,
    simulation_note,
    software_versions,
    subgroup_sizes,
    training_options,
    with_titles,
)
from knee_i2m2.report.single.saliency import saliency_section
from knee_i2m2.report.tables.budget import budget_table, counts_table

__all__ = ["model_card"]


def model_card(record: Record) -> str:
    """Returns the card as Markdown; what only the authors know is marked TO DO.

    Args:
        record: Files of the run.
    """
    values = {
        "name": record.name,
        "task": str(record.data.get("task", "")),
        "targets": record.answers.targets,
        "leak": leak_warning(record),
        "headline": headline(record.evaluation, record.comparisons, record.answers.unit, record.reference),
        "details": _details(record),
        "measured": (_data(record), _evaluation(record), _dependence(record), _subgroups(record)),
        "limitations": _limitations(record),
    }
    return render("model_card.md.jinja", values)


def _details(record: Record) -> Section:
    return Section(
        "details",
        "Model details",
        (f"The model is the rival {record.shown}; the others are for comparison.",),
        command=str(record.environment.get("command", "")),
        notes=(*experts_and_seeds(record), *training_options(record), *software_versions(record)),
        tables=with_titles("Training budget", budget_table(record)),
    )


def _data(record: Record) -> Section:
    sentences = (
        *simulation_note(record),
        *disjoint_splits(record),
        *left_out_counts(record),
        *preparation_options(record),
    )
    return Section("data", "Data", notes=sentences, tables=with_titles("Counts", counts_table(record)))


def _evaluation(record: Record) -> Section:
    clusters = count(record.answers.index["cluster"].nunique())
    return Section(
        "evaluation",
        "Evaluation",
        (f"On test, which holds {clusters} clusters, such as patients; means over seeds.", *interval_method(record)),
        notes=(calibration_method(record),),
        tables=(*result_tables(record), *operating_tables(record)),
    )


def _dependence(record: Record) -> Section:
    unit = f"The metric is {metric_name(record.metric)} per {record.answers.unit}."
    sentences = dependence_sentences(record)
    return Section(
        "dependence",
        dependence_title(record),
        (*effect_criterion(record), unit) if sentences else ("Not measured: the run lacks the rivals for it.",),
        notes=sentences,
    )


def _subgroups(record: Record) -> Section:
    tables = (*with_titles("Subgroups", forest_table(record)), *with_titles("Faster scans", acceleration_table(record)))
    return Section(
        "subgroups",
        "Subgroups",
        () if tables else ("Not measured: the predictions name no subgroup.",),
        notes=tuple(subgroup_sizes(record)),
        tables=tables,
    )


def _limitations(record: Record) -> Section:
    maps = saliency_section(record.cases).warning
    sentences = (*simulation_note(record), *map(str, record.settings["notes"]), *([maps] if maps else []))
    return Section(
        "limitations",
        "Limitations",
        ("All numbers were measured on this test split only.",),
        warning=leak_warning(record),
        notes=tuple(map(sentence, sentences)),
    )
