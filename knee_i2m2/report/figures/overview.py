"""Figures of a run: training curves, and estimates as dots with whiskers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from knee_i2m2.report.elements.cells import test_rows
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture
from knee_i2m2.report.elements.style import INK, axes, legend, strokes, svg
from knee_i2m2.report.elements.words import NOT_ESTIMABLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["adjusted_pictures", "dots", "efficiency_picture", "slug", "training_pictures"]

Look = Mapping[str, Any]


def training_pictures(record: Record) -> Iterator[Picture]:
    """Yields the validation score and the losses by epoch; every seed is a line."""
    if record.epochs.empty:
        return
    if "score" in record.epochs:
        score = pd.to_numeric(record.epochs["score"], errors="coerce")
        yield _training(record, "training_score", "validation score", {"-": score})
    if "losses" in record.epochs:
        parts = {line: record.epochs["losses"].map(lambda l, p=p: _total(l, p)) for line, p in _LOSSES.items()}
        yield _training(record, "training_loss", "loss (validation solid, training dotted)", parts)


_LOSSES = {"-": "valid", ":": "train"}


def _total(losses: object, part: str) -> float:
    """Returns the sum of an epoch's losses, which is what is minimised; NaN if it is missing."""
    named = losses.get(part) if isinstance(losses, dict) else None
    return float(sum(named.values())) if named else math.nan


def _training(record: Record, name: str, title: str, lines: dict[str, pd.Series]) -> Picture:
    trained = set(record.epochs["rival"])
    looks = strokes(
        [*record.rivals, *sorted(trained - set(record.rivals))], record.reference
    )  # a rival has one colour in all figures
    names = [rival for rival in looks if rival in trained]
    with axes(4.0, 3.9) as (figure, plot):
        for rival in reversed(names):
            for _, run in record.epochs[record.epochs["rival"] == rival].groupby("seed"):
                for line, values in lines.items():
                    thin = {"linewidth": 0.7 * looks[rival]["linewidth"]}
                    dotted = {"linestyle": line, "alpha": 0.7} if line == ":" else {}
                    plot.plot(run["epoch"], values[run.index], **(looks[rival] | thin | dotted))
        plot.set(title=title, xlabel="epoch")
        legend(figure, [plot.plot([], [], **looks[rival])[0] for rival in names], names, 3)
        return Picture(name, f"{title} by epoch", svg(figure, name))


def efficiency_picture(record: Record) -> Picture | None:
    """Returns every rival's efficiency per target with its interval, or None without an ideal observer."""
    results = test_rows(record.evaluation, unit=record.answers.unit, metric="efficiency")
    results = results[results["target"].isin(record.answers.targets)]
    series = {
        rival: results[results["rival"] == rival].assign(group=lambda rows: rows["target"]) for rival in record.rivals
    }
    title = "Efficiency per target and rival"
    return dots(
        ("efficiency", title, ""),
        "efficiency",
        series,
        record.answers.targets,
        strokes(record.rivals, record.reference),
        line=1.0,
    )


def adjusted_pictures(record: Record) -> Iterator[Picture]:
    """Yields per target the AUROC of every rival, raw (open) and within strata of position (filled)."""
    results = test_rows(record.evaluation, unit=record.answers.unit).assign(group=lambda rows: rows["rival"])
    for place, target in enumerate(record.answers.targets):
        here = results[results["target"] == target]
        series = {name: here[here["metric"] == metric] for name, metric in _RAW_AND_ADJUSTED.items()}
        if not series["within strata"].empty:
            named = (f"adjusted_{place + 1}_{slug(target)}", f"AUROC of {target}, raw and within strata", target)
            drawn = dots(named, "AUROC", series, record.rivals, _LOOKS, line=0.5)
            yield from [drawn] if drawn else []


_RAW_AND_ADJUSTED = {"raw": "auroc", "within strata": "auroc_adjusted"}
_LOOKS = {"raw": {"color": "#8F7A5E", "open": True}, "within strata": {"color": INK}}


def dots(
    named: tuple[str, str, str],
    xlabel: str,
    series: Mapping[str, pd.DataFrame],
    groups: Sequence[str],
    looks: Mapping[str, Look],
    line: float | None = None,
    labels: Mapping[str, str] | None = None,
) -> Picture | None:
    """Returns estimates as dots with whiskers, one height per group, or None if there is nothing estimable.

    Args:
        named: Name of the file, description for readers who cannot see it, title.
        xlabel: Label of the axis.
        series: Name -> tidy rows with `group, value, low, high`, at most one per group.
        groups: From top to bottom.
        looks: Name of a series -> its colour; `open` dots are hollow.
        line: Place of a vertical line.
        labels: Group -> its label, if that is not its name.
    """
    by_series = {name: rows[rows["group"].isin(groups)] for name, rows in series.items()}
    shown = {name: rows.dropna(subset="value") for name, rows in by_series.items() if rows["value"].notna().any()}
    if not shown:
        return None
    there = [group for group in groups if any(group in set(rows["group"]) for rows in by_series.values())]
    with axes(4.0, 0.95 + len(there) * (0.24 + 0.11 * len(shown))) as (figure, plot):
        handles = _drawn(plot, shown, there, looks)
        for height in set(range(len(there))) - {there.index(g) for rows in shown.values() for g in rows["group"]}:
            plot.text(0.02, height, NOT_ESTIMABLE, transform=plot.get_yaxis_transform(), va="center", **_QUIET)
        if line is not None:
            plot.axvline(line, color=INK, linewidth=0.5, alpha=0.35)
        plot.set(title=named[2], yticks=range(len(there)), xlabel=xlabel)
        plot.set_yticklabels([(labels or {}).get(group, group) for group in there])
        plot.set_ylim(len(there) - 0.4, -0.6)
        if len(shown) > 1:
            legend(figure, handles, list(shown), 3)
        return Picture(named[0], named[1], svg(figure, named[0]))


_QUIET = {"fontsize": 7.5, "alpha": 0.7}


def _drawn(plot: Axes, shown: Mapping[str, pd.DataFrame], groups: list[str], looks: Mapping[str, Look]) -> list[Line2D]:
    """Draws every series a little below the one before, and returns their handles."""
    shifts = (np.arange(len(shown)) - (len(shown) - 1) / 2) * 0.75 / len(shown)
    handles = []
    for (name, rows), shift in zip(shown.items(), shifts, strict=True):
        colour, height = looks[name]["color"], rows["group"].map(groups.index) + shift
        face = {"markerfacecolor": "none"} if looks[name].get("open") else {}
        plot.hlines(height, rows["low"], rows["high"], color=colour, linewidth=1.2)
        handles += plot.plot(rows["value"], height, "o", color=colour, markersize=3.8, **face)
    return handles


def slug(name: str) -> str:
    """Returns a name that is safe as part of a file's."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", name)[:40]
