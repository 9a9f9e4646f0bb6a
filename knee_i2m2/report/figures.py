"""Figures of a run: ROC curves, training curves, efficiencies, shares of experts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from knee_i2m2.evaluation.roc import area, mean_roc
from knee_i2m2.evaluation.tidy import MACRO
from knee_i2m2.report.inputs import Record
from knee_i2m2.report.style import INK, axes, legend, strokes, svg
from knee_i2m2.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = ["Picture", "efficiency_picture", "roc_pictures", "share_picture", "training_pictures"]


@dataclass(frozen=True)
class Picture:
    """An SVG element; `name` is that of its file, `title` says what it shows to who cannot see it."""

    name: str
    title: str
    svg: str


def roc_pictures(record: Record) -> Iterator[Picture]:
    """Yields one ROC plot per target that is estimable, with the seed-mean curve of every rival."""
    if record.answers.classes == 2:
        for place, target in enumerate(record.answers.targets):
            curves = {rival: _curve(record, rival, place) for rival in record.rivals}
            if all(curve is not None for curve in curves.values()):
                yield _roc(record, f"roc_{place + 1}_{_slug(target)}", target, curves)


def _curve(record: Record, rival: str, place: int) -> tuple[np.ndarray, np.ndarray] | None:
    logp = [record.answers.logp[rival, seed][:, place] for seed in record.answers.rivals[rival]]
    return mean_roc(record.answers.truth[:, place], [said[:, 1] - said[:, 0] for said in logp])


def _roc(record: Record, name: str, target: str, curves: dict) -> Picture:
    areas = {rival: area(curve) for rival, curve in curves.items()}
    with axes(3.5, 4.5) as (figure, plot):
        plot.plot([0, 1], [0, 1], color=INK, linewidth=0.5, alpha=0.35)
        for rival, stroke in reversed(strokes(record.rivals).items()):  # the reference is drawn last, on top
            plot.plot(*curves[rival], **stroke, label=rival)
        plot.set(title=target, xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
        plot.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
        handles = list(reversed(plot.get_lines()[1:]))
        legend(figure, handles, [f"{rival} {number(areas[rival])}" for rival in curves], 2)
        return Picture(name, f"ROC curves of {target}, AUROC in the legend", svg(figure, name))


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
    """Returns the sum of an epoch's losses, which is what is minimised; NaN if it was not written."""
    named = losses.get(part) if isinstance(losses, dict) else None
    return float(sum(named.values())) if named else math.nan


def _training(record: Record, name: str, title: str, lines: dict[str, pd.Series]) -> Picture:
    trained = set(record.epochs["rival"])
    looks = strokes([*record.rivals, *sorted(trained - set(record.rivals))])  # a rival has one colour in all figures
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
    """Returns every rival's efficiency per target with its interval, or None without a ceiling."""
    shown = record.evaluation.query("metric == 'efficiency' and split == 'test' and seed == 'mean'")
    shown = shown[(shown["subgroup"] == "all") & (shown["target"] != MACRO) & shown["value"].notna()]
    if shown.empty:
        return None
    rivals = [rival for rival in record.rivals if rival in set(shown["rival"])]
    targets = [target for target in record.answers.targets if target in set(shown["target"])]
    with axes(4.0, 0.8 + len(targets) * (0.3 + 0.13 * len(rivals))) as (figure, plot):
        looks = strokes(record.rivals)
        shifts = (np.arange(len(rivals)) - (len(rivals) - 1) / 2) * 0.8 / len(rivals)
        parts = [(shown[shown["rival"] == rival], looks[rival]["color"]) for rival in rivals]
        handles = [_whiskers(plot, part, targets, shift, c) for (part, c), shift in zip(parts, shifts, strict=True)]
        plot.axvline(1, color=INK, linewidth=0.5, alpha=0.35)
        plot.set(yticks=range(len(targets)), yticklabels=targets, xlabel="efficiency", xlim=(-0.03, None))
        plot.invert_yaxis()
        legend(figure, handles, rivals, 3)
        return Picture("efficiency", "Efficiency per target and rival", svg(figure, "efficiency"))


def _whiskers(plot: Axes, shown: pd.DataFrame, targets: list[str], shift: float, colour: str) -> Line2D:
    """Draws one rival's efficiencies beside the ticks of their targets, and returns their handle."""
    height = shown["target"].map(targets.index) + shift
    plot.hlines(height, shown["low"], shown["high"], color=colour, linewidth=1.2)
    return plot.plot(shown["value"], height, "o", color=colour, markersize=3.5)[0]


def share_picture(record: Record) -> Picture | None:
    """Returns each expert's share per target as stacked bars, or None where there is no share to show."""
    shares = record.shares.dropna()
    if shares.empty:
        return None
    wide = shares.pivot(index="target", columns="expert", values="share")
    wide = wide.reindex(columns=shares["expert"].unique(), index=shares["target"].unique())
    with axes(4.0, 0.9 + 0.36 * len(wide)) as (figure, plot):
        _stacked(plot, wide)
        plot.set(yticks=range(len(wide)), yticklabels=list(wide.index), xlabel="share of the product's log-odds")
        plot.invert_yaxis()
        legend(figure, plot.containers, list(wide.columns), 3)
        return Picture("shares", "Share of every expert per target", svg(figure, "shares"))


def _stacked(plot: Axes, wide: pd.DataFrame) -> None:
    """Draws a bar per row, stacked to the right of 0 where positive and to its left where negative."""
    right, left = np.zeros(len(wide)), np.zeros(len(wide))
    for (expert, share), look in zip(wide.items(), strokes(list(wide.columns)).values(), strict=True):
        start = np.where(share >= 0, right, left)
        bars = plot.barh(range(len(wide)), share, left=start, color=look["color"], height=0.6, label=expert)
        plot.bar_label(bars, [f"{v:.2f}" if abs(v) >= 0.08 else "" for v in share], label_type="center", color="white")
        right, left = right + np.maximum(share, 0), left + np.minimum(share, 0)


def _slug(name: str) -> str:
    """Returns a name that is safe as part of a file's."""
    return re.sub(r"[^A-Za-z0-9-]+", "_", name)[:40]
