"""Items of the reporting sheet about results, discussion and other information."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.words import headline, listing, sentence
from knee_i2m2.report.paper.checklist import Item, known
from knee_i2m2.report.paper.summary import (
    dependence_sentences,
    leak_warning,
    left_out_counts,
    operating_tables,
    result_tables,
    simulation_note,
    subgroup_sizes,
    with_titles,
)
from knee_i2m2.report.tables.budget import counts_table
from knee_i2m2.report.tables.operating import ranking_table
from knee_i2m2.report.tables.results import difference_table

__all__ = ["discussion", "other_information", "performance", "results_data"]


def results_data(record: Record) -> Iterator[Item]:
    """Yields items 35 and 36."""
    counts, left_out = with_titles("Counts", counts_table(record)), left_out_counts(record)
    todo = "" if counts and left_out else "Give the numbers included and excluded at every step, and why."
    yield Item(35, "Numbers of patients included and excluded", todo, left_out, counts)
    who = "Give age, sex and clinical characteristics of train, val and test."
    yield Item(36, "Demographics per partition", who, tuple(subgroup_sizes(record)))


def performance(record: Record) -> Iterator[Item]:
    """Yields items 37 to 39."""
    first = headline(record.evaluation, record.comparisons, record.answers.unit, record.reference)
    differences = with_titles("Differences to the reference", difference_table(record, record.answers.unit))
    tables = (*result_tables(record), *differences)
    yield Item(37, "Performance and uncertainty", "", (first, *dependence_sentences(record)), tables)
    measured = (*operating_tables(record), *with_titles("Ranking", ranking_table(record, record.answers.unit)))
    todo = "Give sensitivity and specificity, or what takes their place, with intervals."
    yield known(38, "Estimates of diagnostic performance and precision", (), todo, measured)
    wrong = "Examine the errors, and say what they have in common."
    yield Item(39, "Failure analysis", wrong, tuple(_shown(record)))


def _shown(record: Record) -> Iterator[str]:
    """Yields the number of cases in the report."""
    if record.cases is not None and not record.cases.stale:
        kinds = Counter(case.kind for case in record.cases.cases)
        named = listing([f"{n} {kind}" for kind, n in kinds.items()])
        yield f"The report shows single cases of {record.cases.rival}: {named}."


def discussion(record: Record) -> Iterator[Item]:
    """Yields items 40 and 41."""
    leak, notes = leak_warning(record), map(str, record.settings["notes"])
    sentences = (*([leak] if leak else []), *simulation_note(record), *map(sentence, notes))
    yield Item(40, "Limitations", "Discuss bias, size, generalisation and what was not measured.", sentences)
    yield Item(41, "Implications", "Say what the results mean for practice, and what has to come before it.")


def other_information(record: Record) -> Iterator[Item]:
    """Yields items 42 to 44."""
    yield Item(42, "Protocol", "Say where the full protocol can be read.")
    command = record.environment.get("command")
    sentences = (f"Command: {command}",) if command else ()
    yield Item(43, "Availability", "Say where software, weights and data can be had, and on what terms.", sentences)
    yield Item(44, "Funding", "Name the sources of funding, and what part they had in the study.")
