"""Sections about where a run's numbers come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Section, without_none
from knee_i2m2.report.elements.words import facts, listing, sentence
from knee_i2m2.report.figures.flow import flow_picture
from knee_i2m2.report.figures.overview import training_pictures
from knee_i2m2.report.paper.summary import FOLDERS, train_known
from knee_i2m2.report.tables.budget import budget_table, counts_table

__all__ = ["run_detail_sections"]

_NAMED = 12


def run_detail_sections(record: Record) -> Iterator[Section]:
    """Yields what is not estimable, whom the data are about, how rivals were trained, and how to repeat it."""
    yield _limits(record)
    yield _audit(record)
    yield _training(record)
    yield _budget(record)
    yield _data(record)
    yield _environment(record)


def _limits(record: Record) -> Section:
    return Section(
        "limits",
        "What is not estimable, and why",
        ("No number is better than one that the test set does not support.",),
        notes=tuple(sentence(str(note)) for note in record.settings["notes"]),
    )


def _audit(record: Record) -> Section:
    leaks = [str(name) for name in record.settings["leaks"]]
    clusters = record.answers.index["cluster"].nunique()
    held = f"Test holds {clusters} clusters, such as patients"
    return Section(
        "patients",
        f"{'Patients' if record.answers.detection else 'Clusters'}, and whether any of them leaks",
        () if leaks else (f"{held}; {_audited(record)}.",),
        warning=_leak(leaks, held) if leaks else "",
        pictures=(flow_picture(record),),
        tables=without_none([counts_table(record)]),
    )


def _audited(record: Record) -> str:
    """Returns what is known where nothing leaks: prediction files tell of val and test only."""
    if train_known(record):
        return "none of them stands in another split"
    return "none of them stands in val; whether any stands in train is not recorded with this run"


def _leak(leaks: list[str], held: str) -> str:
    more = [f"{len(leaks) - _NAMED} more"] if len(leaks) > _NAMED else []
    named = listing([*leaks[:_NAMED], *more])
    verb = "stands" if len(leaks) == 1 else "stand"
    return (
        f"The split leaks. {held}; {named} {verb} in more than one split, so that rivals have seen what they are "
        "tested on: every number on this page may be too good, and none of them should be published."
    )


def _training(record: Record) -> Section:
    return Section("training", "Training", ("Every seed is a line.",), pictures=tuple(training_pictures(record)))


def _budget(record: Record) -> Section:
    text = "A rival that starts from experts trained alone costs their training as well."
    return Section("budget", "Budget", (text,), tables=without_none([budget_table(record)]))


def _data(record: Record) -> Section:
    told = facts(record.data, leave_out=("counts", "task", "targets"))
    return Section("data", "Data", facts=tuple(told))


def _environment(record: Record) -> Section:
    command = str(record.environment.get("command", ""))
    return Section(
        "environment",
        "Environment",
        ("Repeat this run with",) if command else (),
        command=command,
        facts=(*_machine(record), *_trained(record), *_evaluated(record)),
    )


def _machine(record: Record) -> Iterator[tuple[str, str]]:
    yield from facts(record.environment, leave_out=("command", "packages"))
    packages = record.environment.get("packages")
    if isinstance(packages, Mapping) and packages:
        yield "packages", ", ".join(f"{name} {version}" for name, version in packages.items())


def _trained(record: Record) -> Iterator[tuple[str, str]]:
    yield from facts({"training": {k: v for k, v in record.options.items() if k not in FOLDERS}})


def _evaluated(record: Record) -> Iterator[tuple[str, str]]:
    kept = ("replicates", "seed", "margin", "least_positive_clusters", "calibration", "prior_correction", "aggregators")
    yield from facts({"evaluation": {name: record.settings[name] for name in kept if name in record.settings}})
