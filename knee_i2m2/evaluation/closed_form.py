"""Intervals and p-values of AUROCs in closed form, reported with those of the bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from knee_i2m2.evaluation.draws import IDEAL, MEAN, estimable
from knee_i2m2.evaluation.resampled_unit import ALL, ResampledUnit
from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics import delong
from knee_i2m2.evaluation.statistics.bootstrap import Estimate
from knee_i2m2.evaluation.statistics.delong import Components
from knee_i2m2.evaluation.statistics.multiplicity import holm
from knee_i2m2.evaluation.tidy import Rows, counts

__all__ = ["closed_form", "paired_p", "with_p_values"]

_NOTHING = Estimate(float("nan"), float("nan"), float("nan"))


def closed_form(unit: ResampledUnit) -> Rows:
    """Returns AUROC per target, mean over seeds, with DeLong's interval and with Obuchowski's for clusters.

    Both have the same value. DeLong's interval treats the slices of a patient as independent; for comparison only.
    """
    intervals: dict[str, Callable[[Components], Estimate]] = {
        "auroc_delong": delong.interval,
        "auroc_obuchowski": lambda of: delong.interval(of, unit.answers.index["cluster"].to_numpy()),
    }
    here = {"seed": MEAN, "split": unit.split, "unit": unit.answers.unit, "subgroup": unit.subgroup}
    return [
        {"rival": rival, **here, **count, "metric": metric, **(of(parts)._asdict() if sure else _NOTHING._asdict())}
        for rival, seeds in unit.answers.rivals.items()
        for place, (count, sure) in enumerate(zip(counts(unit.answers)[:-1], estimable(unit.answers), strict=True))
        for parts in [_components(unit.answers, rival, seeds, place)]
        for metric, of in intervals.items()
    ]


def _components(answers: SplitAnswers, rival: str, seeds: list[str], place: int) -> Components:
    """Returns the components of a rival's AUROC for one target: their mean over seeds."""
    scores = [answers.log_odds((rival, seed))[:, place] for seed in seeds]
    return delong.mean([delong.components(answers.truth[:, place], score) for score in scores])


def with_p_values(unit: ResampledUnit, compared: Rows, against: str) -> Rows:
    """Returns the rows of a comparison with p and Holm's p: per target, of the mean over the seeds that both have."""
    answers = unit.answers
    if unit.subgroup != ALL or not answers.detection:
        return compared
    p: dict[tuple[object, object], dict[str, float]] = {}
    for rival in {row["rival"] for row in compared}:
        plain = [_p_of_rivals(answers, str(rival), against, place) for place in range(len(answers.targets))]
        for target, one, corrected in zip(answers.targets, plain, holm(np.array(plain)).tolist(), strict=True):
            p[rival, target] = {"p": one, "p_holm": corrected}
    return [row | (p.get((row["rival"], row["target"]), {}) if row["seed"] == MEAN else {}) for row in compared]


def _p_of_rivals(answers: SplitAnswers, rival: str, against: str, place: int) -> float:
    theirs, ours = answers.rivals[rival], answers.rivals[against]
    if IDEAL in (rival, against):  # its one seed is paired with every seed
        return _p(answers, (rival, theirs), answers, (against, ours), place)
    common = [seed for seed in theirs if seed in ours]
    return _p(answers, (rival, common), answers, (against, common), place)


def paired_p(second: SplitAnswers, first: SplitAnswers, rival: str, place: int) -> float:
    """Returns p of a rival's AUROCs for one target in two runs being equal, each the mean over the run's seeds."""
    return _p(second, (rival, second.rivals[rival]), first, (rival, first.rivals[rival]), place)


def _p(
    second: SplitAnswers, theirs: tuple[str, list[str]], first: SplitAnswers, ours: tuple[str, list[str]], place: int
) -> float:
    if not first.detection or not estimable(first)[place]:
        return float("nan")
    one, other = _components(second, *theirs, place), _components(first, *ours, place)
    return delong.paired_test(one, other, first.index["cluster"].to_numpy()).p
