"""Effects: what a modality, their interaction and a larger ensemble add, as paired differences of rivals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.statistics.multiplicity import holm_levels
from knee_i2m2.evaluation.tidy import Statistic
from knee_i2m2.types import Rival, encoding_of, modalities_of

__all__ = ["ENSEMBLING", "INTERACTION", "MARGIN", "effects_of", "verdict", "verdict_rows"]

INTERACTION, ENSEMBLING = "interaction", "ensembling"

MARGIN = 0.03
"""An effect is named from this difference of AUROC on."""


def effects_of(rivals: Mapping[str, Rival], reference: str) -> dict[str, tuple[str, str]]:
    """Returns effect -> (rival, the rival that it is compared with), where both are there.

    What a rival is follows from its identity, never from its name::

        a modality     the reference, minus the one expert that sees all others, fitted by likelihood
        interaction    the reference, minus the rival with one expert of each modality and otherwise as the reference
        ensembling     the product of copies of one expert, minus that expert alone

    Args:
        rivals: Name -> identity; experts join modalities by `+`, and number copies behind a dot.
        reference: The rival that holds all experts.

    Raises:
        ConfigError: Two rivals are what one effect is measured against.
    """
    pairs = {**_of_modalities(rivals.get(reference)), **_ensembling(rivals)}
    names = {effect: (_name_of(one, rivals), _name_of(other, rivals)) for effect, (one, other) in pairs.items()}
    return {effect: (one, other) for effect, (one, other) in names.items() if one and other}


def _of_modalities(whole: Rival | None) -> dict[str, tuple[Rival, Rival]]:
    """Returns each modality's effect and the interaction, as identities."""
    names = tuple(dict.fromkeys(m for expert in whole.experts for m in modalities_of(expert))) if whole else ()
    if len(names) < 2:
        return {}
    others = {m: Rival(("+".join(n for n in names if n != m),)) for m in names}
    return {**{m: (whole, other) for m, other in others.items()}, INTERACTION: (whole, replace(whole, experts=names))}


def _ensembling(rivals: Mapping[str, Rival]) -> dict[str, tuple[Rival, Rival]]:
    """Returns the effect of a product of copies of one expert, as identities."""
    ensembles = [name for name, rival in rivals.items() if _is_ensemble(rival)]
    if len(ensembles) > 1:
        raise ConfigError(f"rivals {' and '.join(ensembles)} are both ensembles of one expert; move one to another run")
    if not ensembles:
        return {}
    rival = rivals[ensembles[0]]
    return {ENSEMBLING: (rival, Rival((encoding_of(rival.experts[0]),)))}


def _is_ensemble(rival: Rival) -> bool:
    """Returns whether a rival is a plain product of copies of one expert."""
    plain = (rival.method, rival.combiner) == ("likelihood", "product")
    return plain and len(rival.experts) > 1 and len({_sees(expert) for expert in rival.experts}) == 1


def _sees(expert: str) -> frozenset[str]:
    return frozenset(modalities_of(expert))


def _name_of(wanted: Rival, rivals: Mapping[str, Rival]) -> str | None:
    """Returns the rival of this identity, in whatever order its experts stand; None where there is none.

    Raises:
        ConfigError: There are two.
    """
    names = [name for name, rival in rivals.items() if _identity(rival) == _identity(wanted)]
    if len(names) > 1:
        same = f"{' and '.join(names)} have the same experts, method, combiner and start ({', '.join(wanted.experts)})"
        raise ConfigError(f"rivals {same}, so that no effect can be measured against them; move one to another run")
    return names[0] if names else None


def _identity(rival: Rival) -> tuple[object, ...]:
    return sorted(map(sorted, map(_sees, rival.experts))), rival.method, rival.combiner, rival.warm


def verdict_rows(
    family: Sequence[tuple[Mapping[str, object], Statistic]], margin: float = MARGIN
) -> Iterator[dict[str, object]]:
    """Yields a row a difference: its interval, p and verdict, and what Holm's correction leaves of them.

    Args:
        family: Names, such as `target`, and difference: everything that a verdict is given on, of one unit.
        margin: From which difference on an effect is named.
    """
    p = np.array([one.p for _, one in family])
    for (names, one), level in zip(family, holm_levels(p).tolist(), strict=True):
        low, high = one.interval()
        holm_low, holm_high = one.interval(level) if np.isfinite(level) else (np.nan, np.nan)
        judged = {
            "holm_low": holm_low,
            "holm_high": holm_high,
            "verdict": verdict(one.value, holm_low, holm_high, margin),
        }
        yield {**names, "value": one.value, "low": low, "high": high, "p": one.p, "level": level, **judged}


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
