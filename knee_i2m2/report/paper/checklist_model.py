"""Items of the reporting sheet about the model, its training and its evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.measures import COUNTS
from knee_i2m2.report.elements.cells import test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import without_none
from knee_i2m2.report.elements.words import count, listing, metric_name
from knee_i2m2.report.figures.forest import acceleration_table, forest_table
from knee_i2m2.report.figures.shapley import contribution_tables
from knee_i2m2.report.paper.checklist import Item, known
from knee_i2m2.report.paper.summary import (
    calibration_method,
    effect_criterion,
    experts_and_seeds,
    in_a_line,
    interval_method,
    software_versions,
    training_options,
    with_titles,
)
from knee_i2m2.report.single.saliency import saliency_section
from knee_i2m2.report.tables.budget import budget_table
from knee_i2m2.report.tables.results import adjusted_table

__all__ = ["evaluation", "model", "training"]


def model(record: Record) -> Iterator[Item]:
    """Yields items 22 to 24."""
    todo = "Describe the networks, their inputs and outputs, and how the answers of experts are combined."
    yield Item(22, "Description of the model", todo, experts_and_seeds(record))
    yield known(23, "Software", software_versions(record), "Name software, versions and hardware.")
    seeds = dict.fromkeys(seed for rival, seed in record.answers.logp if rival != IDEAL)
    start = "Say how weights are drawn, and which experts start from weights that were trained before."
    yield Item(24, "Initialisation", start, (f"Seeds of training: {listing([*seeds])}.",) if seeds else ())


def training(record: Record) -> Iterator[Item]:
    """Yields items 25 to 27."""
    sentences = training_options(record)
    todo = "" if sentences else "Give losses, optimiser, learning rates, batch size, augmentation and stopping rule."
    yield Item(25, "Training details", todo, sentences, with_titles("Budget", budget_table(record)))
    chosen = "Say how the weights that answered test were chosen."
    yield known(26, "Selection of the final model", _best(record), chosen)
    yield known(27, "Ensembling", _ensembling(record), "Say whether and how several models are combined.")


def _best(record: Record) -> tuple[str, ...]:
    """Returns the selected epoch of every training."""
    if not {"epochs", "best_epoch"} <= set(record.budget.columns):
        return ()
    amounts = record.budget[["epochs", "best_epoch"]].apply(pd.to_numeric, errors="coerce")
    trained = record.budget.assign(**amounts).dropna(subset=["epochs", "best_epoch"])
    kept = [
        f"{row['rival']}, seed {row['seed']}: {count(row['best_epoch'] + 1)} of {count(row['epochs'])}"
        for row in trained.to_dict("records")
    ]
    return (f"The epoch with the best score on val was kept: {'; '.join(kept)}.",) if kept else ()


def _ensembling(record: Record) -> tuple[str, ...]:
    experts = {rival: len(names) for rival, names in record.answers.experts.items() if rival != IDEAL and names}
    if not experts:
        return ()
    counts = listing([f"{rival} {n}" for rival, n in experts.items()])
    return (f"Number of experts per rival: {counts}.", "Seeds are not ensembled: numbers are means over seeds.")


def evaluation(record: Record) -> Iterator[Item]:
    """Yields items 28 to 34."""
    yield Item(28, "Metrics", sentences=tuple(_metrics(record)))
    yield _uncertainty(record)
    yield _robustness(record)
    yield _explainability(record)
    yield _internal(record)
    other = "Report the performance on data of another institution, or say that there was none."
    yield Item(33, "External evaluation", other)
    yield Item(34, "Registration", "Give the number of the registration, or say that there is none.")


def _metrics(record: Record) -> Iterator[str]:
    measured = test_rows(record.evaluation)["metric"].unique()
    names = [metric_name(m) for m in measured if m not in COUNTS and not m.endswith("_before")]
    yield f"Headline: {metric_name(record.metric)}. All: {', '.join(names)}."
    yield f"Units: {listing(record.units)}."
    if joined := in_a_line(record.settings.get("aggregators", {})):
        yield f"Aggregation over the {record.answers.unit}s of a group, chosen on val: {joined}."
    yield calibration_method(record)


def _uncertainty(record: Record) -> Item:
    intervals, has_p = interval_method(record), record.comparisons["p"].notna().any()
    spread = "The standard deviation over seeds is reported separately from the interval."
    p = ("p of paired differences: t test on the jackknife over clusters, Holm-corrected.",) if has_p else ()
    todo = "" if intervals else "Say how intervals were computed."
    sentences = (*intervals, spread, *p, *effect_criterion(record))
    return Item(29, "Statistical significance and uncertainty", todo, sentences)


def _robustness(record: Record) -> Item:
    tables = (
        *with_titles("Subgroups", forest_table(record)),
        *with_titles("Faster scans", acceleration_table(record)),
        *without_none([adjusted_table(record)]),
    )
    todo = "Report how results change with subgroups, noise, scanners or choices of the analysis."
    return known(30, "Robustness or sensitivity analysis", (), todo, tables)


def _explainability(record: Record) -> Item:
    maps = saliency_section(record.cases)
    warned = (maps.warning,) if maps.warning else ()
    tables = (*with_titles("Experts", *contribution_tables(record)), *maps.tables)
    todo = "Say how answers can be explained, and how that was validated."
    return known(31, "Explainability", (*maps.text, *warned), todo, tables)


def _internal(record: Record) -> Item:
    counts, who, unit = record.data.get("counts"), record.answers.index, record.answers.unit
    together = isinstance(counts, Mapping) and {"train", "test"} <= set(counts)
    todo = "" if together else "Say how test relates to the data of training."
    where = "Evaluated on test" + (", which was prepared together with train" if together else "")
    sentences = f"{where}: {count(len(who))} {unit}s of {count(who['cluster'].nunique())} clusters, such as patients."
    return Item(32, "Internal evaluation", todo, (sentences,))
