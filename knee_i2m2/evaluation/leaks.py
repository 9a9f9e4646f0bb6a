"""Checks before evaluation: clusters in more than one split, and too few of them for an interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from knee_i2m2.clusters import LEAST_CLUSTERS, ClusterRecord
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.draws import class_clusters
from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.tidy import few_clusters
from knee_i2m2.identity import named

__all__ = ["check_leaks", "few_patients_notes"]


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


def few_patients_notes(val: Sequence[SplitAnswers], test: Sequence[SplitAnswers]) -> list[str]:
    """Returns one sentence about all targets without an interval, if there are any."""
    few = [text for split, units in (("test", test), ("val", val)) for text in _few(units, split)]
    rule = f"{LEAST_CLUSTERS} positive and {LEAST_CLUSTERS} negative ones are needed"
    return [f"too few patients (clusters) for intervals, values stand alone: {'; '.join(few)} ({rule})"] if few else []


def _few(units: Sequence[SplitAnswers], split: str) -> Iterator[str]:
    """Yields what each target of a split lacks; the units that lack the same are named together."""
    for place, target in enumerate(units[0].targets if units[0].detection else ()):
        counts = [(one.unit, *class_clusters(one)[:, place].tolist()) for one in units]
        lacking = {unit: few_clusters(*both).split(" patients")[0] for unit, *both in counts if few_clusters(*both)}
        for text in dict.fromkeys(lacking.values()):
            here = [unit for unit, one in lacking.items() if one == text]
            yield f"{target} in {split} {text}" + (f" per {' and '.join(here)}" if len(here) < len(units) else "")
