"""Coverage: how often nominal 95 % intervals hold the truth, and how often verdicts claim what is not there.

Command::

    make study-coverage         (an hour on an idle core; writes pipelines/results/coverage.csv)

A row is a design: 50 or 150 patients with two volumes of 30 slices, the share of them that is positive, the AUROC of
three rivals that differ by chance only, four findings. Of each of 4,000 data sets it measures the AUROC of the first
rival, the paired differences to it, both in the mean over findings (`macro`), and the verdicts of the unit; a share
near .95 has a standard error of .0035 at most. `any_claim` is the share of data sets with a verdict that an effect is
there, `any_exclusion` that with a corrected interval that excludes 0, be it below the margin.

The other columns are of the first 500 data sets (`others`): `_before` is what the earlier version did, percentiles of a
bootstrap of patients (1,000 replicates) and Holm over the findings of one effect; `_delong` has the clustered DeLong
variance in place of the jackknife's, with the same degrees of freedom; `area_independent` takes slices for independent.
Power is the share of verdicts that name a true difference of .05, on as many data sets more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from knee_i2m2.evaluation.effects import verdict
from knee_i2m2.evaluation.statistics import delong, student
from knee_i2m2.evaluation.statistics.bootstrap import LEVEL, bootstrap_p, cluster_weights, percentile_interval
from knee_i2m2.evaluation.statistics.multiplicity import holm_levels
from knee_i2m2.evaluation.statistics.simulation import Design, Simulated, simulate
from pipelines.studies.study import write

__all__ = ["CELLS", "row", "shares"]

CELLS = [*product((50, 150), (0.2, 0.35, 0.65), (0.75, 0.85, 0.95))]
"""Patients, share of positive ones, AUROC."""

GAP = 0.05

Interval = tuple[float, float]


def row(patients: int, positive: float, auroc: float, datasets: int = 4000, others: int = 500) -> dict[str, float]:
    """Returns the design, and the shares of data sets.

    Args:
        patients: Number of patients.
        positive: Share of the patients that is positive.
        auroc: Of every rival.
        datasets: Number of data sets.
        others: Number of those that the bootstrap and the power are measured of.
    """
    null, apart = (Design(auroc, patients, positive, gap) for gap in (0.0, GAP))
    design = {"patients": patients, "positive": positive, "auroc": auroc, "datasets": datasets, "others": others}
    measured = shares(null, datasets)
    earlier, power = _mean(_before(one, null) for one in _drawn(null, others)), _power(apart, others)
    return design | measured | earlier | power


def shares(design: Design, datasets: int) -> dict[str, float]:
    """Returns how often intervals hold the truth, and verdicts claim anything, of the methods of `evaluate`."""
    return _mean(_now(one, design) for one in _drawn(design, datasets))


def _drawn(design: Design, datasets: int) -> Iterator[Simulated]:
    return (simulate(design, np.random.default_rng(number)) for number in range(datasets))


def _mean(measured: Iterator[dict[str, float]]) -> dict[str, float]:
    return pd.DataFrame(measured).mean().to_dict()


def _power(design: Design, datasets: int) -> dict[str, float]:
    return _mean(_powers(one) for one in _drawn(design, datasets))


def _powers(one: Simulated) -> dict[str, float]:
    named, earlier = _verdicts(_differences(_areas(one))), _verdicts_before(_replicates(one))
    return {"power": _claims(named), "power_before": _claims(earlier)}


def _now(one: Simulated, design: Design) -> dict[str, float]:
    areas = _areas(one)
    differences = _differences(areas)
    macro = [student.mean_difference(several) for several in zip(*differences, strict=True)]
    named = _verdicts(differences)
    return {
        "area": _held([some[0].interval() for some in areas], design.auroc),
        "area_macro": _held([student.mean_area([some[0] for some in areas]).interval()], design.auroc),
        "difference": _held([d.interval() for several in differences for d in several], 0),
        "difference_macro": _held([d.interval() for d in macro], 0),
        "any_claim": float(_claims(named) > 0),
        "any_exclusion": float(any(word != "not detectable" for word in named)),
    }


def _before(one: Simulated, design: Design) -> dict[str, float]:
    drawn, with_delong = _replicates(one), _delong(one)
    areas, differences = drawn[:, 0], (drawn[:, :1] - drawn[:, 1:]).reshape(-1, drawn.shape[-1])
    naive = [delong.interval(delong.components(y, s[0]))[1:] for y, s in zip(one.truth, one.scores, strict=True)]
    return {
        "area_before": _held([percentile_interval(draw[1:]) for draw in areas], design.auroc),
        "area_independent": _held(naive, design.auroc),
        "difference_before": _held([percentile_interval(draw[1:]) for draw in differences], 0),
        "any_claim_before": float(_claims(_verdicts_before(drawn)) > 0),
        "difference_delong": _held([d.interval() for several in with_delong for d in several], 0),
        "any_claim_delong": float(_claims(_verdicts(with_delong)) > 0),
    }


def _held(intervals: Sequence[Interval], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def _claims(verdicts: Sequence[str]) -> float:
    return float(np.mean([word in ("adds", "costs") for word in verdicts]))


def _areas(one: Simulated) -> list[list[student.Area]]:
    """Returns the AUROCs by finding and rival."""
    return [[student.area(y, s, one.patient) for s in scores] for y, scores in zip(one.truth, one.scores, strict=True)]


def _differences(areas: list[list[student.Area]]) -> list[list[student.Difference]]:
    """Returns the first rival minus every other one, by finding."""
    return [[student.difference(first, other) for other in others] for first, *others in areas]


def _delong(one: Simulated) -> list[list[student.Difference]]:
    """Returns the differences with the clustered DeLong variance, and the same degrees of freedom."""
    found = []
    for y, scores, differences in zip(one.truth, one.scores, _differences(_areas(one)), strict=True):
        first, *others = (delong.components(y, score) for score in scores)
        apart = [replace(first, values=first.values - other.values) for other in others]
        spreads = [np.sqrt([delong.variance(of, one.patient)]) for of in apart]
        found.append([replace(d, contributions=spread) for d, spread in zip(differences, spreads, strict=True)])
    return found


def _verdicts(differences: list[list[student.Difference]]) -> list[str]:
    """Returns the verdicts of a unit: Holm's correction is over all of them."""
    family = [one for per_rival in differences for one in per_rival]
    levels = holm_levels(np.array([one.p for one in family]))
    return [verdict(one.value, *one.interval(level)) for one, level in zip(family, levels, strict=True)]


def _verdicts_before(drawn: Float[np.ndarray, "targets rivals drawn"]) -> list[str]:
    """Returns the verdicts of the earlier version: bootstrap, and Holm's correction over the findings of one effect."""
    named = []
    for other in range(1, drawn.shape[1]):
        family = drawn[:, 0] - drawn[:, other]
        levels = holm_levels(np.array([bootstrap_p(draw) for draw in family]), LEVEL)
        named += [verdict(d[0], *percentile_interval(d[1:], v)) for d, v in zip(family, levels, strict=True)]
    return named


def _replicates(one: Simulated, replicates: int = 1000) -> Float[np.ndarray, "targets rivals drawn"]:
    """Returns the AUROCs under a bootstrap of patients, each from what patients win against patients."""
    patients = int(one.patient.max()) + 1
    weights = cluster_weights(patients, replicates, np.random.default_rng(0)).astype(np.float32)
    return np.stack(
        [np.stack([_resampled(y, s, one.patient, weights) for s in ss]) for y, ss in zip(*one[:2], strict=True)]
    )


def _resampled(
    truth: Int[np.ndarray, " samples"],
    score: Float[np.ndarray, " samples"],
    patient: Int[np.ndarray, " samples"],
    weights: Float[np.ndarray, "patients drawn"],
    levels: int = 256,
) -> Float[np.ndarray, " drawn"]:
    """Returns one AUROC, its score rounded to so many levels of equal counts."""
    rank = np.empty(len(score), dtype=np.int64)
    rank[np.argsort(score)] = np.arange(len(score)) * levels // len(score)
    shape = (len(weights), levels)
    positive, negative = (
        np.bincount((patient * levels + rank)[truth == side], minlength=np.prod(shape)).reshape(shape)
        for side in (1, 0)
    )
    won = (positive @ (negative.cumsum(axis=1) - negative / 2).T).astype(np.float32)
    pairs = (positive.sum(axis=1) @ weights) * (negative.sum(axis=1) @ weights)
    wins = (weights * (won @ weights)).sum(axis=0)
    return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


if __name__ == "__main__":
    table = []
    for cell in CELLS:
        table.append(row(*cell))
        print({name: round(share, 4) for name, share in table[-1].items()}, flush=True)
    write("coverage", pd.DataFrame(table))
