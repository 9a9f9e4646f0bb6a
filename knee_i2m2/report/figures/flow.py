"""Flow diagram: volumes found, left out, in each split, and the truth of the test split (STARD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from knee_i2m2.evaluation.draws import estimable
from knee_i2m2.evaluation.units import group_truth
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture
from knee_i2m2.report.elements.style import INK, axes, svg
from knee_i2m2.report.elements.words import NOT_ESTIMABLE, count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flow_picture", "tested_clusters"]

_NOUNS = {"slice": ("patients", "volumes", "slices")}
"""Smallest unit -> names of clusters, series and samples."""

_LINE, _GAP = 0.165, 2.2
"""Inches of a line; lines between two boxes."""


class Row(NamedTuple):
    """Boxes side by side, as lines of text.

    Attributes:
        boxes: From left to right.
        trunk: Number of the box from which the flow continues.
        aside: Whether the second box leaves the flow.
    """

    boxes: list[list[str]]
    trunk: int = 0
    aside: bool = False


def flow_picture(record: Record) -> Picture:
    """Returns the diagram; steps that `data.json` does not record are left out."""
    nouns = _NOUNS.get(record.answers.unit, ("clusters", "series", "samples"))
    rows = [row for row in (_volumes(record), _splits(record, nouns), Row([_tested(record, nouns)])) if row.boxes]
    heights = [max(map(len, row.boxes)) for row in rows]
    with axes(4.4, _LINE * (sum(heights) + _GAP * len(rows))) as (figure, plot):
        plot.set(xlim=(0, 1), ylim=(sum(heights) + _GAP * len(rows) - 1, -1))
        plot.set_axis_off()
        top, above = 0.0, None
        for row, height in zip(rows, heights, strict=True):
            above = _row(plot, row, top, above)
            top += height + _GAP
        return Picture("flow", "Flow of patients into training, validation and test", svg(figure, "flow"))


def _volumes(record: Record) -> Row:
    """Returns the number of volumes found, and of those left out with reasons."""
    kept, left_out = record.data.get("volumes"), record.data.get("left_out")
    if not isinstance(kept, int) or not isinstance(left_out, Mapping):
        return Row([])
    lost = sum(map(int, left_out.values()))
    reasons = [f"{count(n)} {_short(str(why))}" for why, n in left_out.items()]
    return Row([[f"{count(kept + lost)} volumes found"], [f"{count(lost)} left out", *reasons]], aside=True)


def _short(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 1]}…"


_WIDE = 26


def _splits(record: Record, nouns: Sequence[str]) -> Row:
    counts = record.data.get("counts")
    sizes = {split: n for split, n in counts.items() if isinstance(n, Mapping)} if isinstance(counts, Mapping) else {}
    names = ("clusters", "series", "samples")
    boxes = [
        [split, *(f"{count(n[name])} {noun}" for name, noun in zip(names, nouns, strict=True) if name in n)]
        for split, n in sizes.items()
    ]
    return Row(boxes, trunk=-1)


def _tested(record: Record, nouns: Sequence[str]) -> list[str]:
    """Returns the number of clusters in test, and their truth."""
    rivals, seeds = len(record.rivals), max(map(len, record.answers.rivals.values()))
    sizes = record.answers.index["cluster"].nunique()
    head = f"test: {count(sizes)} {nouns[0]}, answered by {rivals} rivals" + (f", {seeds} seeds" if seeds > 1 else "")
    if not record.answers.detection:
        return [head]
    enough = estimable(record.answers)
    counts = [
        f"{_short(target)}: {with_} with, {without} without{f', {unknown} unknown' if unknown else ''}"
        for target, (with_, without, unknown) in tested_clusters(record).items()
    ]
    return [head, *(line + ("" if ok else f" ({NOT_ESTIMABLE})") for line, ok in zip(counts, enough, strict=True))]


def tested_clusters(record: Record) -> dict[str, tuple[int, int, int]]:
    """Returns per target how many clusters of test hold a positive, hold none, or are unknown."""
    names, codes = np.unique(record.answers.index["cluster"].astype(str), return_inverse=True)
    truth = group_truth(record.answers.truth, codes, len(names))
    return {
        target: (int((y == 1).sum()), int((y == 0).sum()), int((y == -1).sum()))
        for target, y in zip(record.answers.targets, truth.T, strict=True)
    }


def _row(plot: Axes, row: Row, top: float, above: tuple[float, float] | None) -> tuple[float, float]:
    """Draws boxes side by side with arrows from above, and returns the foot of the trunk."""
    places = [(place + 0.5) / len(row.boxes) for place in range(len(row.boxes))]
    for x, lines in zip(places, row.boxes, strict=True):
        edge = {"boxstyle": "square,pad=0.45", "facecolor": "none", "edgecolor": INK, "linewidth": 0.6}
        plot.text(x, top, "\n".join(lines), ha="center", va="top", fontsize=8, linespacing=1.35, bbox=edge)
        if above is not None:
            _arrow(plot, above, (x, top - 0.6))
    if row.aside:
        _arrow(plot, (0.42, top + 0.4), (0.51, top + 0.4))
    return places[row.trunk], top + len(row.boxes[row.trunk]) + 0.2


def _arrow(plot: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    shape = {"arrowstyle": "-|>", "linewidth": 0.6, "color": INK, "shrinkA": 0, "shrinkB": 0}
    plot.annotate("", end, start, arrowprops=shape)
