"""Reliability diagrams: observed frequencies against predicted probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics.calibration import BINS, reliability_bins
from knee_i2m2.evaluation.statistics.curves import Band, pointwise_band, resampling_weights
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Picture
from knee_i2m2.report.elements.style import INK, axes, svg
from knee_i2m2.report.figures.curves import estimable_targets
from knee_i2m2.report.figures.overview import key, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["reliability", "reliability_pictures"]

_AFTER, _BEFORE = {"color": INK}, {"color": "#8F7A5E", "markerfacecolor": "none"}


def reliability_pictures(record: Record) -> Iterator[Picture]:
    """Yields a diagram per estimable target of the rival shown, as evaluated and, if recalibrated, as trained."""
    if record.shown == IDEAL:  # its probabilities mean nothing without the class prior
        return
    weights = resampling_weights(record.answers.index["cluster"].to_numpy())
    places = list(estimable_targets(record))
    both = {"after": (record.answers, _AFTER)}
    if record.as_trained is not None and _changed(record.as_trained, record.answers, record.shown):
        both |= {"before": (record.as_trained, _BEFORE)}
    if places and len(both) > 1:
        yield key("reliability_key", {f"{record.shown}, {when}": {"marker": "o", **both[when][1]} for when in both})
    for place, target in places:
        name = f"reliability_{place + 1}_{slug(target)}"
        with axes(3.5, 3.5) as (figure, plot):
            plot.plot([0, 1], [0, 1], color=INK, linewidth=0.5, alpha=0.35)
            bands = {when: reliability(answers.by(record.shown), place, weights) for when, (answers, _) in both.items()}
            for when, (_, look) in both.items():
                _draw(plot, *bands[when], look)
            settings = {"xlim": (-0.02, 1.02), "ylim": (-0.02, 1.02), "aspect": "equal"}
            plot.set(title=target, xlabel="mean predicted probability", ylabel="share of positives", **settings)
            title = f"Reliability of {record.shown} for {target}; whiskers: 95 % intervals"
            yield Picture(name, title, svg(figure, name))


def _changed(before: SplitAnswers, after: SplitAnswers, rival: str) -> bool:
    return any(not np.array_equal(logp, after.logp[key]) for key, logp in before.by(rival).logp.items())


def reliability(
    answers: SplitAnswers, place: int, weights: Int[np.ndarray, "units drawn"], bins: int = BINS
) -> tuple[Float[np.ndarray, " bins"], Band]:
    """Returns per bin the mean predicted probability, and the share of positives with its interval.

    The answers of all seeds are pooled, in bins of equal counts; a cluster is resampled with all of them.

    Args:
        answers: Answers of one rival.
        place: Number of the target.
        weights: How often each unit counts: once, then as its cluster was drawn.
        bins: At most so many; equal answers share one.
    """
    seeds = len(answers.logp)
    truth, counted = np.tile(answers.truth[:, place], seeds), np.tile(weights, (seeds, 1))
    log_odds = np.concatenate([answers.log_odds(key)[:, place] for key in answers.logp])
    predicted, observed, _ = reliability_bins(truth, log_odds, counted, bins)
    return predicted[:, 0], pointwise_band([observed])


def _draw(plot: Axes, predicted: Float[np.ndarray, " bins"], observed: Band, look: dict[str, str]) -> None:
    spread = np.maximum([observed.value - observed.low, observed.high - observed.value], 0)
    style = {"fmt": "o-", "markersize": 3.5, "linewidth": 0.8, "elinewidth": 1.0}
    plot.errorbar(predicted, observed.value, yerr=spread, **style, **look)
