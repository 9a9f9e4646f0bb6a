"""Items of the reporting sheet about design, data, reference standard and partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.words import count, listing
from knee_i2m2.report.figures.flow import tested_clusters
from knee_i2m2.report.paper.checklist import Item, known
from knee_i2m2.report.paper.summary import (
    disjoint_splits,
    in_a_line,
    left_out_counts,
    preparation_options,
    simulation_note,
    train_known,
)

__all__ = ["data", "partitions", "reference_standard", "study_design", "testing_data"]


def study_design() -> Iterator[Item]:
    """Yields items 5 and 6."""
    yield Item(5, "Prospective or retrospective", "Say whether the data were collected for this study.")
    yield Item(6, "Study goal", "Say what the study is: a new model, a comparison, a feasibility or validation study.")


def data(record: Record) -> Iterator[Item]:
    """Yields items 7 to 13."""
    yield _sources(record)
    who = "Say who was eligible, and who was excluded before the data were prepared."
    yield Item(8, "Inclusion and exclusion", who, left_out_counts(record))
    how = "Say how the data were processed, from the scanner to the network."
    yield known(9, "Preprocessing", preparation_options(record), how)
    yield Item(10, "Selection of subsets", "Say which part of the source was used, and why.", _used(record))
    yield Item(11, "De-identification", "Say how, by whom and to what standard the data were de-identified.")
    yield _missing(record)
    protocol = "Describe scanners, coils, sequences and their parameters."
    columns = listing(record.answers.subgroups)
    sentences = (f"Columns of test that divide it into subgroups, counted under 36: {columns}.",) if columns else ()
    yield Item(13, "Acquisition protocol", protocol, sentences)


def _sources(record: Record) -> Item:
    sources = record.data.get("sources")
    held = f"data.json names {count(len(sources))} source files, each with its hash." if _many(sources) else ""
    todo = "Say where and when the data were collected, and under which approval and licence they are used."
    return Item(7, "Data sources", todo, (*((held,) if held else ()), *simulation_note(record)))


def _many(value: object) -> bool:
    return isinstance(value, Mapping) and len(value) > 0


def _used(record: Record) -> tuple[str, ...]:
    """Returns how many samples prepared for test were evaluated."""
    held, units = record.data.get("counts"), len(record.answers.index)
    test = held.get("test") if isinstance(held, Mapping) else None
    prepared = test.get("samples") if isinstance(test, Mapping) else None
    return (
        (f"Evaluated: {count(units)} of the {count(prepared)} samples prepared for test.",) if count(prepared) else ()
    )


def _missing(record: Record) -> Item:
    answers, unknown = record.answers, (record.answers.truth < 0).sum(axis=0)
    missing = [f"{target} {count(int(n))}" for target, n in zip(answers.targets, unknown, strict=True) if n]
    which = listing(missing) or "none"
    sentences = f"Test {answers.unit}s without a label, which are left out of that target's numbers: {which}."
    todo = "Say what was missing in the sources, and how that was handled before the data were prepared."
    return Item(12, "Missing data", todo, (sentences,))


def reference_standard(record: Record) -> Iterator[Item]:
    """Yields items 14 to 18."""
    how = "Define each target, and say how its truth was determined."
    yield Item(14, "Definition of the reference standard", how, tuple(_targets(record)))
    yield Item(15, "Rationale", "Say why this reference standard was chosen, and what its limits are.")
    who = "Say who annotated, how many of them, with what training and tools."
    yield Item(16, "Source of annotations", who)
    test = "Say how test was annotated, and whether otherwise than train."
    yield Item(17, "Annotation of the test set", test, tuple(_labelled(record)))
    vary = "Give the agreement between and within annotators, and how disagreement was resolved."
    yield Item(18, "Rater variability", vary)


def _targets(record: Record) -> Iterator[str]:
    answers, settings = record.answers, record.data.get("settings")
    yield f"Targets, of {answers.classes} classes each: {listing(answers.targets)}."
    named = {name: text for name, text in settings.items() if name in answers.targets} if _many(settings) else {}
    if named:
        yield f"Options of the preparation that define a target: {in_a_line(named)}."


def _labelled(record: Record) -> Iterator[str]:
    """Yields the labels of the clusters of test."""
    if record.answers.detection:
        for target, (positive, negative, unknown) in tested_clusters(record).items():
            yield f"{target}: {positive} clusters of test with, {negative} without, {unknown} unknown."


def partitions(record: Record) -> Iterator[Item]:
    """Yields items 19 and 20."""
    settings = record.data.get("settings")
    chosen = {n: v for n, v in settings.items() if n in ("split", "seed")} if _many(settings) else {}
    sentences = (f"Options of the preparation: {in_a_line(chosen)}.",) if "split" in chosen else ()
    yield known(19, "How data were assigned to partitions", sentences, "Say how samples came into train, val and test.")
    certain = train_known(record) or record.settings["leaks"]
    todo = "" if certain else "Say whether train shares patients with val or test: data.json does not record it."
    yield Item(20, "Level at which partitions are disjoint", todo, disjoint_splits(record))


def testing_data(record: Record) -> Iterator[Item]:
    """Yields item 21."""
    clusters = int(np.unique(record.answers.index["cluster"].astype(str)).size)
    least = record.settings.get("least_clusters")
    below = f" With fewer than {least} positive or negative ones a value has no interval." if least is not None else ""
    sentences = f"Test holds {count(clusters)} clusters, such as patients.{below}"
    todo = "Say which size was intended, and how it was determined, for instance by the width of an interval."
    yield Item(21, "Intended sample size", todo, (sentences,))
