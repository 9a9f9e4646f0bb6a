"""One split, unit and subgroup under one resampling, and its rows in the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from knee_i2m2.evaluation import measures
from knee_i2m2.evaluation.contribution import contributions
from knee_i2m2.evaluation.draws import (
    MEAN,
    Draws,
    differences,
    draws,
    efficiencies,
    with_means,
    with_means_and_macro,
)
from knee_i2m2.evaluation.effects import effect_rows, effects_of
from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.evaluation.statistics.operating_point import Threshold
from knee_i2m2.evaluation.tidy import Rows, counts, rows
from knee_i2m2.types import Rival

__all__ = ["ALL", "ResampledUnit"]

ALL = "all"
"""The subgroup of all units."""


@dataclass(frozen=True)
class ResampledUnit:
    """Answers about some units of a split, and how often each unit counts.

    Attributes:
        answers: Answers about these units.
        weights: Of shape (units, drawn).
        split: `val` or `test`.
        subgroup: `all`, or `name=value`.
    """

    answers: SplitAnswers
    weights: Int[np.ndarray, "units drawn"]
    split: str
    subgroup: str = ALL

    @cached_property
    def drawn(self) -> Draws:
        """Draws of the headline metric."""
        return draws(self.answers, self.weights)

    @cached_property
    def complete(self) -> Draws:
        """Draws of the headline metric, with the mean over seeds and over targets."""
        return with_means_and_macro(self.drawn)

    def rows(self, drawn: Draws, metric: str, **more: str) -> Rows:
        """Returns the rows of draws; subgroups have the mean over seeds only."""
        here = {"split": self.split, "unit": self.answers.unit, "subgroup": self.subgroup, "metric": metric}
        table = rows(drawn, counts(self.answers), **here, **more)
        return [row for row in table if self.subgroup == ALL or row["seed"] == MEAN]

    def headline_rows(self) -> Rows:
        """Returns AUROC, or accuracy, of every rival."""
        return self.rows(self.complete, self.answers.metric)

    def difference_rows(self, against: str) -> Rows:
        """Returns every other rival minus one."""
        return self.rows(differences(self.complete, against), self.answers.metric, against=against)

    def measure_rows(self, thresholds: Mapping[tuple[Key, str], Threshold], before: SplitAnswers | None) -> Rows:
        """Returns the secondary metrics of findings.

        Args:
            thresholds: Fitted on val, by (rival, seed) and target.
            before: Answers about the same units before recalibration, if there was one.
        """
        drawn = measures.ranking(self.answers, self.weights) | measures.adjusted(self.answers, self.weights)
        drawn |= measures.at_thresholds(self.answers, self.weights, thresholds, self.split)
        drawn |= measures.calibration(self.answers, self.weights)
        if before is not None:
            drawn |= {f"{m}_before": d for m, d in measures.calibration(before, self.weights).items()}
        averaged = {
            metric: with_means(d) if metric in measures.COUNTS else with_means_and_macro(d)
            for metric, d in drawn.items()
        }
        return [row for metric, d in averaged.items() for row in self.rows(d, metric)]

    def choice_rows(self) -> Rows:
        """Returns the secondary metrics of predictions of one class out of several."""
        metrics = measures.multiclass(self.answers, self.weights)
        return [row for metric, drawn in metrics.items() for row in self.rows(with_means_and_macro(drawn), metric)]

    def efficiency_rows(self) -> Rows:
        """Returns every rival's efficiency relative to the ideal observer; empty without one."""
        return self.rows(with_means_and_macro(efficiencies(self.drawn)), "efficiency")

    def contrast_rows(self, outside: ResampledUnit, rival: str) -> Rows:
        """Returns the AUROC of a rival in this subgroup minus that outside it, under the same resampling."""
        others = draws(outside.answers.by(rival), outside.weights)
        return self.rows(with_means({key: self.drawn[key] - drawn for key, drawn in others.items()}), "auroc_contrast")

    def contribution_rows(self, rival: str) -> Rows:
        """Returns the contribution of each expert to a rival's product."""
        parts = contributions(self.answers, rival, self.weights)
        return [
            row for metric, expert, drawn in parts for row in self.rows({(rival, MEAN): drawn}, metric, expert=expert)
        ]

    def effects(self, identities: Mapping[str, Rival], reference: str, margin: float) -> Rows:
        """Returns the effects of modalities, of their interaction and of ensembling."""
        pairs = effects_of(identities, reference)
        here = {"split": self.split, "unit": self.answers.unit}
        return list(effect_rows(self.complete, pairs, self.answers.targets, margin, **here))

    @cached_property
    def subgroups(self) -> list[tuple[ResampledUnit, ResampledUnit]]:
        """The units inside and those outside every value of every subgroup column."""
        return list(self._subgroups())

    def _subgroups(self) -> Iterator[tuple[ResampledUnit, ResampledUnit]]:
        for column in self.answers.subgroups:
            labels = self.answers.index[column].map(_label)
            for label in sorted(labels.unique()):
                inside, name = (labels == label).to_numpy(), f"{column}={label}"
                yield self._only(inside, name), self._only(~inside, f"not {name}")

    def _only(self, chosen: Bool[np.ndarray, " units"], subgroup: str) -> ResampledUnit:
        return ResampledUnit(self.answers.only(chosen), self.weights[chosen], self.split, subgroup)

    def accelerated(self, times: str, answers: SplitAnswers) -> ResampledUnit:
        """Returns the same units with the answers after a faster scan."""
        return replace(self, answers=answers, subgroup=f"acceleration={times}")


def _label(value: object) -> str:
    if pd.isna(value):
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)
