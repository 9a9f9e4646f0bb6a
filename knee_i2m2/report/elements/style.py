"""Style of the figures: colours for colour-blind readers, text in the colour of the page, reproducible files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.evaluate import REFERENCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

__all__ = ["INK", "axes", "legend", "strokes", "svg"]

INK = "#010203"
"""Placeholder for the text colour of the page."""

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8F7A5E")
"""After Okabe and Ito (2008), without yellow, which is too light on white."""

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))

_SETTINGS = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def strokes(names: Sequence[str], reference: str = REFERENCE) -> dict[str, dict[str, Any]]:
    """Returns the line of every rival: ink for the reference, dotted ink for the ideal observer, else colours."""
    plain = [name for name in names if name not in (reference, IDEAL)]
    given = {
        name: {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _DASHES[i // len(_COLOURS) % 3], "linewidth": 1.2}
        for i, name in enumerate(plain)
    }
    given[reference] = {"color": INK, "linestyle": "-", "linewidth": 2.0}
    given[IDEAL] = {"color": INK, "linestyle": (0, (1, 1.5)), "linewidth": 1.2}
    return {name: given[name] for name in names}


@contextmanager
def axes(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yields an empty figure of `width` by `height` inches and its axes, drawn in the style of the report."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int) -> Legend:
    """Puts a legend below the axes, and returns it."""
    return figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, handlelength=1.8, columnspacing=1.2
    )


def svg(figure: Figure, name: str) -> str:
    """Returns the figure as an SVG element: text as text, ids from `name` alone, no date, ink in the page's colour."""
    from matplotlib import rc_context

    written = io.StringIO()
    without = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure.savefig(written, format="svg", transparent=True, metadata=without)
    element = written.getvalue()[written.getvalue().index("<svg") :]
    element = re.sub(r'(<g) id="[^"]*"', r"\1", element)  # several figures share a page, and groups are not referred to
    return element.replace(INK, "currentColor")
