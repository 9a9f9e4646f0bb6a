"""AUROCs of findings and their differences with Student's t; DeLong's and Obuchowski's intervals for comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from knee_i2m2.evaluation.draws import MEAN, averaged, estimable
from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.evaluation.statistics import delong, student
from knee_i2m2.evaluation.statistics.bootstrap import Estimate
from knee_i2m2.evaluation.statistics.student import Area, Difference
from knee_i2m2.evaluation.tidy import counts

__all__ = ["areas", "closed_form", "differences"]

Codes = Int[np.ndarray, " units"]

Areas = Mapping[Key, Sequence[Area]]
"""By (rival, seed), the mean over seeds included, and target, the mean over targets included."""


def areas(answers: SplitAnswers, codes: Codes, clusters: int = 0) -> Areas:
    """Returns the AUROC of every rival, seed by seed and in the mean over seeds, by target and in the mean over them.

    Args:
        answers: About findings.
        codes: Number of the cluster that a unit belongs to.
        clusters: Their number, where the last ones may have no unit here.
    """
    single = {
        key: [
            student.area(y, z, codes, clusters) for y, z in zip(answers.truth.T, answers.log_odds(key).T, strict=True)
        ]
        for key in answers.logp
    }
    several = {rival: [single[rival, seed] for seed in seeds] for rival, seeds in answers.rivals.items()}
    means = {(rival, MEAN): _means(one) for rival, one in several.items()}
    enough = estimable(answers).tolist()
    kept = {
        key: [one if sure else one.without_interval() for one, sure in zip(found, enough, strict=True)]
        for key, found in (single | means).items()
    }
    return {key: [*found, student.mean_area(averaged(found))] for key, found in kept.items()}


def differences(first: Sequence[Sequence[Area]], second: Sequence[Sequence[Area]]) -> list[Difference]:
    """Returns the mean of the first AUROCs minus that of the second, by target and in the mean over them.

    Args:
        first: By seed, then by target and in the mean over them.
        second: Those to subtract.
    """
    (*one, _), (*other, _) = _means(first), _means(second)
    found = [*map(student.difference, one, other)]
    return [*found, student.mean_difference(averaged(found))]


def _means(by_seed: Sequence[Sequence[Area]]) -> list[Area]:
    return [student.mean_area(several) for several in zip(*by_seed, strict=True)]


def closed_form(answers: SplitAnswers) -> Iterator[dict[str, object]]:
    """Yields AUROC per target, mean over seeds, with DeLong's interval and with Obuchowski's for clusters.

    Both have the same value. DeLong's interval treats the slices of a patient as independent; for comparison only.
    """
    clusters = answers.index["cluster"].to_numpy()
    per_target = [*zip(counts(answers)[:-1], estimable(answers), strict=True)]
    for rival, seeds in answers.rivals.items():
        for place, (count, sure) in enumerate(per_target):
            scores = (answers.log_odds((rival, seed))[:, place] for seed in seeds)
            of = delong.mean([delong.components(answers.truth[:, place], score) for score in scores])
            intervals = {"auroc_delong": delong.interval(of), "auroc_obuchowski": delong.interval(of, clusters)}
            for metric, interval in intervals.items():
                found = interval if sure else Estimate(of.auroc, float("nan"), float("nan"))
                yield {"rival": rival, "seed": MEAN, **count, "metric": metric, **found._asdict()}
