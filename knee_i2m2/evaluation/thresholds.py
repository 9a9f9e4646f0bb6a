"""Thresholds of every rival, fitted on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.evaluation.statistics.operating_point import Threshold, fit_threshold

__all__ = ["Thresholds", "fit_thresholds", "threshold_entries"]

Thresholds = Mapping[str, Mapping[tuple[Key, str], Threshold]]
"""Unit -> (rival and seed, target) -> threshold."""


def fit_thresholds(val: Sequence[SplitAnswers]) -> Thresholds:
    """Returns the thresholds of largest balanced accuracy on val, of findings."""
    return {answers.unit: _fitted(answers) for answers in val if answers.detection}


def _fitted(answers: SplitAnswers) -> dict[tuple[Key, str], Threshold]:
    return {
        (key, target): fit_threshold(truth, log_odds, "val")
        for key in answers.logp
        for target, truth, log_odds in zip(answers.targets, answers.truth.T, answers.log_odds(key).T, strict=True)
    }


def threshold_entries(thresholds: Thresholds) -> list[dict[str, object]]:
    """Returns one entry per threshold, for evaluation.json; null if not estimable."""
    return [
        {"unit": unit, "rival": rival, "seed": seed, "target": target, **_entry(threshold)}
        for unit, fitted in thresholds.items()
        for ((rival, seed), target), threshold in fitted.items()
    ]


def _entry(threshold: Threshold) -> dict[str, object]:
    finite = threshold.value == threshold.value
    return {"value": threshold.value if finite else None, "fitted_on": threshold.fitted_on}
