"""Selection of single cases for the report: the most confident errors first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice, zip_longest
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from knee_i2m2.evaluation.split_answers import SplitAnswers

__all__ = ["SelectedCase", "select_cases"]


class SelectedCase(NamedTuple):
    """A case: the row of its unit, the place of its target, and the kind of answer, such as `false negative`."""

    row: int
    place: int
    kind: str


def select_cases(
    answers: SplitAnswers, log_odds: Float[np.ndarray, "units targets"], thresholds: Mapping[str, float], number: int
) -> list[SelectedCase]:
    """Returns the most confident errors, then the most confident true positives, alternating over the targets.

    At most one unit per cluster (patient) and target.

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
    turns = chain.from_iterable(zip_longest(*queues))
    return list(islice((one for one in turns if one is not None), number))


def _ordered(answers: SplitAnswers, beyond: Float[np.ndarray, " units"], place: int) -> Iterator[SelectedCase]:
    """Yields a target's cases: errors of both kinds in turn, then true positives, most confident first."""
    truth, seen = answers.truth[:, place], set()
    missed = [(row, "false negative") for row in _by_confidence(-beyond, (truth == 1) & (beyond <= 0))]
    alarms = [(row, "false positive") for row in _by_confidence(beyond, (truth == 0) & (beyond > 0))]
    right = [(row, "true positive") for row in _by_confidence(beyond, (truth == 1) & (beyond > 0))]
    for case in (*chain.from_iterable(zip_longest(missed, alarms)), *right):
        if case is not None and (cluster := answers.index["cluster"].iloc[case[0]]) not in seen:
            seen.add(cluster)
            yield SelectedCase(int(case[0]), place, case[1])


def _by_confidence(confidence: Float[np.ndarray, " units"], chosen: np.ndarray) -> list[int]:
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(-confidence[rows], kind="stable")].tolist()
