"""Verdicts about what every target depends on, as text."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from knee_i2m2.evaluation.effects import ENSEMBLING, INTERACTION
from knee_i2m2.report.elements.words import NOT_ESTIMABLE, interval, listing, number

__all__ = ["ADDS", "COSTS", "Verdict", "criterion", "dependence", "phrase", "sentences", "verdicts"]

ADDS, COSTS, BELOW, UNDETECTABLE = "adds", "costs", "below margin", "not detectable"


class Verdict(NamedTuple):
    """What a target depends on, and the effects that show it.

    Attributes:
        target: The target.
        text: The end of a sentence that begins with the target.
        effects: Those of modalities and of their interaction, a phrase each.
        ensembling: That of a larger ensemble, which is not a dependence.
    """

    target: str
    text: str
    effects: tuple[str, ...] = ()
    ensembling: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        parts = [", ".join(self.effects), *(f"in addition, {phrase}" for phrase in self.ensembling)]
        details = "; ".join(part for part in parts if part)
        return f"{self.target} {self.text}{f': {details}' if details else ''}."


def sentences(
    effects: pd.DataFrame, unit: str, margin: float | None = None, guessing: Container[str] = ()
) -> dict[str, str]:
    """Returns a sentence per target: what it depends on, then every effect with its Holm-corrected interval.

    Args:
        effects: Table of effects, as `evaluate` writes it.
        unit: Unit of evaluation: `sample`, `slice`.
        margin: Smallest difference that is reported as an effect, to be named where one is smaller.
        guessing: Targets for which no rival compared does better than guessing.

    Example:
        >>> names = ["effect", "unit", "target", "value", "holm_low", "holm_high", "verdict"]
        >>> sentences(pd.DataFrame([["phase", "slice", "acl", 0.03, 0.01, 0.05, "adds"]], columns=names), "slice")
        {'acl': 'acl depends on phase: phase adds 0.030 [0.010, 0.050].'}
    """
    return {verdict.target: verdict.sentence for verdict in verdicts(effects, unit, margin, guessing)}


def verdicts(
    effects: pd.DataFrame, unit: str, margin: float | None = None, guessing: Container[str] = ()
) -> list[Verdict]:
    """Returns the verdict on every target, in the order of the table; see `sentences`."""
    here = effects[effects["unit"] == unit]
    return [_verdict(str(name), rows, margin, name in guessing) for name, rows in here.groupby("target", sort=False)]


def _verdict(target: str, rows: pd.DataFrame, margin: float | None, guessing: bool) -> Verdict:
    by_effect = dict(zip(rows["effect"], rows["verdict"], strict=True))
    if set(by_effect.values()) == {NOT_ESTIMABLE}:
        return Verdict(target, f"is {NOT_ESTIMABLE}")
    phrases = {row["effect"]: phrase(row, margin) for row in rows.to_dict("records")}
    ensembling = (phrases.pop(ENSEMBLING),) if ENSEMBLING in phrases else ()
    return Verdict(target, dependence(by_effect, guessing), tuple(phrases.values()), ensembling)


def dependence(by_effect: Mapping[str, str], guessing: bool = False) -> str:
    """Returns what a target depends on, as the end of a sentence that begins with the target.

    An interaction makes every modality in it indispensable, so that only the interaction is named if it adds.

    Args:
        by_effect: Effect -> verdict.
        guessing: Whether no rival compared does better than guessing, so that no effect can be seen.
    """
    modalities = [effect for effect in by_effect if effect not in (INTERACTION, ENSEMBLING)]
    if by_effect.get(INTERACTION) == ADDS:
        return f"depends on the interaction of {listing(modalities) or 'its modalities'}"
    adding = [modality for modality in modalities if by_effect[modality] == ADDS]
    if len(adding) == 1:
        return f"depends on {adding[0]}"
    if adding:
        return f"depends on {listing([adding[0], *(f'on {name}' for name in adding[1:])])}{_by_itself(by_effect)}"
    if guessing:
        return "cannot be judged: no rival compared does better than guessing, so nothing can be said"
    return "shows no dependence that is detectable on this test set"


def _by_itself(by_effect: Mapping[str, str]) -> str:
    """Returns what is known of an interaction that does not add; an undetected interaction may still exist."""
    details = {UNDETECTABLE: "; an interaction is not detectable", BELOW: ", each by itself", COSTS: ", each by itself"}
    return details.get(by_effect.get(INTERACTION, NOT_ESTIMABLE), "; whether they interact was not measured")


def phrase(row: Mapping[str, object], margin: float | None = None) -> str:
    """Returns one effect: `phase adds 0.030 [0.010, 0.050]`, `interaction not detectable`.

    Args:
        row: `effect`, `value`, `holm_low`, `holm_high` and `verdict`.
        margin: To be named where the effect stays below it.
    """
    value, low, high = (float(str(row[name])) for name in ("value", "holm_low", "holm_high"))
    if row["verdict"] in (UNDETECTABLE, NOT_ESTIMABLE):
        return f"{row['effect']} {row['verdict']}"
    if row["verdict"] == COSTS:
        value, low, high = -value, -high, -low
    verb = {ADDS: ADDS, COSTS: COSTS}.get(str(row["verdict"]), "is")
    ending = "" if row["verdict"] != BELOW else ", below the margin" + ("" if margin is None else f" of {margin:g}")
    return f"{row['effect']} {verb} {number(value)} {interval(low, high)}{ending}"


def criterion(margin: float, effects: pd.DataFrame, metric: str) -> str:
    """Returns the criterion for an effect, and the two rivals of each effect.

    Args:
        margin: Smallest difference that is reported as an effect.
        effects: Table of effects.
        metric: Name of the metric.
    """
    pairs = effects.drop_duplicates("effect")[["effect", "rival", "against"]].to_numpy()
    meant: Sequence[str] = [f"{effect} is {rival} − {against}" for effect, rival, against in pairs]
    return (
        f"An effect is a paired difference of two rivals' {metric} over the same clusters. It is reported when its "
        "Holm-corrected 95\u00a0% interval (over all effects and targets per unit) excludes 0 and its estimate reaches "
        f"the margin of {margin:g}. Here {'; '.join(meant)}."
    )
