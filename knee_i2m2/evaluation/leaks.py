"""Checks before evaluation: clusters in more than one split, and metrics that cannot be estimated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from knee_i2m2.clusters import ClusterRecord
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.draws import positive_clusters
from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics.bootstrap import LEAST_POSITIVE
from knee_i2m2.identity import named

__all__ = ["check_leaks", "not_estimable_notes"]


def check_leaks(run: Path, val: SplitAnswers, test: SplitAnswers, allow_leaks: bool) -> list[str]:
    """Returns the clusters (such as patients) in more than one split, if leaks are allowed.

    Raises:
        DataError: Clusters leak and leaks are not allowed, or a split holds one cluster only.
    """
    for split, answers in (("val", val), ("test", test)):
        _refuse_one_cluster(answers, split, run)
    clusters = {"val": {*val.index["cluster"].astype(str)}, "test": {*test.index["cluster"].astype(str)}}
    leaks = clusters["val"] & clusters["test"]
    if record := ClusterRecord.read(run):
        for split, names in clusters.items():
            leaks |= {*record.leaks(split, names)}
            if strangers := [name for name in record.strangers(split, names) if name not in leaks]:
                reason = f"{split} has predictions of clusters that `prepare` did not put there: {named(strangers)}"
                raise DataError(run, reason, "bring back the run's own prediction files, or train again")
    if leaks and not allow_leaks:
        raise _leak(sorted(leaks), run)
    return sorted(leaks)


def _leak(clusters: list[str], where: Path) -> DataError:
    verb = "is" if len(clusters) == 1 else "are"
    reason = f"{named(clusters)} {verb} in more than one split: test is not independent"
    hint = "divide by patient and train again; --allow-leaks shows the numbers that such a split would give"
    return DataError(where, reason, hint)


def _refuse_one_cluster(answers: SplitAnswers, split: str, where: Path) -> None:
    """Raises DataError if all units are of one cluster: no interval can be computed."""
    clusters = answers.index["cluster"].unique()
    if len(clusters) == 1:
        reason = f"{split} holds one cluster (patient) only, {clusters[0]}: intervals resample clusters"
        raise DataError(where, reason, "evaluate at least two, better a hundred")


def not_estimable_notes(answers: SplitAnswers, split: str) -> Iterator[str]:
    """Yields a sentence for every target that is not estimable."""
    if not answers.detection:
        return
    for target, truth, clusters in zip(answers.targets, answers.truth.T, positive_clusters(answers), strict=True):
        where = f"{target} per {answers.unit} in {split} is not estimable:"
        if clusters < LEAST_POSITIVE:
            yield f"{where} {clusters} clusters (patients) are positive, {LEAST_POSITIVE} are needed"
        elif not np.any(truth == 0):
            yield f"{where} none of the {answers.unit}s is negative"
