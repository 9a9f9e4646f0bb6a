"""Recalibration of answers: class prior, temperature, weights of experts; every number is fitted on val."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.split_answers import Key, SplitAnswers
from knee_i2m2.evaluation.statistics.calibration import fit_expert_weights, fit_temperature, prior_shift
from knee_i2m2.evaluation.units import log_probabilities

__all__ = ["AS_TRAINED", "Recalibration", "recalibrate", "steps", "temperature", "weight_opinions"]

Change = Callable[[SplitAnswers], Float[np.ndarray, " units"]]
"""Answers -> log-odds of one rival and target."""

Step = Callable[[SplitAnswers, Key, int], tuple[Change, dict[str, Any]] | None]
"""Answers on val, (rival, seed) and the target's place -> the change, and its numbers; None changes nothing."""


@dataclass(frozen=True)
class Recalibration:
    """How answers are changed before evaluation.

    Attributes:
        calibration: `none`; `temperature`, with an intercept, of every unit; `weights` of the experts of a slice (and a
            temperature of volumes and patients).
        prior_correction: Rivals whose experts were trained separately, so that their product counts the class prior
            once per expert.
    """

    calibration: Literal["none", "temperature", "weights"] = "none"
    prior_correction: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self.calibration != "none" or bool(self.prior_correction)


AS_TRAINED = Recalibration()
"""No recalibration."""


def steps(recalibration: Recalibration) -> list[Step]:
    """Returns the steps applied to slices, in order."""
    prior = [_prior(recalibration.prior_correction)] if recalibration.prior_correction else []
    return prior + {"none": [], "temperature": [temperature], "weights": [weights]}[recalibration.calibration]


def recalibrate(
    val: SplitAnswers, test: SplitAnswers, step: Step, fitted: list[dict[str, Any]]
) -> tuple[SplitAnswers, SplitAnswers]:
    """Returns both splits after a step, and appends its parameters to `fitted`; the ideal observer is not changed."""
    log_odds = {key: [split.log_odds(key) for split in (val, test)] for key in val.logp if key[0] != IDEAL}
    for key, (before, after) in log_odds.items():
        for place, target in enumerate(val.targets):
            if (result := step(val, key, place)) is None:
                continue
            change, numbers = result
            before[:, place], after[:, place] = change(val), change(test)
            fitted.append({"unit": val.unit, "rival": key[0], "seed": key[1], "target": target, **numbers})
    vals, tests = ({key: log_probabilities(z[split]) for key, z in log_odds.items()} for split in range(2))
    return replace(val, logp={**val.logp, **vals}), replace(test, logp={**test.logp, **tests})


def weight_opinions(answers: SplitAnswers, fitted: Sequence[Mapping[str, Any]]) -> SplitAnswers:
    """Returns the answers with the logits of every expert multiplied by its fitted weight, if weights were fitted."""
    opinions = {key: {e: z.copy() for e, z in logits.items()} for key, logits in answers.opinions.items()}
    for note in fitted:
        for expert, weight in note.get("weights", {}).items():
            opinions[note["rival"], note["seed"]][expert][:, answers.targets.index(note["target"])] *= weight
    return replace(answers, opinions=opinions)


def temperature(val: SplitAnswers, key: Key, place: int) -> tuple[Change, dict[str, Any]]:
    """Fits a temperature and an intercept."""
    fitted = fit_temperature(val.truth[:, place], val.log_odds(key)[:, place], "val")
    return lambda answers: fitted(answers.log_odds(key)[:, place]), asdict(fitted)


def weights(val: SplitAnswers, key: Key, place: int) -> tuple[Change, dict[str, Any]]:
    """Fits a non-negative weight of every expert, and an intercept."""
    fitted = fit_expert_weights(val.truth[:, place], _opinions(val, key, place), "val")
    if not {0, 1} <= set(val.truth[:, place].tolist()):  # nothing is fitted: the product keeps what its combiner adds
        added = val.log_odds(key)[:, place] - fitted(_opinions(val, key, place))
        fitted = replace(fitted, intercept=float(np.median(added)))
    return lambda answers: fitted(_opinions(answers, key, place)), asdict(fitted)


def _opinions(answers: SplitAnswers, key: Key, place: int) -> dict[str, Float[np.ndarray, " units"]]:
    return {expert: z[:, place, 1] - z[:, place, 0] for expert, z in answers.opinions[key].items()}


def _prior(rivals: Sequence[str]) -> Step:
    """Returns the step that leaves one class prior in the product of separately trained experts."""

    def step(val: SplitAnswers, key: Key, place: int) -> tuple[Change, dict[str, Any]] | None:
        if key[0] not in rivals:
            return None
        known = val.truth[val.truth[:, place] >= 0, place]
        if not len(known):
            return None
        shift = prior_shift(float(known.mean()), len(val.opinions[key]))
        return lambda answers: answers.log_odds(key)[:, place] + shift, {"prior_shift": shift, "fitted_on": "val"}

    return step
