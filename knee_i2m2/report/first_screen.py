"""What the page shows first: what the run is, its question and answers, a figure, a case, the patients, the words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from knee_i2m2.clusters import LEAST_CLUSTERS
from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.effects import ENSEMBLING, INTERACTION
from knee_i2m2.evaluation.evaluate import REFERENCE
from knee_i2m2.report.elements.cells import Cell, Row, Table, test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture, Point
from knee_i2m2.report.elements.verdicts import dependence
from knee_i2m2.report.elements.words import NOT_ESTIMABLE, count, headline, interval, listing, metric_name, number
from knee_i2m2.report.figures.flow import tested_clusters
from knee_i2m2.report.figures.overview import rival_pictures
from knee_i2m2.report.paper.summary import leak_warning, one_target, simulation_note
from knee_i2m2.report.single.browser import example

__all__ = ["FirstScreen", "first_screen"]


@dataclass(frozen=True)
class FirstScreen:
    """The parts, in the order in which they are read.

    Attributes:
        title: The user's, or the name of the run folder.
        facts: Task, date and size of the test split.
        simulated: That data are simulated; empty where none are.
        leak: That the split leaks; empty where it does not.
        question: What the run answers.
        measure: What the numbers beside the answers are; empty where there are none.
        answers: The verdict on every target with its intervals.
        pictures: The headline metric of every rival and target.
        caption: How to read them.
        example: A case as HTML; empty where the run has none.
        counts: How many clusters of each class the test split holds.
        glossary: Names of rivals in this run, and what they are.
    """

    title: str
    facts: tuple[str, ...]
    simulated: str
    leak: str
    question: str
    measure: str
    answers: tuple[Point, ...]
    pictures: tuple[Picture, ...]
    caption: str
    example: str
    counts: Table
    glossary: tuple[tuple[str, str], ...]


def first_screen(record: Record, title: str | None = None) -> FirstScreen:
    """Returns what the page of a run shows first, under the user's title or the name of its folder."""
    answers = tuple(_answers(record))
    return FirstScreen(
        title or record.name,
        tuple(_facts(record)),
        " ".join(simulation_note(record)),
        leak_warning(record),
        _question(record),
        _measure(record, answers),
        answers,
        tuple(rival_pictures(record)),
        _caption(record),
        example(record.cases, record.answers.targets),
        _counts(record),
        tuple(_glossary(record)),
    )


def _facts(record: Record) -> Iterator[str]:
    if task := record.data.get("task"):
        yield str(task)
    if record.trained:
        yield f"trained {record.trained}"
    clusters = _counted(record.answers.index["cluster"].nunique(), record.nouns[0])
    samples = _counted(len(record.answers.index), record.nouns[2])
    yield f"test split: {clusters}, independent of each other; {samples}"
    sources = record.data.get("sources")
    if isinstance(sources, Mapping) and sources and not record.simulated:
        many = f"{_counted(len(sources), 'source files')}, named in data.json"
        yield f"data: {many if len(sources) > _FEW else ', '.join(map(str, sources))}"


_FEW = 4
"""Names of sources that fit into a line."""


def _counted(value: int, noun: str) -> str:
    """Returns a number and its noun, which a line break must not part."""
    return f"{count(value)} {noun}".replace(" ", "\u00a0")


def _effects(record: Record) -> pd.DataFrame:
    """Returns the effects of modalities and of their interaction, per smallest unit, on test."""
    effects = record.effects[(record.effects["split"] == "test") & (record.effects["unit"] == record.answers.unit)]
    return effects[effects["effect"] != ENSEMBLING]


def _question(record: Record) -> str:
    modalities = [effect for effect in _effects(record)["effect"].unique() if effect != INTERACTION]
    what = "each finding" if len(record.answers.targets) > 1 else one_target(record)
    if modalities:
        return f"What does {what} depend on: {', '.join(modalities)} or their interaction?"
    return f"How well do the rivals predict {what}?"


def _answers(record: Record) -> Iterator[Point]:
    """Yields a line per target: what it depends on, and the effects that show it; without effects, the headline."""
    effects = _effects(record)
    for target, rows in effects.groupby("target", sort=False):
        verdicts = dict(zip(rows["effect"], rows["verdict"], strict=True))
        unknown = set(verdicts.values()) == {NOT_ESTIMABLE}
        text = _too_few(record) if unknown else dependence(verdicts, target in record.guessing)
        yield Point(str(target), text, () if unknown else tuple(map(_effect, rows.to_dict("records"))))
    if effects.empty:
        yield Point("", headline(record.evaluation, record.comparisons, record.answers.unit, record.reference))


def _too_few(record: Record) -> str:
    needed = f": {LEAST_CLUSTERS} with and {LEAST_CLUSTERS} without are needed" if record.answers.detection else ""
    return f"too few {record.nouns[0]} for a verdict{needed}"


def _effect(row: Row) -> str:
    """Returns `phase +0.050 [0.010, 0.090]`; without an interval no number, which could not be interpreted."""
    value, low, high = (float(str(row[name])) for name in ("value", "holm_low", "holm_high"))
    if row["verdict"] == NOT_ESTIMABLE:
        return f"{row['effect']} {NOT_ESTIMABLE}"
    if value == low == high == 0:
        return f"{row['effect']}: {row['rival']} and {row['against']} score exactly alike"
    estimate = f"{'+' * (value > 0)}{number(value)} {interval(low, high)}".replace(" ", "\u00a0")
    return f"{row['effect']} {estimate}"


def _measure(record: Record, answers: Sequence[Point]) -> str:
    if not any(answer.details for answer in answers):
        return ""
    what = f"{metric_name(record.metric)} per {record.answers.unit}"
    return f"Numbers: gain in {what} from seeing it, 95\u00a0% interval adjusted for multiple comparisons (Holm)."


def _caption(record: Record) -> str:
    """Returns what is drawn: estimates with intervals, without, or both."""
    metric, few = metric_name(record.metric), f"too few {record.nouns[0]}"
    drawn = test_rows(record.evaluation, unit=record.answers.unit, metric=record.metric).dropna(subset="value")
    bare = drawn.loc[drawn["target"].isin(record.answers.targets), "low"].isna()
    intervals = "" if bare.all() else " with 95 % intervals"
    crosses = f" {'Crosses have' if bare.all() else 'A cross has'} no interval: {few} for one." if bare.any() else ""
    chance = "" if record.answers.detection else " Chance: always naming the most frequent class of the test split."
    return f"{metric[0].upper()}{metric[1:]} per {record.answers.unit}{intervals}.{crosses}{chance}"


def _counts(record: Record) -> Table:
    """Returns the clusters of test by class: per finding with, without and unknown; else per class of the answer."""
    clusters, _, samples = record.nouns
    if record.answers.detection:
        columns = ("with", "without", "unknown")
        rows = [(target, tuple(map(count, n))) for target, n in tested_clusters(record).items()]
        return Table("classes", f"{clusters} of the test split", columns, _texts(rows), corner="finding")
    truth, names = record.answers.truth[:, 0], record.answers.index["cluster"].to_numpy()
    classes = _CLASSES.get(str(record.data.get("task")), tuple(map(str, range(record.answers.classes))))
    here = [(name, truth == place) for place, name in enumerate(classes)]
    rows = [(name, (count(len(np.unique(names[of]))), count(int(of.sum())))) for name, of in here]
    return Table("classes", "the test split by class", (clusters, samples), _texts(rows), corner="class")


_CLASSES = {"nlvr2": ("false", "true")}
"""Task -> names of its classes, where they are not numbers."""


def _texts(rows: list[tuple[str, tuple[str, ...]]]) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    return tuple((name, tuple(map(Cell, values))) for name, values in rows)


def _glossary(record: Record) -> Iterator[tuple[str, str]]:
    """Yields the names of this run's rivals that need explaining."""
    for name, text in _GLOSSARY.items():
        if name in record.rivals:
            experts = listing(record.answers.experts.get(name, ()))
            yield ("I2M2" if name == REFERENCE else name), text.format(experts=experts or "its experts")


_GLOSSARY = {
    REFERENCE: "the product of {experts}: what each modality shows by itself, and what they show together",
    "intra": "the product of {experts}: only what each modality shows by itself",
    "inter": "one expert that sees all modalities at once: what they show together",
    "inter3": "the product of three copies of inter: what any larger ensemble gains (a control)",
    "intra2": "the experts of intra, each twice: what an ensemble gains that sees no interaction (a control)",
    "inter_tuned": "inter, trained further for as long as I2M2 is fine-tuned (a control)",
    "frozen": "the experts of I2M2, not trained together (a control)",
    "majority": "always the more frequent class (a control)",
    IDEAL: "knows how the data were simulated: the best that can be reached",
}
