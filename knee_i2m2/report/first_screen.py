"""What the page shows first: what the run is, its question and answers, a figure, a case, the patients, the words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.effects import ENSEMBLING, INTERACTION
from knee_i2m2.evaluation.evaluate import REFERENCE
from knee_i2m2.report.elements.cells import Cell, Row, Table, test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture, Point
from knee_i2m2.report.elements.verdicts import ADDS, COSTS, dependence
from knee_i2m2.report.elements.words import NOT_ESTIMABLE, count, headline, interval, listing, metric_name, number
from knee_i2m2.report.figures.flow import tested_clusters
from knee_i2m2.report.figures.overview import rival_pictures
from knee_i2m2.report.paper.summary import leak_warning, simulation_note
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
    answers: tuple[Point, ...]
    pictures: tuple[Picture, ...]
    caption: str
    example: str
    counts: Table
    glossary: tuple[tuple[str, str], ...]


def first_screen(record: Record, title: str | None = None) -> FirstScreen:
    """Returns what the page of a run shows first, under the user's title or the name of its folder."""
    return FirstScreen(
        title or record.name,
        tuple(_facts(record)),
        " ".join(simulation_note(record)),
        leak_warning(record),
        _question(record),
        tuple(_answers(record)),
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
    clusters = count(record.answers.index["cluster"].nunique())
    yield f"test split: {clusters} {record.nouns[0]}, {count(len(record.answers.index))} {record.nouns[2]}"


def _effects(record: Record) -> pd.DataFrame:
    """Returns the effects of modalities and of their interaction, per smallest unit, on test."""
    effects = record.effects[(record.effects["split"] == "test") & (record.effects["unit"] == record.answers.unit)]
    return effects[effects["effect"] != ENSEMBLING]


def _question(record: Record) -> str:
    modalities = [effect for effect in _effects(record)["effect"].unique() if effect != INTERACTION]
    what = "each finding" if record.answers.detection else f"the {record.answers.targets[0]}"
    if modalities:
        return f"What does {what} depend on: {', '.join(modalities)} or their interaction?"
    return f"How well do the rivals predict {what}?"


def _answers(record: Record) -> Iterator[Point]:
    """Yields a line per target: what it depends on, and the effects that show it; without effects, the headline."""
    effects = _effects(record)
    for target, rows in effects.groupby("target", sort=False):
        verdicts = dict(zip(rows["effect"], rows["verdict"], strict=True))
        unknown = set(verdicts.values()) == {NOT_ESTIMABLE}
        text = f"too few {record.nouns[0]} for a verdict" if unknown else dependence(verdicts)
        yield Point(str(target), text, tuple(map(_effect, _telling(rows).to_dict("records"))))
    if effects.empty:
        yield Point("", headline(record.evaluation, record.comparisons, record.answers.unit, record.reference))


def _telling(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the effects that a verdict rests on: the interaction, else those that are there, else all."""
    there = rows[rows["verdict"].isin((ADDS, COSTS))]
    interaction = there[(there["effect"] == INTERACTION) & (there["verdict"] == ADDS)]
    chosen = next((chosen for chosen in (interaction, there) if len(chosen)), rows)
    return chosen.dropna(subset="value")


def _effect(row: Row) -> str:
    """Returns `phase +0.050 [0.010, 0.090]`."""
    value, low, high = (float(str(row[name])) for name in ("value", "holm_low", "holm_high"))
    return f"{row['effect']} {'+' * (value > 0)}{number(value)} {interval(low, high)}".strip()


def _caption(record: Record) -> str:
    """Returns what is drawn: estimates with intervals, without, or both; and what the effects above are."""
    metric, few = metric_name(record.metric), f"too few {record.nouns[0]}"
    drawn = test_rows(record.evaluation, unit=record.answers.unit, metric=record.metric).dropna(subset="value")
    bare = drawn.loc[drawn["target"].isin(record.answers.targets), "low"].isna()
    intervals = "" if bare.all() else " with 95 % intervals"
    crosses = f" {'Crosses have' if bare.all() else 'A cross has'} no interval: {few} for one." if bare.any() else ""
    corrected = "; their intervals are Holm-corrected" if _effects(record)["holm_low"].notna().any() else ""
    effects = f" Effects are differences of it{corrected}." if _effects(record)["value"].notna().any() else ""
    return f"{metric[0].upper()}{metric[1:]} per {record.answers.unit}{intervals}.{crosses}{effects}"


def _counts(record: Record) -> Table:
    """Returns the clusters of test by class: per finding with, without and unknown; else per class of the answer."""
    clusters, _, samples = record.nouns
    if record.answers.detection:
        columns = ("with", "without", "unknown")
        rows = [(target, tuple(map(count, n))) for target, n in tested_clusters(record).items()]
        return Table("classes", f"{clusters} of the test split", columns, _texts(rows), corner="finding")
    truth, names = record.answers.truth[:, 0], record.answers.index["cluster"].to_numpy()
    classes = _CLASSES.get(str(record.data.get("task")), tuple(map(str, range(record.answers.classes))))
    holding = tuple(count(len(np.unique(names[truth == c]))) for c in range(len(classes)))
    rows = [(clusters, holding), (samples, tuple(count(int((truth == c).sum())) for c in range(len(classes))))]
    return Table("classes", "the test split by class", classes, _texts(rows), corner="class")


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
