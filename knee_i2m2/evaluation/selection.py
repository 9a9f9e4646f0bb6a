"""Which single answers are worth a look: the falsest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice, zip_longest
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from knee_i2m2.evaluation.split_answers import SplitAnswers

__all__ = ["SelectedCase", "select_cases"]


class SelectedCase(NamedTuple):
    """An answer: its row, its target's place, and what it is."""

    row: int
    place: int
    kind: str


def select_cases(
    answers: SplitAnswers, log_odds: Float[np.ndarray, "units targets"], thresholds: Mapping[str, float], number: int
) -> list[SelectedCase]:
    """Returns the surest false positives and negatives, then the surest true positives, in turn over the targets.

    Of each cluster (patient) there is at most one unit a target.

    Args:
        answers: Who, and what is true.
        log_odds: What was said.
        thresholds: By target, in log-odds; targets without one are passed over.
        number: How many at most.
    """
    queues = [
        _ordered(answers, log_odds[:, place] - thresholds[target], place)
        for place, target in enumerate(answers.targets)
        if target in thresholds
    ]
    turns = chain.from_iterable(zip_longest(*queues))
    return list(islice((one for one in turns if one is not None), number))


def _ordered(answers: SplitAnswers, beyond: Float[np.ndarray, " units"], place: int) -> Iterator[SelectedCase]:
    """Yields a target's answers, false ones first: positives and negatives in turn, each from the surest on."""
    truth, seen = answers.truth[:, place], set()
    missed = [(row, "false negative") for row in _by_sureness(-beyond, (truth == 1) & (beyond <= 0))]
    alarms = [(row, "false positive") for row in _by_sureness(beyond, (truth == 0) & (beyond > 0))]
    right = [(row, "true positive") for row in _by_sureness(beyond, (truth == 1) & (beyond > 0))]
    for found in (*chain.from_iterable(zip_longest(missed, alarms)), *right):
        if found is not None and (cluster := answers.index["cluster"].iloc[found[0]]) not in seen:
            seen.add(cluster)
            yield SelectedCase(int(found[0]), place, found[1])


def _by_sureness(sureness: Float[np.ndarray, " units"], chosen: np.ndarray) -> list[int]:
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(-sureness[rows], kind="stable")].tolist()
