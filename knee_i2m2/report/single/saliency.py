"""Scores of saliency maps: dependence on learned weights, and localisation of findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from knee_i2m2.evaluation.statistics.localisation import LIMIT
from knee_i2m2.report.elements.cases import Cases, Score
from knee_i2m2.report.elements.cells import Cell, Table, cell
from knee_i2m2.report.elements.section import Section, without_none
from knee_i2m2.report.elements.words import listing, number

__all__ = ["fails", "saliency_section"]


def fails(cases: Cases) -> frozenset[tuple[str, str]]:
    """Returns expert and target of the maps that fail the randomisation test."""
    return frozenset((score.expert, score.target) for score in cases.scores if score.passes is False)


def saliency_section(cases: Cases | None) -> Section:
    """Returns the scores of the maps, and which of them fail."""
    title = "Can the saliency maps be believed?"
    if cases is None or cases.stale:
        return Section("saliency", title)
    most = max((score.slices for score in cases.scores), default=0)
    seeds = f"seed{'s' if len(cases.seeds) > 1 else ''} {listing([str(seed) for seed in cases.seeds])}"
    return Section(
        "saliency",
        title,
        (
            f"{_METHODS.get(cases.method, cases.method)} of the experts of {seeds}. The randomisation test: maps fail "
            f"if they are similar to maps of random weights (rank correlation not below {LIMIT:g} with its interval), "
            "since they do not depend on what was learned. The pointing game: the share of maps whose maximum is in a "
            "box of the target, compared with a random point and with the mean centre of the training boxes.",
            *_uninformative(cases),
        ),
        warning=_warning(cases),
        tables=without_none(
            [
                _table(cases, "randomisation", "Similarity to maps of random weights", _similarity),
                _table(cases, "pointing", f"Pointing game, on at most {most} slices of a target", _pointed),
            ]
        ),
    )


_METHODS = {"gradient": "Gradients", "smooth_gradient": "Smoothed gradients"}


def _uninformative(cases: Cases) -> tuple[str, ...]:
    """Returns for which targets the pointing game shows nothing: their findings are always at the same place."""
    targets = list(dict.fromkeys(score.target for score in cases.scores if score.centre == 1))
    text = "the mean centre always hits: every finding is at the same place, and no map can be better."
    return (f"For {listing(targets)} the pointing game shows nothing, because {text}",) if targets else ()


def _warning(cases: Cases) -> str:
    failing = [f"{expert} for {target}" for expert, target in sorted(fails(cases))]
    if not failing:
        return ""
    return f"These maps fail the randomisation test and must not be read as explanations: {listing(failing)}."


def _table(cases: Cases, name: str, title: str, form: Callable[[Score], Cell]) -> Table | None:
    experts, targets = (_names(cases, which) for which in ("expert", "target"))
    cells = {(score.expert, score.target): form(score) for score in cases.scores}
    rows = tuple((expert, tuple(cells.get((expert, target), Cell("")) for target in targets)) for expert in experts)
    return Table(name, title, tuple(targets), rows, corner="expert") if rows else None


def _names(cases: Cases, which: str) -> Sequence[str]:
    return list(dict.fromkeys(str(getattr(score, which)) for score in cases.scores))


def _similarity(score: Score) -> Cell:
    verdict = {True: "passes", False: "FAILS", None: ""}[score.passes]
    return cell(_row(score.similarity), (0.0, 1.0), verdict)


def _pointed(score: Score) -> Cell:
    note = f"chance {number(score.chance)}, centre {number(score.centre)}" if math.isfinite(score.chance) else ""
    note += "; shows nothing" if score.centre == 1 else ""
    return cell(_row(score.pointing), (0.0, 1.0), note)


def _row(estimate: tuple[float, float, float]) -> dict[str, object]:
    return dict(zip(("value", "low", "high"), estimate, strict=True))
