"""Sections about the data, training and environment of a run."""

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
    """Yields what is not estimable, the patients, the training, the data, and the environment."""
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
        ("A number that the test set does not support is left out.",),
        notes=tuple(sentence(str(note)) for note in record.settings["notes"]),
    )


def _audit(record: Record) -> Section:
    leaks = [str(name) for name in record.settings["leaks"]]
    size = f"Test holds {record.answers.index['cluster'].nunique()} {record.nouns[0]}"
    return Section(
        "patients",
        f"{'Patients' if record.answers.detection else 'Clusters'}, and whether any of them leaks",
        () if leaks else (f"{size}; {_audited(record)}.",),
        warning=_leak(leaks, size) if leaks else "",
        pictures=(flow_picture(record),),
        tables=without_none([counts_table(record)]),
    )


def _audited(record: Record) -> str:
    """Returns what is known if nothing leaks: prediction files hold val and test only."""
    if train_known(record):
        return "none of them is in another split"
    return "none of them is in val; whether any is in train is not recorded with this run"


def _leak(leaks: list[str], size: str) -> str:
    more = [f"{len(leaks) - _NAMED} more"] if len(leaks) > _NAMED else []
    named = listing([*leaks[:_NAMED], *more])
    verb = "is" if len(leaks) == 1 else "are"
    return (
        f"The split leaks. {size}; {named} {verb} in more than one split, so that test is not independent of "
        "training and model selection: every number on this page may be too good and should not be published."
    )


def _training(record: Record) -> Section:
    return Section("training", "Training", ("One line per seed.",), pictures=tuple(training_pictures(record)))


def _budget(record: Record) -> Section:
    text = (
        "What a rival’s own training took, and below it what it took in all, with the training of the single experts "
        "that it started from. FLOPs are those of one answer."
    )
    return Section("budget", "Budget", (text,), tables=without_none([budget_table(record)]))


def _data(record: Record) -> Section:
    values = facts(record.data, leave_out=("counts", "task", "targets"))
    return Section("data", "Data", facts=tuple(values))


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
    yield from ((f"training · {name}", text) for name, text in facts(record.options, leave_out=FOLDERS))


def _evaluated(record: Record) -> Iterator[tuple[str, str]]:
    kept = ("replicates", "seed", "margin", "least_clusters", "calibration", "prior_correction", "aggregators")
    yield from facts({"evaluation": {name: record.settings[name] for name in kept if name in record.settings}})
