"""Sentences and tables about a run for its reporting sheet and its model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.tidy import MACRO
from knee_i2m2.report.elements.cells import ALL, Table, test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import without_none
from knee_i2m2.report.elements.verdicts import sentences
from knee_i2m2.report.elements.words import count, facts, listing, metric_name, subgroup_name
from knee_i2m2.report.figures.forest import ACCELERATION
from knee_i2m2.report.tables.operating import calibration_table, operating_table
from knee_i2m2.report.tables.results import results_table

__all__ = [
    "FOLDERS",
    "SIMULATED",
    "calibration_method",
    "dependence_sentences",
    "dependence_title",
    "disjoint_splits",
    "effect_criterion",
    "experts_and_seeds",
    "in_a_line",
    "interval_method",
    "leak_warning",
    "left_out_counts",
    "one_target",
    "operating_tables",
    "preparation_options",
    "result_tables",
    "simulation_note",
    "software_versions",
    "subgroup_sizes",
    "train_known",
    "training_options",
    "with_titles",
]


def in_a_line(values: Mapping[str, Any], leave_out: tuple[str, ...] = ()) -> str:
    """Returns a nested mapping in one line.

    Example:
        >>> in_a_line({"split": "patient", "columns": None, "snr": [-18, -1]})
        'split patient; columns none; snr -18, -1'
    """
    return "; ".join(f"{name} {text}" for name, text in facts(values, leave_out))


def leak_warning(record: Record) -> str:
    """Returns a warning with the number of leaking clusters, without names, which may be those of patients."""
    leaks = record.settings["leaks"]
    if not leaks:
        return ""
    clusters = (
        "1 cluster, such as a patient, is" if len(leaks) == 1 else f"{len(leaks)} clusters, such as patients, are"
    )
    reason = "so that test is not independent of training and model selection"
    return (
        f"THE SPLIT LEAKS: {clusters} in more than one split, {reason}. "
        "Every number below may be too good and should not be published."
    )


def train_known(record: Record) -> bool:
    """Returns whether the clusters of train were known to `evaluate`."""
    return bool(record.settings.get("train_known"))


def disjoint_splits(record: Record) -> tuple[str, ...]:
    """Returns which splits share no cluster, as far as the run shows."""
    if record.settings["leaks"]:
        return (leak_warning(record),)
    splits = "train, val and test" if train_known(record) else "val and test"
    return (f"No cluster, such as a patient, is in more than one of {splits}.",)


def simulation_note(record: Record) -> tuple[str, ...]:
    """Returns that data are simulated, where they are, and how many of the volumes."""
    count, volumes = record.data.get("simulated"), record.data.get("volumes")
    if not record.simulated:
        return ()
    some = isinstance(count, int) and isinstance(volumes, int) and 0 < count < volumes
    return (f"{count} of {volumes} volumes are{SIMULATED.removeprefix('The data are')}" if some else SIMULATED,)


SIMULATED = "The data are simulated: what holds for them need not hold for real ones."


def left_out_counts(record: Record) -> tuple[str, ...]:
    """Returns how many were left out when the data were prepared, and why, if `data.json` records it."""
    left_out = record.data.get("left_out")
    if not isinstance(left_out, Mapping):
        return ()
    return (f"Left out by the preparation: {in_a_line(left_out) or 'none'}.",)


def preparation_options(record: Record) -> tuple[str, ...]:
    """Returns the options that the data were prepared with, and how every modality is stored."""
    settings, modalities = (record.data.get(name) for name in ("settings", "modalities"))
    options = in_a_line(settings) if isinstance(settings, Mapping) else ""
    stored = modalities.items() if isinstance(modalities, Mapping) else ()
    lines = [f"{name}: {in_a_line(about, _PLACE)}." for name, about in stored if isinstance(about, Mapping)]
    return (*((f"Options of the preparation: {options}.",) if options else ()), *lines)


_PLACE = ("array", "channel")
FOLDERS = ("data", "out")
"""Options that name folders of this machine."""


def experts_and_seeds(record: Record) -> tuple[str, ...]:
    """Returns the experts and seeds of every rival."""
    return tuple(_rival(record, rival) for rival in record.rivals)


def _rival(record: Record, rival: str) -> str:
    if rival == IDEAL:
        return f"{rival}: the ideal observer, which is not trained; the best possible performance."
    experts, seeds = record.answers.experts.get(rival, ()), record.answers.rivals[rival]
    names = (
        f"{len(experts)} expert{'s' * (len(experts) != 1)}, {listing(experts)}" if experts else "experts not recorded"
    )
    return f"{rival}: {names}; seed{'s' * (len(seeds) != 1)} {listing(seeds)}."


def training_options(record: Record) -> tuple[str, ...]:
    """Returns the options of training, where they are known, without folders."""
    return (f"Options of training: {in_a_line(record.options, FOLDERS)}.",) if record.options else ()


def software_versions(record: Record) -> tuple[str, ...]:
    """Returns machine and packages, where they are known; without the command."""
    packages = record.environment.get("packages")
    machine = in_a_line(record.environment, ("command", "packages"))
    listed = in_a_line(packages) if isinstance(packages, Mapping) else ""
    return tuple(f"{what}: {text}." for what, text in (("Environment", machine), ("Packages", listed)) if text)


def interval_method(record: Record) -> tuple[str, ...]:
    """Returns how intervals were computed, if recorded."""
    replicates = record.settings.get("replicates")
    how = f"percentiles of {replicates} bootstrap replicates that resample whole clusters, for all rivals together"
    few = "of AUROC and its differences a jackknife over clusters, such as patients, with Student's t; else "
    return (f"95\u00a0% intervals: {few * record.answers.detection}{how}.",) if replicates else ()


def effect_criterion(record: Record) -> tuple[str, ...]:
    """Returns the criterion for an effect, if effects were measured."""
    if record.effects.empty:
        return ()
    margin = f"{float(record.settings['margin']):g}"
    rule = "if its Holm-corrected 95\u00a0% interval (over all effects and targets) excludes 0"
    return (f"An effect, a paired difference of two rivals, is reported from {margin} on, {rule}.",)


def dependence_title(record: Record) -> str:
    """Returns `What every target depends on`, or what the one target is that does.

    A class to choose has an article, a finding has none.
    """
    targets = record.answers.targets
    return f"What {'every target' if len(targets) > 1 else one_target(record)} depends on"


def one_target(record: Record) -> str:
    """Returns the first target as a noun: `acl`, `the digit`."""
    return f"{'the ' * record.answers.choice}{record.answers.targets[0]}"


def dependence_sentences(record: Record) -> tuple[str, ...]:
    """Returns a sentence per target: what it depends on."""
    effects = record.effects[record.effects["split"] == "test"]
    margin = float(record.settings["margin"])
    return tuple(sentences(effects, record.answers.unit, margin, record.guessing).values())


def calibration_method(record: Record) -> str:
    """Returns whether probabilities are as trained, or what was fitted on val."""
    chosen, corrected = record.settings["calibration"], listing(record.settings["prior_correction"])
    how = "as trained" if chosen == "none" else f"recalibrated on val ({chosen})"
    return f"Probabilities are {how}{f', the class prior of {corrected} corrected' if corrected else ''}."


def subgroup_sizes(record: Record) -> Iterator[str]:
    """Yields the size of every subgroup of test."""
    unit, filters = record.answers.unit, {"rival": record.shown, "metric": record.metric, "target": MACRO}
    for row in test_rows(record.evaluation, None, unit=unit, **filters).to_dict("records"):
        if row["subgroup"] != ALL and not row["subgroup"].startswith(ACCELERATION):
            size = f"{count(row['n'])} {unit}s of {count(row['clusters'])} clusters of test"
            yield f"{subgroup_name(row['subgroup'])}, {size}."


def result_tables(record: Record) -> tuple[Table, ...]:
    """Returns the headline of every rival and target, a table per unit."""
    return with_titles(
        metric_name(record.metric), *(results_table(record, unit, record.metric) for unit in record.units)
    )


def operating_tables(record: Record) -> tuple[Table, ...]:
    """Returns rates at the threshold of val per unit, then the calibration of the smallest; of the rival shown."""
    rates = with_titles("At the threshold fitted on val", *(operating_table(record, unit) for unit in record.units))
    return (*rates, *with_titles("Calibration", calibration_table(record, record.answers.unit)))


def with_titles(what: str, *tables: Table | None) -> tuple[Table, ...]:
    """Returns the tables that are not None, with the topic in their titles."""
    return tuple(replace(table, title=f"{what}, {table.title}") for table in without_none(tables))
