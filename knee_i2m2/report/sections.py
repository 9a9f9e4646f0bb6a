"""Sections about a run's results, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from knee_i2m2.report.elements.cells import Table
from knee_i2m2.report.elements.inputs import Record
from knee_i2m2.report.elements.section import Section, without_none
from knee_i2m2.report.elements.verdicts import criterion
from knee_i2m2.report.elements.words import headline, metric_name
from knee_i2m2.report.figures.curves import decision_pictures, precision_pictures, roc_pictures
from knee_i2m2.report.figures.forest import acceleration_picture, acceleration_table, forest_pictures, forest_table
from knee_i2m2.report.figures.overview import adjusted_pictures, efficiency_pictures
from knee_i2m2.report.figures.reliability import reliability_pictures
from knee_i2m2.report.figures.shapley import contribution_pictures, contribution_tables
from knee_i2m2.report.paper.summary import calibration_method, dependence_title, with_titles
from knee_i2m2.report.single.saliency import saliency_section
from knee_i2m2.report.tables import operating, results

__all__ = ["explanation_sections", "result_sections"]


def result_sections(record: Record) -> Iterator[Section]:
    """Yields the headline, verdicts, differences, curves, operating points, calibration and subgroups."""
    yield _headline(record)
    yield _verdicts(record)
    yield _differences(record)
    yield _position(record)
    yield _multiclass(record)
    yield _curves(record)
    yield _operating(record)
    yield _calibration(record)
    yield _decision(record)
    yield _subgroups(record)
    yield _acceleration(record)


def explanation_sections(record: Record) -> Iterator[Section]:
    """Yields what explains the results: maps, experts, the ideal observer, other intervals."""
    yield saliency_section(record.cases)
    yield _experts(record)
    yield _efficiency(record)
    yield _intervals(record)


def _by_unit(
    record: Record, table: Callable[[Record, str], Table | None], *more: Table | None
) -> dict[str, tuple[Table, ...]]:
    """Returns a section's tables: that of the smallest unit is shown; those of other units, and more, fold away."""
    first, *others = (table(record, unit) for unit in record.units)
    return {"tables": without_none([first]), "folded": without_none([*others, *more])}


def _headline(record: Record) -> Section:
    metric = metric_name(record.metric)
    others = "rivals are ordered from best to worst"
    order = (
        f"{record.reference} comes first, the other {others}" if record.reference in record.rivals else f"The {others}"
    )
    sentence = headline(record.evaluation, record.comparisons, record.answers.unit, record.reference)
    first, *more = (results.results_table(record, unit, record.metric) for unit in record.units)
    return Section(
        "results",
        f"{metric[0].upper()}{metric[1:]} by rival and target",
        (
            sentence,
            f"Means over seeds; 95 % intervals count {record.nouns[0]} as independent, not {record.nouns[2]}. {order}.",
        ),
        tables=without_none([first]),
        folded=without_none([*more, *(results.seed_table(record, unit) for unit in record.units)]),
    )


def _verdicts(record: Record) -> Section:
    margin, metric = float(record.settings["margin"]), metric_name(record.metric)
    effects = record.effects[record.effects["split"] == "test"]
    return Section(
        "verdicts",
        dependence_title(record),
        (criterion(margin, effects, metric),) if len(effects) else (),
        **_by_unit(record, results.effect_table),
    )


def _differences(record: Record) -> Section:
    return Section(
        "differences",
        f"Differences to {record.reference}",
        (
            f"Rival minus {record.reference} on the same clusters. If the interval includes 0, no difference is "
            f"detectable; it is not corrected for the number of differences. {_test(record)}".strip(),
        ),
        **_by_unit(record, results.difference_table),
    )


def _test(record: Record) -> str:
    """Returns of which test p is, if there is a p."""
    text = "p is of the same statistic, corrected over all differences per unit (Holm)."
    return text if record.comparisons["p_holm"].notna().any() else ""


def _position(record: Record) -> Section:
    return Section(
        "position",
        "What slice position explains",
        (
            "Slice position alone predicts many findings. Within strata of position (one slice wide) only slices "
            "at the same position are compared: a rival that knows the position only has an AUROC of 0.5.",
        ),
        pictures=tuple(adjusted_pictures(record)),
        folded=without_none([results.adjusted_table(record)]),
    )


def _multiclass(record: Record) -> Section:
    unit = record.answers.unit
    tables = {metric: results.results_table(record, unit, metric) for metric in _SECONDARY}
    return Section(
        "choices",
        "Secondary metrics",
        tuple(text.format(series=record.nouns[1]) for metric, text in _SECONDARY.items() if tables[metric]),
        tables=tuple(table for what, one in tables.items() for table in with_titles(what.capitalize(), one)),
    )


_SECONDARY = {
    "consistency": "Consistency is the share of {series} of which every sample is predicted correctly.",
    "entropy": "Entropy, in nats, measures uncertainty: 0 is certain, log of the number of classes is a random guess.",
}


def _curves(record: Record) -> Section:
    return Section(
        "curves",
        "ROC and precision-recall curves",
        (
            f"Per {record.answers.unit}, means over seeds at equal false positive rate or recall. The band is the "
            f"pointwise 95 % interval of {record.shown}, from 300 replicates; areas are in the table. Precision "
            "depends on the prevalence, which is the precision of an uninformative score.",
        ),
        pictures=(*roc_pictures(record), *precision_pictures(record)),
        **_by_unit(record, operating.ranking_table),
    )


def _operating(record: Record) -> Section:
    return Section(
        "operating",
        "At the threshold of the validation set",
        (
            "The threshold of largest balanced accuracy on val, per seed and target; test was not used. Counts "
            "are means over seeds. Those of all rivals are in tables/measures.csv.",
        ),
        **_by_unit(record, operating.operating_table),
    )


def _calibration(record: Record) -> Section:
    corrected = [
        operating.calibration_table(record, record.answers.unit, rival)
        for rival in record.settings["prior_correction"]
        if rival != record.shown
    ]
    return Section(
        "calibration",
        "Calibration",
        (
            f"{calibration_method(record)} A slope of 1 and an intercept of 0 are calibrated; below 1 the answers are "
            "overconfident. Brier skill is the gain over always answering the prevalence. The diagrams pool all seeds; "
            "whiskers are 95 % intervals of 300 replicates, and bins hold equal counts.",
        ),
        pictures=tuple(reliability_pictures(record)),
        **_by_unit(record, operating.calibration_table, *corrected),
    )


def _decision(record: Record) -> Section:
    return Section(
        "decision",
        "Decision curves",
        (
            "Net benefit of acting on a probability above the threshold: true positives less false positives at the "
            "threshold’s odds, per unit. Useful where it lies above both acting always and acting never.",
        ),
        pictures=tuple(decision_pictures(record)),
    )


def _subgroups(record: Record) -> Section:
    contrast = "Δ is inside minus outside the subgroup, over the same clusters. " if record.answers.detection else ""
    return Section(
        "subgroups",
        "Subgroups",
        (
            f"{record.shown} in every subgroup; the line is the whole test set. {contrast}Nothing is corrected for how "
            "many there are: hints, not results.",
        ),
        pictures=tuple(forest_pictures(record)),
        folded=without_none([forest_table(record)]),
    )


def _acceleration(record: Record) -> Section:
    return Section(
        "acceleration",
        "Faster scans",
        ("The same test samples, predicted after retrospective undersampling.",),
        pictures=without_none([acceleration_picture(record)]),
        tables=without_none([acceleration_table(record)]),
    )


def _experts(record: Record) -> Section:
    return Section(
        "experts",
        f"What each expert contributes to {record.reference}",
        (
            "Leave-one-out takes one expert out of the product; Shapley values average that over all orders and sum to "
            "the product’s AUROC above 0.5; shares are covariances with the product’s log-odds and sum to 1. All three "
            "share credit between experts that see the same modality, the joint expert above all: they show "
            "what the product uses, not what a target depends on.",
        ),
        pictures=tuple(contribution_pictures(record)),
        folded=tuple(contribution_tables(record)),
    )


def _efficiency(record: Record) -> Section:
    return Section(
        "efficiency",
        "Efficiency against the ideal observer",
        (
            "Squared detectability of a rival over that of the ideal. 1 uses all information, 0 none; if the "
            "AUROC of the ideal observer is above 0.999, the ratio is not estimable.",
        ),
        pictures=tuple(efficiency_pictures(record)),
        tables=without_none([results.results_table(record, record.answers.unit, "efficiency")]),
    )


def _intervals(record: Record) -> Section:
    return Section(
        "intervals",
        "Three intervals side by side",
        (
            "The interval reported is a jackknife over clusters on the logit scale with Student’s t. Obuchowski’s "
            "takes clusters into account, too, and is too narrow where few are positive or negative; DeLong’s treats "
            "all units as independent. Both are shown for comparison.",
        ),
        **_by_unit(record, results.interval_table),
    )
