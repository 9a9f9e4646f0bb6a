"""ROC, precision-recall and decision curves of every estimable target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.draws import IDEAL, estimable
from knee_i2m2.evaluation.statistics.curves import (
    RATES,
    Band,
    pointwise_band,
    precision_recall_points,
    resampling_weights,
    roc_points,
)
from knee_i2m2.evaluation.statistics.decision import net_benefit, treat_all
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture
from knee_i2m2.report.elements.style import INK, axes, strokes, svg
from knee_i2m2.report.elements.words import number
from knee_i2m2.report.figures.overview import key, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["decision_pictures", "estimable_targets", "precision_pictures", "roc_pictures"]

Weights = Int[np.ndarray, "units drawn"]
Truth = Int[np.ndarray, " units"]
_UNIT = {"xlim": (-0.01, 1.01), "ylim": (-0.01, 1.01), "xticks": np.linspace(0, 1, 6), "yticks": np.linspace(0, 1, 6)}


@dataclass(frozen=True)
class Family:
    """Curves of one kind.

    Attributes:
        name: Begins the names of their files.
        title: What they are called.
        points: Where the curves are drawn.
        curve: Takes truth, log-odds and weights, and returns an array of shape (points, drawn).
        backdrop: Draws the curve of an uninformative rival, given the truth.
        settings: Of the axes.
        ideal: Whether the ideal observer is drawn; without the class prior its probabilities mean nothing.
    """

    name: str
    title: str
    points: Float[np.ndarray, " points"]
    curve: Callable[..., Float[np.ndarray, "points drawn"]]
    backdrop: Callable[[Axes, Truth], None]
    settings: Mapping[str, Any]
    ideal: bool = True


def roc_pictures(record: Record) -> Iterator[Picture]:
    """Yields one ROC plot per estimable target, with the curve of every rival and the band of the rival shown."""
    settings = {"xlabel": "false positive rate", "ylabel": "true positive rate", "aspect": "equal"} | _UNIT
    family = Family("roc", "ROC curves", RATES, roc_points, _diagonal, settings)
    yield from _pictures(record, family)


def precision_pictures(record: Record) -> Iterator[Picture]:
    """Yields one precision-recall plot per estimable target, with the prevalence in its title and as a line."""
    settings = {"xlabel": "recall (sensitivity)", "ylabel": "precision (PPV)", "aspect": "equal"} | _UNIT
    family = Family("pr", "Precision-recall curves", RATES, precision_recall_points, _prevalence, settings)
    yield from (picture for picture in _pictures(record, family) if not picture.key)  # the lines are those of ROC


def decision_pictures(record: Record) -> Iterator[Picture]:
    """Yields one decision curve per estimable target, with the net benefit of acting always and never."""
    truth = [record.answers.truth[:, place] for place, _ in estimable_targets(record)]
    most = max((float((y == 1).sum() / (y >= 0).sum()) for y in truth), default=1.0)  # net benefit, all treated
    ends = {"xlim": (0, 1), "ylim": (-0.2 * most, 1.12 * most)}
    settings = {"xlabel": "threshold probability", "ylabel": "net benefit", **ends}
    family = Family("decision", "Decision curves", PROBABILITIES, _net_benefit, _always, settings, ideal=False)
    yield from _pictures(record, family)


PROBABILITIES = np.linspace(0.01, 0.99, 99)


def _net_benefit(truth: Truth, log_odds: np.ndarray, weights: Weights) -> Float[np.ndarray, "points drawn"]:
    return net_benefit(truth, log_odds, PROBABILITIES, weights)


def _diagonal(plot: Axes, truth: Truth) -> None:
    plot.plot([0, 1], [0, 1], color=INK, linewidth=0.5, alpha=0.35)


def _prevalence(plot: Axes, truth: Truth) -> None:
    height = float((truth == 1).sum() / (truth >= 0).sum())
    plot.axhline(height, color=INK, linewidth=0.6, alpha=0.5)
    plot.set_title(f"prevalence {number(height)}", loc="right", fontsize=8)


def _always(plot: Axes, truth: Truth) -> None:
    """Draws acting always and never."""
    worth = treat_all(truth, PROBABILITIES, np.ones((len(truth), 1)))[:, 0]
    plot.plot(PROBABILITIES, worth, color=INK, linewidth=0.6, alpha=0.5)
    plot.axhline(0, color=INK, linewidth=0.6, alpha=0.5)
    plot.set_title("thin: always, never", loc="right", fontsize=8)


def estimable_targets(record: Record) -> Iterator[tuple[int, str]]:
    """Yields place and name of every target of two classes that is estimable."""
    if record.answers.detection:
        enough = estimable(record.answers) & (record.answers.truth == 0).any(axis=0)
        yield from ((int(place), record.answers.targets[place]) for place in np.flatnonzero(enough))


def _pictures(record: Record, family: Family) -> Iterator[Picture]:
    weights = resampling_weights(record.answers.index["cluster"].to_numpy())
    rivals = [rival for rival in record.rivals if family.ideal or rival != IDEAL]
    places = [place for place, _ in estimable_targets(record)]
    if places:
        looks = strokes(record.rivals, record.reference)
        yield key(f"{family.name}_key", {rival: looks[rival] for rival in rivals})
    yield from (_picture(record, family, place, rivals, weights) for place in places)


def _picture(record: Record, family: Family, place: int, rivals: list[str], weights: Weights) -> Picture:
    target, looks = record.answers.targets[place], strokes(record.rivals, record.reference)
    name = f"{family.name}_{place + 1}_{slug(target)}"
    with axes(3.5, 3.6) as (figure, plot):
        family.backdrop(plot, record.answers.truth[:, place])
        for rival in reversed(rivals):  # the reference is drawn last, on top
            main = rival == record.shown
            band = _curve(record, family, rival, place, weights if main else weights[:, :1])
            if main:
                plot.fill_between(family.points, band.low, band.high, color=INK, alpha=0.13, linewidth=0)
            plot.plot(family.points, band.value, **(looks[rival] | ({} if main else {"linewidth": 0.8})))
        plot.set(title=target, **family.settings)
        return Picture(name, f"{family.title} of {target}; band: 95 % interval of {record.shown}", svg(figure, name))


def _curve(record: Record, family: Family, rival: str, place: int, weights: Weights) -> Band:
    truth = record.answers.truth[:, place]
    scores = [record.answers.log_odds((rival, seed))[:, place] for seed in record.answers.rivals[rival]]
    return pointwise_band([family.curve(truth, log_odds, weights) for log_odds in scores])
