"""Selection of single cases for the report: the most confident errors first."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, zip_longest
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from knee_i2m2.evaluation.split_answers import SplitAnswers

__all__ = ["TRUE_POSITIVE", "SelectedCase", "select_cases"]

TRUE_POSITIVE = "true positive"


class SelectedCase(NamedTuple):
    """A case: the row of its unit, the place of its target, and the kind of answer, such as `false negative`."""

    row: int
    place: int
    kind: str


def select_cases(
    answers: SplitAnswers, log_odds: Float[np.ndarray, "units targets"], thresholds: Mapping[str, float], number: int
) -> list[SelectedCase]:
    """Returns the most confident errors, then the most confident true positives, alternating over the targets.

    At most one unit per cluster (patient) and target. However few the cases, the most confident true positive of the
    first target that has one is among them.

    Args:
        answers: Units and their truth.
        log_odds: Answers, as log-odds of class 1.
        thresholds: By target, in log-odds; targets without one are skipped.
        number: Largest number of cases.
    """
    queues = [
        _ordered(answers, log_odds[:, place] - thresholds[target], place)
        for place, target in enumerate(answers.targets)
        if target in thresholds
    ]
    turns = [one for one in chain.from_iterable(zip_longest(*queues)) if one is not None]
    first = [one for queue in queues for one in queue if one.kind == TRUE_POSITIVE][:1]
    return turns[:number] if {*first} <= {*turns[:number]} else [*turns[: number - 1], *first]


def _ordered(answers: SplitAnswers, beyond: Float[np.ndarray, " units"], place: int) -> list[SelectedCase]:
    """Returns a target's cases: errors of both kinds in turn, then true positives, most confident first.

    If every patient with a true positive has an error, too, the errors of the one with the most confident are left out.
    """
    truth, clusters = answers.truth[:, place], answers.index["cluster"].to_numpy()
    missed = [(row, "false negative") for row in _by_confidence(-beyond, (truth == 1) & (beyond <= 0))]
    alarms = [(row, "false positive") for row in _by_confidence(beyond, (truth == 0) & (beyond > 0))]
    right = [(row, TRUE_POSITIVE) for row in _by_confidence(beyond, (truth == 1) & (beyond > 0))]
    wrong = [case for case in chain.from_iterable(zip_longest(missed, alarms)) if case is not None]
    if right and {clusters[row] for row, _ in right} <= {clusters[row] for row, _ in wrong}:
        wrong = [case for case in wrong if clusters[case[0]] != clusters[right[0][0]]]
    cases: dict[object, SelectedCase] = {}
    for row, kind in (*wrong, *right):
        cases.setdefault(clusters[row], SelectedCase(row, place, kind))
    return list(cases.values())


def _by_confidence(confidence: Float[np.ndarray, " units"], chosen: np.ndarray) -> list[int]:
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(-confidence[rows], kind="stable")].tolist()
