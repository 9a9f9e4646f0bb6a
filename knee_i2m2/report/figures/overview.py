"""Figures of a run: training curves, estimates as dots with whiskers, and the legend that several panels share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.report.elements.cells import test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture, without_none
from knee_i2m2.report.elements.style import INK, axes, legend, strokes, svg
from knee_i2m2.report.elements.words import NOT_ESTIMABLE, metric_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = [
    "adjusted_pictures",
    "dots",
    "efficiency_pictures",
    "key",
    "keyed",
    "limits",
    "rival_pictures",
    "slug",
    "training_pictures",
]

Look = Mapping[str, Any]


def training_pictures(record: Record) -> Iterator[Picture]:
    """Yields the validation score and the losses by epoch; every seed is a line."""
    if record.epochs.empty:
        return
    trained = set(record.epochs["rival"])
    looks = strokes([*record.rivals, *sorted(trained - set(record.rivals))], record.reference)
    looks = {rival: look for rival, look in looks.items() if rival in trained}  # a rival has one colour in all figures
    yield key("training_key", looks)
    if "score" in record.epochs:
        score = pd.to_numeric(record.epochs["score"], errors="coerce")
        yield _training(record, "training_score", "validation score", {"-": score}, looks)
    if "losses" in record.epochs:
        parts = {line: record.epochs["losses"].map(lambda l, p=p: _total(l, p)) for line, p in _LOSSES.items()}
        yield _training(record, "training_loss", "loss (validation solid, training dotted)", parts, looks)


_LOSSES = {"-": "valid", ":": "train"}


def _total(losses: object, part: str) -> float:
    """Returns the sum of an epoch's losses, which is what is minimised; NaN if it is missing."""
    named = losses.get(part) if isinstance(losses, dict) else None
    return float(sum(named.values())) if named else math.nan


def _training(record: Record, name: str, title: str, lines: dict[str, pd.Series], looks: Mapping[str, Look]) -> Picture:
    with axes(4.0, 3.4) as (figure, plot):
        for rival in reversed(looks):
            for _, run in record.epochs[record.epochs["rival"] == rival].groupby("seed"):
                for line, values in lines.items():
                    thin = {"linewidth": 0.7 * looks[rival]["linewidth"]}
                    dotted = {"linestyle": line, "alpha": 0.7} if line == ":" else {}
                    plot.plot(run["epoch"], values[run.index], **(looks[rival] | thin | dotted))
        plot.set(title=title, xlabel="epoch")
        return Picture(name, f"{title} by epoch", svg(figure, name))


def efficiency_pictures(record: Record) -> Iterator[Picture]:
    """Yields every rival's efficiency per target with its interval, where there is an ideal observer."""
    results = test_rows(record.evaluation, unit=record.answers.unit, metric="efficiency")
    results = results[results["target"].isin(record.answers.targets)].assign(group=lambda rows: rows["target"])
    series = {rival: rows for rival in record.rivals if len(rows := results[results["rival"] == rival])}
    looks, named = strokes(record.rivals, record.reference), ("efficiency", "Efficiency per target and rival", "")
    looks = {rival: looks[rival] for rival in series}
    yield from keyed([dots(named, "efficiency", series, record.answers.targets, looks, line=(1.0, "ideal"))], looks)


def rival_pictures(record: Record) -> Iterator[Picture]:
    """Yields per target the headline metric of every rival with its interval, all on the same scale.

    Rivals have an order that does not depend on results, so that the pages of several runs can be compared.
    """
    results = test_rows(record.evaluation, unit=record.answers.unit, metric=record.metric)
    results = results[results["target"].isin(record.answers.targets)].assign(group=lambda rows: rows["rival"])
    metric, looks = metric_name(record.metric), {record.metric: {"color": INK}}
    label, shape = f"{metric} per {record.answers.unit}", {"width": 2.8, "ends": limits(results, record.chance)}
    shape |= {"line": (record.chance, "chance"), "bold": record.reference}
    for place, target in enumerate(record.answers.targets):
        series = {record.metric: results[results["target"] == target]}
        named = (f"rivals_{place + 1}_{slug(target)}", f"{metric} of every rival for {target}", target)
        yield from without_none([dots(named, label, series, _by_experts(record), looks, **shape)])


def _by_experts(record: Record) -> list[str]:
    """Returns the reference, the rivals from few experts to many and by name, and the ideal observer."""
    order, experts = {record.reference: -1, IDEAL: 1}, record.answers.experts
    return sorted(record.rivals, key=lambda rival: (order.get(rival, 0), len(experts.get(rival, ())), rival))


def adjusted_pictures(record: Record) -> Iterator[Picture]:
    """Yields per target the AUROC of every rival, raw (open) and within strata of position (filled)."""
    results = test_rows(record.evaluation, unit=record.answers.unit).assign(group=lambda rows: rows["rival"])
    results = results[results["metric"].isin(_RAW_AND_ADJUSTED.values())]
    pictures, ends = [], limits(results)
    for place, target in enumerate(record.answers.targets):
        here = results[results["target"] == target]
        series = {name: here[here["metric"] == metric] for name, metric in _RAW_AND_ADJUSTED.items()}
        if not series["within strata"].empty:
            named = (f"adjusted_{place + 1}_{slug(target)}", f"AUROC of {target}, raw and within strata", target)
            pictures.append(dots(named, "AUROC", series, record.rivals, _LOOKS, line=(0.5, "chance"), ends=ends))
    yield from keyed(pictures, _LOOKS)


_RAW_AND_ADJUSTED = {"raw": "auroc", "within strata": "auroc_adjusted"}
_LOOKS = {"raw": {"color": "#8F7A5E", "open": True}, "within strata": {"color": INK}}


def keyed(pictures: Iterable[Picture | None], looks: Mapping[str, Look]) -> Iterator[Picture]:
    """Yields pictures of dots, and before them the legend that they share; nothing where there are none."""
    shown = without_none(pictures)
    if shown and len(looks) > 1:
        yield key(f"{shown[0].name}_key", {name: _dot(look) for name, look in looks.items()})
    yield from shown


def key(name: str, looks: Mapping[str, Look]) -> Picture:
    """Returns a legend of its own: the lines of a figure's panels, in as many columns as fit."""
    with axes(4.0, 3.0) as (figure, plot):
        handles = [plot.plot([], [], **look)[0] for look in looks.values()]
        plot.remove()
        sizes = {columns: _size(figure, handles, list(looks), columns) for columns in (1, 2, 3, 4)}
        columns = max((columns for columns, (width, _) in sizes.items() if width <= 4.0), default=1)
        figure.set_size_inches(4.0, sizes[columns][1] + 0.05)
        legend(figure, handles, list(looks), columns)
        return Picture(name, f"Legend: {', '.join(looks)}", svg(figure, name), key=True)


def _size(figure: Figure, handles: list[Line2D], labels: list[str], columns: int) -> tuple[float, float]:
    """Returns width and height of a legend in inches."""
    drawn = legend(figure, handles, labels, columns)
    figure.draw_without_rendering()
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width / figure.dpi, box.height / figure.dpi


def limits(results: pd.DataFrame, line: float = math.nan) -> tuple[float, float] | None:
    """Returns the ends of an axis that holds all estimates, their intervals and a line; None without estimates.

    The axis is never so short that a difference of one percent looks like a large one.
    """
    values = results[["value", "low", "high"]].to_numpy()
    if np.isnan(values).all():
        return None
    low, high = float(np.nanmin([*values.flat, line])), float(np.nanmax([*values.flat, line]))
    room = max(0.04 * (high - low), (_SHORTEST - (high - low)) / 2)
    return low - room, high + room


_SHORTEST = 0.2


def dots(
    named: tuple[str, str, str],
    xlabel: str,
    series: Mapping[str, pd.DataFrame],
    groups: Sequence[str],
    looks: Mapping[str, Look],
    line: tuple[float, str] | None = None,
    labels: Mapping[str, str] | None = None,
    ends: tuple[float, float] | None = None,
    width: float = 4.0,
    bold: str = "",
) -> Picture | None:
    """Returns estimates as dots with whiskers, one height per group, or None if there is nothing estimable.

    An estimate without an interval is a cross.

    Args:
        named: Name of the file, description for readers who cannot see it, title.
        xlabel: Label of the axis.
        series: Name -> tidy rows with `group, value, low, high`, at most one per group.
        groups: From top to bottom.
        looks: Name of a series -> its colour; `open` dots are hollow.
        line: Place of a vertical line, and what it is called.
        labels: Group -> its label, if that is not its name.
        ends: Of the axis, where several pictures share one.
        width: In inches.
        bold: Group whose label is bold.
    """
    by_series = {name: rows[rows["group"].isin(groups)] for name, rows in series.items()}
    shown = {name: rows.dropna(subset="value") for name, rows in by_series.items() if rows["value"].notna().any()}
    if not shown:
        return None
    there = [group for group in groups if any(group in set(rows["group"]) for rows in by_series.values())]
    lines = max(len(label.splitlines()) for label in (labels or {"": ""}).values())
    with axes(width, 0.7 + len(there) * (0.08 + 0.11 * max(len(shown), 1.3 * lines))) as (figure, plot):
        _draw(plot, shown, there, looks)
        for height in set(range(len(there))) - {there.index(g) for rows in shown.values() for g in rows["group"]}:
            plot.text(0.02, height, NOT_ESTIMABLE, transform=plot.get_yaxis_transform(), va="center", **_QUIET)
        plot.set(title=named[2], yticks=range(len(there)), xlabel=xlabel, xlim=ends)
        for text, group in zip(plot.set_yticklabels([(labels or {}).get(g, g) for g in there]), there, strict=True):
            text.set_fontweight("bold" if group == bold else "normal")
        plot.set_ylim(len(there) - 0.4 + 0.6 * bool(line and line[1]), -0.6)
        if line:
            _name_line(plot, *line)
        return Picture(named[0], named[1], svg(figure, named[0]))


_QUIET = {"fontsize": 7.5, "alpha": 0.7}


def _name_line(plot: Axes, place: float, name: str) -> None:
    """Draws a vertical line, its name beside its foot on the side that has more room."""
    plot.axvline(place, color=INK, linewidth=0.5, alpha=0.35)
    side = -1 if place > sum(plot.get_xlim()) / 2 else 1
    at = {"xycoords": ("data", "axes fraction"), "xytext": (3 * side, 3), "textcoords": "offset points"}
    plot.annotate(name, (place, 0), ha="left" if side > 0 else "right", in_layout=False, **at, **_QUIET)


def _draw(plot: Axes, shown: Mapping[str, pd.DataFrame], groups: list[str], looks: Mapping[str, Look]) -> None:
    """Draws every series a little below the one before."""
    shifts = (np.arange(len(shown)) - (len(shown) - 1) / 2) * 0.75 / len(shown)
    for (name, rows), shift in zip(shown.items(), shifts, strict=True):
        height, bare = rows["group"].map(groups.index) + shift, rows[["low", "high"]].isna().any(axis=1)
        plot.hlines(height, rows["low"], rows["high"], color=looks[name]["color"], linewidth=1.2)
        plot.plot(rows["value"][~bare], height[~bare], **_dot(looks[name]))
        plot.plot(rows["value"][bare], height[bare], **_dot(looks[name]) | {"marker": "x"})


def _dot(look: Look) -> Look:
    """Returns the style of a series' dots."""
    face = {"markerfacecolor": "none"} if look.get("open") else {}
    return {"marker": "o", "linestyle": "", "color": look["color"], "markersize": 3.8, **face}


def slug(name: str) -> str:
    """Returns a name that is safe as part of a file's."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", name)[:40]
