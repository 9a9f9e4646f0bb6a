"""Case browser: pictures of single slices, boxes, saliency maps, and the log-odds of each expert."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from scipy.special import expit

from knee_i2m2.evaluation.selection import TRUE_POSITIVE
from knee_i2m2.report.elements.cases import Case, Cases
from knee_i2m2.report.elements.cells import Cell, Table
from knee_i2m2.report.elements.rendering import render
from knee_i2m2.report.elements.section import Section, without_none
from knee_i2m2.report.elements.words import number
from knee_i2m2.report.single.saliency import fails

__all__ = ["SCRIPTS", "browser_section", "example"]

_NAMES = {"kspace": "log k-space"}
_WITHOUT_BOXES = ("kspace",)
_PHASE = "Colours of the phase: white 0, blue negative, red positive, dark ±π rad; grey is air."
_TRUTHS = {0: "no finding", 1: "finding"}


def browser_section(cases: Cases | None, room: int) -> Section:
    """Returns the section with single cases, as many as fit.

    Args:
        cases: Cases that `evaluate --cases` wrote; if made from other predictions, a warning is shown instead.
        room: Largest number of bytes of pictures.
    """
    title = "Cases"
    if cases is None or not cases.cases:
        return Section("cases", title)
    if cases.stale:
        warning = "The cases in this run’s folder were made from other predictions. Run `evaluate --cases` again."
        return Section("cases", title, warning=warning)
    shown = _fitting(cases.cases, room)
    return Section(
        "cases",
        title,
        (_explained(cases), *_left_out(len(cases.cases), len(shown))),
        folded=without_none([_table(cases)]),
        html=_html(cases, shown) if shown else "",
    )


def example(cases: Cases | None, targets: Sequence[str]) -> str:
    """Returns one case as HTML: magnitude, phase and what each expert adds.

    A true positive of the first of the targets that has one; without any, the most confident error.
    """
    if cases is None or cases.stale or not cases.cases:
        return ""
    right = [case for case in cases.cases if case.kind == TRUE_POSITIVE]
    case = min(right, key=lambda case: targets.index(case.target), default=cases.cases[0])
    views = [View(name, uri, boxed=True) for name, uri in case.pictures.items() if name not in _WITHOUT_BOXES]
    shown = {"case": case, "truth": _TRUTHS[case.truth], "views": views, "bars": _bars(case), "key": _key(case)}
    return render("example.html.jinja", {**shown, "rows": cases.matrix[0], "columns": cases.matrix[1]})


def _key(case: Case) -> str:
    """Returns what the boxes and colours of a case's pictures are; nothing about what it has not."""
    boxed = {box.target == case.target for box in case.boxes}
    boxes = {True: f"Solid: annotated boxes of {case.target}.", False: "Dashed: annotated boxes of other findings."}
    return " ".join([*(text for own, text in boxes.items() if own in boxed), *[_PHASE] * ("phase" in case.pictures)])


def _explained(cases: Cases) -> str:
    return (
        f"Answers of {cases.rival}: the most confident errors first, then the most confident true positives. A "
        "product of experts adds log-odds: the bars show what each expert adds, the mean over seeds. "
        "Pictures are the network’s input; maps show where an expert’s answer is most sensitive. Solid boxes are those "
        f"of the target, dashed ones of other findings. {_PHASE}"
    )


def _fitting(cases: tuple[Case, ...], room: int) -> list[Case]:
    """Returns the first cases whose pictures fit."""
    shown: list[Case] = []
    for case in cases:
        room -= sum(map(len, (*case.pictures.values(), *case.saliency.values())))
        if room < 0:
            break
        shown.append(case)
    return shown


def _left_out(values: int, shown: int) -> tuple[str, ...]:
    if values == shown:
        return ()
    return (f"{shown} of {values} cases are shown, so that the page stays below 10 MB; all pictures lie in cases/.",)


def _table(cases: Cases) -> Table:
    """Returns every case in numbers."""
    experts = list(dict.fromkeys(expert for case in cases.cases for expert in case.experts))
    columns = ("sample", "target", "answer", "log-odds", "threshold", *experts)
    rows = tuple((case.id, tuple(map(Cell, _texts(case, experts)))) for case in cases.cases)
    return Table("cases", "All cases in numbers", columns, rows, corner="case")


def _texts(case: Case, experts: Collection[str]) -> Iterator[str]:
    yield from (case.sample, case.target, case.kind, number(case.log_odds), number(case.threshold))
    yield from (number(case.experts[expert]) if expert in case.experts else "" for expert in experts)


def _html(cases: Cases, shown: list[Case]) -> str:
    failing = fails(cases)
    return render(
        "browser.html.jinja",
        {
            "cases": [(case, _TRUTHS[case.truth], _views(case, failing), _bars(case)) for case in shown],
            "targets": list(dict.fromkeys(case.target for case in shown)),
            "kinds": list(dict.fromkeys(case.kind for case in shown)),
            "rows": cases.matrix[0],
            "columns": cases.matrix[1],
            "script": SCRIPT,
        },
    )


@dataclass(frozen=True)
class View:
    """A picture under its name; `warning` says why it should not be trusted."""

    name: str
    uri: str
    boxed: bool
    warning: str = ""


def _views(case: Case, failing: Collection[tuple[str, str]]) -> Iterator[View]:
    for what, uri in case.pictures.items():
        yield View(_NAMES.get(what, what), uri, what not in _WITHOUT_BOXES)
    for expert, uri in case.saliency.items():
        warning = "fails the randomisation test" if (expert, case.target) in failing else ""
        yield View(f"map of {expert}", uri, True, warning)


@dataclass(frozen=True)
class Bar:
    """Log-odds on a scale from 0 to 100; 50 is even odds."""

    name: str
    text: str
    start: float
    end: float


def _bars(case: Case) -> Iterator[Bar]:
    """Yields what each expert and the combiner add, their sum, and the threshold."""
    added = {"combiner": case.bias} if abs(case.bias) > _NOTHING else {}
    values = {**case.experts, **added, "together": case.log_odds, "threshold": case.threshold}
    scale = max(map(abs, values.values())) or 1.0
    for name, value in values.items():
        end, whole = 50 + 50 * value / scale, name in ("together", "threshold")
        text = f"{number(value)} ({_probability(value)})" if whole else number(value)
        yield Bar(name, text, min(end, 50.0), max(end, 50.0))


def _probability(log_odds: float) -> str:
    """Returns three decimals; what is not certain is neither 0 nor 1.

    Example:
        >>> print(_probability(0.0), _probability(14.963))
        0.500 > 0.999
    """
    p = float(expit(log_odds))
    return ">\u00a00.999" if p > 1 - _LEAST_P else "<\u00a00.001" if p < _LEAST_P else number(p)


_LEAST_P = 1e-3


_NOTHING = 5e-4
"""Below this it would be shown as 0."""

SCRIPT = render("browser.js.jinja", {})
SCRIPTS = f"; script-src 'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
"""What a page with a case browser adds to its content security policy: this one script and no other."""
