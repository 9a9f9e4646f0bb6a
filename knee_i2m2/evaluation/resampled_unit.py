"""One split, unit and subgroup under one resampling, and its rows in the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from knee_i2m2.evaluation import measures
from knee_i2m2.evaluation.contribution import contributions
from knee_i2m2.evaluation.draws import (
    MEAN,
    Draws,
    draws,
    efficiencies,
    paired_seeds,
    with_means,
    with_means_and_macro,
)
from knee_i2m2.evaluation.effects import effects_of, verdict_rows
from knee_i2m2.evaluation.headline import areas, closed_form, differences
from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.evaluation.statistics.bootstrap import Bootstrapped
from knee_i2m2.evaluation.statistics.multiplicity import holm
from knee_i2m2.evaluation.statistics.operating_point import Threshold
from knee_i2m2.evaluation.statistics.student import difference
from knee_i2m2.evaluation.tidy import Rows, Statistic, counts, rows
from knee_i2m2.types import Rival

__all__ = ["ALL", "ResampledUnit", "minus"]

ALL = "all"
"""The subgroup of all units."""


Measured = Sequence[Statistic] | Float[np.ndarray, "rows drawn"]


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

    @cached_property
    def codes(self) -> Int[np.ndarray, " units"]:
        """Number of the cluster that a unit belongs to."""
        return np.unique(self.answers.index["cluster"], return_inverse=True)[1]

    @cached_property
    def headline(self) -> Mapping[Key, Sequence[Statistic]]:
        """AUROC, or accuracy, of every rival, by target and in the mean over them."""
        if self.answers.detection:
            return areas(self.answers, self.codes)
        return {key: _bootstrapped(drawn) for key, drawn in self.complete.items()}

    def rows(self, measured: Mapping[Key, Measured], metric: str, **more: str) -> Rows:
        """Returns the rows of statistics or draws; subgroups have the mean over seeds only."""
        here = {"split": self.split, "unit": self.answers.unit, "subgroup": self.subgroup, "metric": metric}
        statistics = {k: _bootstrapped(one) if isinstance(one, np.ndarray) else one for k, one in measured.items()}
        table = rows(statistics, counts(self.answers), **here, **more)
        return [row for row in table if self.subgroup == ALL or row["seed"] == MEAN]

    def headline_rows(self) -> Rows:
        """Returns AUROC, or accuracy, of every rival."""
        return self.rows(self.headline, self.answers.metric)

    def closed_form_rows(self) -> Rows:
        """Returns AUROC of findings with the intervals of closed formulas."""
        here = {"split": self.split, "unit": self.answers.unit, "subgroup": self.subgroup}
        return [{**here, **row} for row in closed_form(self.answers)]

    def difference_rows(self, against: str) -> Rows:
        """Returns every other rival minus one; in the mean over seeds, outside subgroups, with p and Holm's p."""
        pairs = paired_seeds(self.answers.logp, against)
        found = {key: self._paired(seeds) for key, seeds in pairs.items()}
        table = self.rows(found, self.answers.metric, against=against)
        return table if self.subgroup != ALL else self._with_p(table, found)

    def _paired(self, seeds: Sequence[tuple[Key, Key]]) -> Sequence[Statistic]:
        ones, others = zip(*seeds, strict=True)
        return minus(self, ones, self, others)

    def _with_p(self, table: Rows, found: Mapping[Key, Sequence[Statistic]]) -> Rows:
        """Returns the rows with p and Holm's p of the means over seeds; Holm's is over all rivals and targets."""
        tested = {
            (rival, target): one.p
            for (rival, seed), several in found.items()
            for target, one in zip(self.answers.targets, several, strict=False)
            if seed == MEAN
        }
        p = np.array([*tested.values()])
        both = dict(zip(tested, zip(p.tolist(), holm(p).tolist(), strict=True), strict=True))
        named = [both.get((row["rival"], row["target"])) if row["seed"] == MEAN else None for row in table]
        return [row | ({"p": p[0], "p_holm": p[1]} if p else {}) for row, p in zip(table, named, strict=True)]

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
        """Returns the AUROC of a rival in this subgroup minus that outside it."""
        names = np.unique([*self.answers.index["cluster"], *outside.answers.index["cluster"]])
        inner, outer = (
            areas(one.answers.by(rival), np.searchsorted(names, one.answers.index["cluster"]), len(names))
            for one in (self, outside)
        )
        return self.rows({key: [*map(difference, inner[key][:-1], outer[key][:-1])] for key in inner}, "auroc_contrast")

    def contribution_rows(self, rival: str) -> Rows:
        """Returns the contribution of each expert to a rival's product."""
        parts = contributions(self.answers, rival, self.weights)
        return [
            row for metric, expert, drawn in parts for row in self.rows({(rival, MEAN): drawn}, metric, expert=expert)
        ]

    def effects(self, identities: Mapping[str, Rival], reference: str, margin: float) -> Rows:
        """Returns the effects of modalities, of their interaction and of ensembling: one family for Holm."""
        family = []
        for effect, (rival, against) in effects_of(identities, reference).items():
            pairs = paired_seeds(self.answers.logp, against).get((rival, MEAN), [])
            named = {"effect": effect, "rival": rival, "against": against}
            named |= {"split": self.split, "unit": self.answers.unit}
            found = self._paired(pairs) if pairs else []
            family += [({**named, "target": t}, one) for t, one in zip(self.answers.targets, found, strict=False)]
        return list(verdict_rows(family, margin))

    @cached_property
    def subgroups(self) -> list[tuple[ResampledUnit, ResampledUnit]]:
        """The units inside and those outside every value of every subgroup column."""
        both = []
        for column in self.answers.subgroups:
            labels = self.answers.index[column].map(_label)
            for label in sorted(labels.unique()):
                inside, name = (labels == label).to_numpy(), f"{column}={label}"
                both.append((self._only(inside, name), self._only(~inside, f"not {name}")))
        return both

    def _only(self, chosen: Bool[np.ndarray, " units"], subgroup: str) -> ResampledUnit:
        return ResampledUnit(self.answers.only(chosen), self.weights[chosen], self.split, subgroup)

    def accelerated(self, times: str, answers: SplitAnswers) -> ResampledUnit:
        """Returns the same units with the answers after a faster scan."""
        return replace(self, answers=answers, subgroup=f"acceleration={times}")


def minus(one: ResampledUnit, ones: Sequence[Key], other: ResampledUnit, others: Sequence[Key]) -> Sequence[Statistic]:
    """Returns the mean of some answers' metric minus that of others about the same units, by target and in the mean.

    Args:
        one: The unit.
        ones: Rivals and seeds in it.
        other: The same unit, of this run or of another.
        others: Rivals and seeds in that.
    """
    if one.answers.detection:
        return differences(*([unit.headline[key] for key in keys] for unit, keys in ((one, ones), (other, others))))
    drawn = (np.mean([unit.complete[key] for key in keys], axis=0) for unit, keys in ((one, ones), (other, others)))
    return _bootstrapped(np.subtract(*drawn))


def _bootstrapped(drawn: Float[np.ndarray, "rows drawn"]) -> list[Bootstrapped]:
    return [Bootstrapped(row) for row in drawn]


def _label(value: object) -> str:
    if pd.isna(value):
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)
