"""What a run left behind for its reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from knee_i2m2 import predictions
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.answers import Answers, read_answers
from knee_i2m2.evaluation.contribution import expert_shares
from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.evaluate import REFERENCE
from knee_i2m2.evaluation.tidy import COMPARED, EVALUATED, MACRO, read_results
from knee_i2m2.evaluation.units import units

__all__ = ["Record", "read_record"]


@dataclass(frozen=True)
class Record:
    """A run's results and circumstances; what was not written is empty.

    Attributes:
        name: The run folder's name.
        answers: What all rivals said about the test split, in its smallest unit.
        shared: Clusters that stand in both val and test.
        evaluation: Table of results.
        comparisons: Table of paired differences.
        shares: Mean over seeds of each expert's share, by `target, expert`; empty if there is none.
        epochs: One row per trained epoch.
        budget: One row per finished (rival, seed).
        data: What the data are.
        environment: Where and how the run was made.
    """

    name: str
    answers: Answers
    shared: frozenset[str]
    evaluation: pd.DataFrame
    comparisons: pd.DataFrame
    shares: pd.DataFrame
    epochs: pd.DataFrame
    budget: pd.DataFrame
    data: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def rivals(self) -> list[str]:
        """The reference first, the ceiling last, in between from best to worst."""
        headline = self.evaluation.query(f"seed == 'mean' and split == 'test' and target == '{MACRO}'")
        values = headline[(headline["subgroup"] == "all") & (headline["unit"] == self.answers.unit)]
        best = values.drop_duplicates("rival").set_index("rival")["value"].fillna(-1)  # the metric precedes efficiency
        order = {REFERENCE: -1, IDEAL: 1}
        return sorted(self.answers.rivals, key=lambda rival: (order.get(rival, 0), -best.get(rival, 0), rival))


def read_record(run: Path) -> Record:
    """Reads what a run left behind.

    Raises:
        DataError: The run is not evaluated, or a file is damaged.
    """
    evaluation = read_results(run / "evaluation.csv", EVALUATED)
    comparisons = read_results(run / "comparisons.csv", COMPARED)
    test, val = read_answers(run, "test"), read_answers(run, "val")
    if set(evaluation["rival"]) != set(test.rivals) or set(evaluation["target"]) != {*test.targets, MACRO}:
        raise DataError(run / "evaluation.csv", "does not belong to the run's predictions", "run `evaluate` again")
    lines = _lines(run / "metrics.jsonl")
    return Record(
        name=run.resolve().name,
        answers=units(test)[0],
        shared=frozenset(map(str, set(test.who["cluster"]) & set(val.who["cluster"]))),
        evaluation=evaluation,
        comparisons=comparisons,
        shares=_shares(run, test),
        epochs=_last([line for line in lines if "epoch" in line], ["rival", "seed", "epoch"]),
        budget=_last([line for line in lines if line.get("finished")], ["rival", "seed"]),
        data=_mapping(run / "data.json"),
        environment=_mapping(run / "environment.json"),
    )


def _shares(run: Path, answers: Answers) -> pd.DataFrame:
    """Returns the mean over seeds of each expert's share in the reference's log-odds on test."""
    seeds = answers.rivals.get(REFERENCE, [])
    if answers.classes != 2 or not seeds:
        return pd.DataFrame(columns=["target", "expert", "share"])
    paths = [run / "predictions" / REFERENCE / seed / "test.parquet" for seed in seeds]
    shares = pd.concat([expert_shares(predictions.read(path)) for path in paths])
    return shares.groupby(["target", "expert"], sort=False, as_index=False)["share"].mean()


def _lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a file that holds one a line; a last line cut off by a crash is left out."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
    return [_object(line, path) for line in whole if line.strip()]


def _last(lines: list[dict[str, Any]], key: list[str]) -> pd.DataFrame:
    """Returns the lines as a table; of lines written again after a restart, the last counts."""
    return pd.DataFrame(lines).drop_duplicates(key, keep="last", ignore_index=True) if lines else pd.DataFrame()


def _mapping(path: Path) -> dict[str, Any]:
    return _object(path.read_text(encoding="utf-8"), path) if path.is_file() else {}


def _object(text: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(path, f"is no readable JSON ({error})", "delete it, or train again") from error
    if not isinstance(value, dict):
        raise DataError(path, "does not hold named values", "delete it, or train again")
    return value
