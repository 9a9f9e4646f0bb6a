"""Flow diagram: volumes found, left out, in each split, and the truth of the test split (STARD)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from knee_i2m2.evaluation.draws import estimable
from knee_i2m2.evaluation.units import group_truth
from knee_i2m2.report.elements.cells import TEST
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture
from knee_i2m2.report.elements.style import INK, axes, svg
from knee_i2m2.report.elements.words import NOT_ESTIMABLE, count

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = ["flow_picture", "tested_clusters"]

_PAD, _GAP = 0.08, 0.3
"""Inches between a text and its box, and between boxes."""


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


class Box(NamedTuple):
    """A text and the size of its box, in inches."""

    text: Text
    width: float
    height: float


def flow_picture(record: Record) -> Picture:
    """Returns the diagram; steps that `data.json` does not record are left out."""
    rows = [row for row in (_volumes(record), _splits(record), Row([_tested(record)])) if row.boxes]
    with axes(4.0, 1.0) as (figure, plot):
        plot.remove()
        figure.set_layout_engine("none")
        placed = [(row, [_box(figure, lines) for lines in row.boxes]) for row in rows]
        heights = [max(box.height for box in boxes) for _, boxes in placed]
        width = max(sum(box.width + _GAP for box in boxes) for _, boxes in placed)
        figure.set_size_inches(width, sum(heights) + _GAP * (len(rows) + 1))
        top, foot = figure.get_figheight() - _GAP, None
        for (row, boxes), height in zip(placed, heights, strict=True):
            foot = _row(figure, row, boxes, top, foot)
            top -= height + _GAP
        return Picture("flow", f"Flow of {record.nouns[0]} into training, validation and test", svg(figure, "flow"))


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


def _splits(record: Record) -> Row:
    counts = record.data.get("counts")
    sizes = {split: n for split, n in counts.items() if isinstance(n, Mapping)} if isinstance(counts, Mapping) else {}
    names = ("clusters", "series", "samples")
    boxes = [
        [split, *(f"{count(n[name])} {noun}" for name, noun in zip(names, record.nouns, strict=True) if name in n)]
        for split, n in sizes.items()
    ]
    return Row(boxes, trunk=list(sizes).index(TEST) if TEST in sizes else -1)


def _tested(record: Record) -> list[str]:
    """Returns the number of clusters in test, and their truth."""
    rivals, seeds = len(record.rivals), max(map(len, record.answers.rivals.values()))
    sizes = f"{count(record.answers.index['cluster'].nunique())} {record.nouns[0]}"
    head = f"test: {sizes}, answered by {rivals} rivals" + (f", {seeds} seeds" if seeds > 1 else "")
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


def _box(figure: Figure, lines: Sequence[str]) -> Box:
    """Returns lines of text, measured but not yet in their place."""
    place = {"transform": figure.dpi_scale_trans, "ha": "center", "va": "top", "fontsize": 8, "linespacing": 1.35}
    text = figure.text(0, 0, "\n".join(lines), **place)
    size = text.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    return Box(text, size.width + 2 * _PAD, size.height + 2 * _PAD)


def _row(
    figure: Figure, row: Row, boxes: Sequence[Box], top: float, above: tuple[float, float] | None
) -> tuple[float, float]:
    """Draws boxes side by side with arrows from the foot of the one above, and returns the foot of the trunk."""
    from matplotlib.patches import Rectangle

    centres = list(_centres(boxes, figure.get_figwidth()))
    for x, box in zip(centres, boxes, strict=True):
        box.text.set_position((x, top - _PAD))
        corner = (x - box.width / 2, top - box.height)
        edge = {"facecolor": "none", "edgecolor": INK, "linewidth": 0.6, "transform": figure.dpi_scale_trans}
        figure.add_artist(Rectangle(corner, box.width, box.height, **edge))
        if above is not None:
            _arrow(figure, above, (x, top))
    if row.aside:
        middle = top - min(box.height for box in boxes) / 2
        _arrow(figure, (centres[0] + boxes[0].width / 2, middle), (centres[1] - boxes[1].width / 2, middle))
    return centres[row.trunk], top - boxes[row.trunk].height


def _centres(boxes: Sequence[Box], width: float) -> Iterator[float]:
    """Yields the centres of boxes that share the free width equally."""
    free, left = (width - sum(box.width for box in boxes)) / len(boxes), 0.0
    for box in boxes:
        yield left + (free + box.width) / 2
        left += free + box.width


def _arrow(figure: Figure, start: tuple[float, float], end: tuple[float, float]) -> None:
    from matplotlib.patches import FancyArrowPatch

    shape = {"arrowstyle": "-|>", "linewidth": 0.6, "color": INK, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    figure.add_artist(FancyArrowPatch(start, end, transform=figure.dpi_scale_trans, **shape))
