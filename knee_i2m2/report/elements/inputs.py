"""The files of a run, read for its report."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.draws import IDEAL, draws
from knee_i2m2.evaluation.evaluate import REFERENCE
from knee_i2m2.evaluation.recalibration import Recalibration
from knee_i2m2.evaluation.run_answers import run_answers
from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.tidy import (
    COMPARISON_COLUMNS,
    CONTRIBUTION_COLUMNS,
    EFFECT_COLUMNS,
    EVALUATION_COLUMNS,
    MACRO,
    read_results,
)
from knee_i2m2.files import read_mapping, read_objects, reading
from knee_i2m2.report.elements.cases import Cases, read_cases
from knee_i2m2.report.elements.cells import test_rows
from knee_i2m2.report.elements.words import answer_noun, with_noun

__all__ = ["Record", "is_simulated", "read_record"]


@dataclass(frozen=True)
class Record:
    """Results of a run, and how it was made; empty where a file is missing.

    Attributes:
        name: The run folder's name.
        answers: Answers of all rivals about the test split, as evaluated, for the smallest unit.
        evaluation: Table of results.
        comparisons: Table of paired differences.
        contributions: Table of the contributions of the reference's experts.
        effects: Table of the effects of modalities, of their interaction and of ensembling.
        settings: Options of the evaluation, what was fitted on val, and what is not estimable.
        epochs: One row per trained epoch.
        budget: One row per finished (rival, seed).
        data: Description of the data.
        environment: Where and how the run was made.
        options: Those of training.
        as_trained: The same answers before they were recalibrated, if they were.
        cases: Single cases, if they were written.
        trained: Date of the last training; empty if it is not recorded.
    """

    name: str
    answers: SplitAnswers
    evaluation: pd.DataFrame
    comparisons: pd.DataFrame
    contributions: pd.DataFrame
    effects: pd.DataFrame
    settings: Mapping[str, Any]
    epochs: pd.DataFrame
    budget: pd.DataFrame
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    as_trained: SplitAnswers | None = None
    cases: Cases | None = None
    trained: str = ""

    @property
    def metric(self) -> str:
        """The headline metric."""
        return self.answers.metric

    @property
    def chance(self) -> float:
        """The headline metric of guessing: an AUROC of .5, the accuracy of always naming the most frequent class."""
        if self.answers.detection:
            return 0.5
        return float(np.bincount(self.answers.truth.ravel()).max() / self.answers.truth.size)

    @cached_property
    def guessing(self) -> set[str]:
        """Targets for which the interval of no rival that an effect compares lies above chance."""
        rows = test_rows(self.evaluation, unit=self.answers.unit, metric=self.metric)
        compared = self.effects[["rival", "against"]].to_numpy().ravel()
        better = rows[rows["rival"].isin(compared) & (rows["low"] > self.chance)]
        return set(self.answers.targets) - set(better["target"])

    @property
    def reference(self) -> str:
        """The rival that the others are compared with."""
        return str(self.settings.get("reference", REFERENCE))

    @property
    def units(self) -> list[str]:
        """Units of evaluation, the smallest first."""
        return list(self.evaluation.loc[self.evaluation["split"] == "test", "unit"].unique())

    @property
    def simulated(self) -> bool:
        """Whether data are simulated: as `prepare` recorded it, or because a rival is their ideal observer."""
        return is_simulated(self.data, self.answers.rivals)

    @property
    def nouns(self) -> tuple[str, str, str]:
        """What clusters, series and samples are called."""
        by_unit = (
            ("patients", "volumes", "slices") if self.answers.unit == "slice" else ("clusters", "series", "samples")
        )
        return _NOUNS.get(str(self.data.get("task")), by_unit)

    @cached_property
    def rivals(self) -> list[str]:
        """The reference first, the ideal observer last, the others from best to worst."""
        values = test_rows(self.evaluation, target=MACRO, unit=self.answers.unit, metric=self.metric)
        best = values.set_index("rival")["value"].fillna(-1)
        order = {self.reference: -1, IDEAL: 1}
        return sorted(self.answers.rivals, key=lambda rival: (order.get(rival, 0), -best.get(rival, 0), rival))

    @property
    def shown(self) -> str:
        """The rival of tables and figures about one rival: the reference, or the best."""
        return self.rivals[0]


_NOUNS = {"avmnist": ("recordings", "series", "pairs"), "nlvr2": ("image sets", "sentences", "examples")}
"""Task -> names of clusters, series and samples."""


def is_simulated(data: Mapping[str, Any], rivals: Container[str]) -> bool:
    """Returns whether the data are simulated: `prepare` recorded it, or a rival is their ideal observer."""
    return bool(data.get("simulated")) or IDEAL in rivals


def read_record(run: Path) -> Record:
    """Reads the files of a run.

    Raises:
        DataError: The run is not evaluated, or a file is damaged.
    """
    evaluation = read_results(run / "evaluation.csv", EVALUATION_COLUMNS)
    tables = {"comparisons": COMPARISON_COLUMNS, "contributions": CONTRIBUTION_COLUMNS, "effects": EFFECT_COLUMNS}
    settings = _settings(run / "evaluation.json")
    recalibration = Recalibration(settings["calibration"], tuple(settings["prior_correction"]))
    plain = run_answers(run).test[0]
    test = run_answers(run, recalibration).test[0] if recalibration else plain
    if set(evaluation["rival"]) != set(test.rivals) or set(evaluation["target"]) != {*test.targets, MACRO}:
        raise DataError(run / "evaluation.csv", "does not belong to the run's predictions", "run `evaluate` again")
    _refuse_stale(evaluation, test, run)
    lines, data = read_objects(run / "metrics.jsonl"), read_mapping(run / "data.json")
    results = {name: read_results(run / f"{name}.csv", columns) for name, columns in tables.items()}
    return Record(
        name=run.resolve().name,
        answers=_with_noun(test, data),
        **{name: with_noun(table, data.get("task")) for name, table in ({"evaluation": evaluation} | results).items()},
        settings=settings,
        epochs=_last([line for line in lines if "epoch" in line], ["rival", "seed", "epoch"]),
        budget=_last([line for line in lines if line.get("finished")], ["rival", "seed"]),
        data=data,
        environment=read_mapping(run / "environment.json"),
        options=_options(run / "config.yaml"),
        as_trained=_with_noun(plain, data) if recalibration else None,
        cases=read_cases(run, plain),
        trained=_trained(run / "events.log"),
    )


def _with_noun(answers: SplitAnswers, data: Mapping[str, Any]) -> SplitAnswers:
    return replace(answers, targets=(answer_noun(data.get("task")),)) if answers.choice else answers


def _refuse_stale(evaluation: pd.DataFrame, test: SplitAnswers, run: Path) -> None:
    """Raises DataError if the table was made from other predictions than those that the curves are drawn from."""
    once = draws(test, np.ones((len(test.index), 1), dtype=np.int64))
    here = evaluation.query("split == 'test' and subgroup == 'all'")
    here = here[(here["unit"] == test.unit) & (here["metric"] == test.metric)]
    table = here.set_index(["rival", "seed", "target"])["value"]
    now = {(*key, target): v[0] for key, drawn in once.items() for target, v in zip(test.targets, drawn, strict=True)}
    if not np.allclose([table.get(key, np.inf) for key in now], list(now.values()), atol=1e-9, equal_nan=True):
        raise DataError(run / "evaluation.csv", "was made from other predictions", "run `evaluate` again")


def _settings(path: Path) -> dict[str, Any]:
    """Returns the options and notes of the evaluation."""
    if missing := {"calibration", "prior_correction", "margin", "leaks", "notes"} - set(settings := read_mapping(path)):
        raise DataError(path, f"lacks {', '.join(sorted(missing))}", "run `evaluate` again")
    return settings


def _options(path: Path) -> dict[str, Any]:
    """Returns the options of training, or none."""
    with reading(path, "bring it back, or delete it", "is no readable YAML", (yaml.YAMLError,)):
        options = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(options, dict):
        raise DataError(path, "does not hold named options", "bring it back, or delete it")
    return options


def _trained(log: Path) -> str:
    """Returns the date of the last event, such as `2026-11-28`; empty if there is none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    dates = [line[:10] for line in lines if re.match(r"\d{4}-\d{2}-\d{2} ", line)]
    return dates[-1] if dates else ""


def _last(lines: list[dict[str, Any]], key: list[str]) -> pd.DataFrame:
    """Returns the lines as a table; of lines repeated after a restart, the last one."""
    return pd.DataFrame(lines).drop_duplicates(key, keep="last", ignore_index=True) if lines else pd.DataFrame()
