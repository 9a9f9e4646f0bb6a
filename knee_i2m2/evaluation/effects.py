"""Effects: what a modality, their interaction and a larger ensemble add, as paired differences of rivals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from knee_i2m2.evaluation.draws import MEAN, Draws, differences
from knee_i2m2.evaluation.statistics.bootstrap import LEVEL, percentile_interval
from knee_i2m2.evaluation.statistics.multiplicity import bootstrap_p, holm_levels

__all__ = ["ENSEMBLING", "INTERACTION", "MARGIN", "corrected", "effect_rows", "effects_of", "verdict"]

INTERACTION, ENSEMBLING = "interaction", "ensembling"

MARGIN = 0.03
"""An effect is named from this difference of AUROC on."""


def effects_of(experts: Mapping[str, Sequence[str]], reference: str) -> dict[str, tuple[str, str]]:
    """Returns effect -> (rival, the rival that it is compared with), where both are there.

    What a rival is follows from its experts, never from its name::

        a modality     the reference, minus the rival whose one expert sees all others
        interaction    the reference, minus the rival with one expert of each modality
        ensembling     the rival with copies of one expert, minus the rival with that expert alone

    Args:
        experts: Rival -> names of its experts, modalities joined by `+`, copies numbered behind a dot.
        reference: The rival that holds all experts.
    """
    seen = {rival: sorted(map(_sees, names)) for rival, names in experts.items()}
    modalities = dict.fromkeys(m for name in experts.get(reference, ()) for m in _sees(name))
    pairs = {m: (reference, _with(seen, [_without(modalities, m)])) for m in modalities if len(modalities) > 1}
    pairs[INTERACTION] = (reference, _with(seen, sorted((m,) for m in modalities)) if len(modalities) > 1 else None)
    copies = next((rival for rival, sets in seen.items() if len(sets) > 1 and len(set(sets)) == 1), None)
    pairs[ENSEMBLING] = (copies, _with(seen, seen[copies][:1]) if copies else None)
    return {effect: (rival, against) for effect, (rival, against) in pairs.items() if rival and against}


def _sees(expert: str) -> tuple[str, ...]:
    """Returns the modalities in an expert's name, in its order."""
    return tuple(expert.split(".", maxsplit=1)[0].split("+"))


def _without(modalities: Mapping[str, None], left_out: str) -> tuple[str, ...]:
    return tuple(m for m in modalities if m != left_out)


def _with(seen: Mapping[str, list[tuple[str, ...]]], wanted: list[tuple[str, ...]]) -> str | None:
    """Returns the first rival whose experts see just that."""
    return next((rival for rival, sets in seen.items() if sets == wanted), None)


def effect_rows(
    complete: Draws,
    effects: Mapping[str, tuple[str, str]],
    targets: Sequence[str],
    margin: float = MARGIN,
    **constant: str,
) -> Iterator[dict[str, object]]:
    """Yields one row per effect and target: the paired difference, and what Holm's correction leaves of it.

    Args:
        complete: Draws with the mean over seeds.
        effects: What `effects_of` returns.
        targets: The questions, in the order of the draws' rows.
        margin: From which difference on an effect is named.
        constant: Columns that are the same in every row.
    """
    for effect, (rival, against) in effects.items():
        drawn = differences(complete, against).get((rival, MEAN))
        if drawn is not None:
            named = {"effect": effect, "rival": rival, "against": against, **constant}
            yield from ({**named, **row} for row in corrected(drawn, targets, margin))


def corrected(
    drawn: Float[np.ndarray, "rows drawn"], targets: Sequence[str], margin: float = MARGIN
) -> Iterator[dict[str, object]]:
    """Yields one row a target of a paired difference: both intervals, p and verdict.

    Args:
        drawn: A row per target, in this order; further rows, such as that of `macro`, are passed over.
        targets: The questions: the family that Holm's correction is over.
        margin: From which difference on an effect is named.
    """
    p = np.array([bootstrap_p(draw) for draw in drawn[: len(targets)]])
    for target, draw, one, level in zip(targets, drawn, p, holm_levels(p, LEVEL), strict=False):
        yield {"target": target} | _judged(draw, float(one), float(level), margin)


def _judged(draw: Float[np.ndarray, " drawn"], p: float, level: float, margin: float) -> dict[str, object]:
    value, (low, high) = float(draw[0]), percentile_interval(draw[1:])
    holm_low, holm_high = percentile_interval(draw[1:], level) if np.isfinite(level) else (np.nan, np.nan)
    found = {"value": value, "low": low, "high": high, "p": p, "level": level}
    return found | {
        "holm_low": holm_low,
        "holm_high": holm_high,
        "verdict": verdict(value, holm_low, holm_high, margin),
    }


def verdict(value: float, low: float, high: float, margin: float = MARGIN) -> str:
    """Returns `adds` or `costs` where the interval excludes 0 and the value reaches the margin, else why it does not.

    Example:
        >>> verdict(0.04, 0.02, 0.06), verdict(0.02, 0.01, 0.03), verdict(0.04, -0.01, 0.09)
        ('adds', 'below margin', 'not detectable')
    """
    if not np.isfinite([value, low, high]).all():
        return "not estimable"
    if low <= 0 <= high:
        return "not detectable"
    if abs(value) < margin:
        return "below margin"
    return "adds" if value > 0 else "costs"
