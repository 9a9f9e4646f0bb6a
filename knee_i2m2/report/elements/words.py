"""Numbers, names of metrics and results as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from knee_i2m2.evaluation.draws import IDEAL
from knee_i2m2.evaluation.evaluate import REFERENCE
from knee_i2m2.evaluation.split_answers import CHOICE
from knee_i2m2.evaluation.tidy import MACRO

__all__ = [
    "NOT_ESTIMABLE",
    "answer_noun",
    "count",
    "facts",
    "headline",
    "interval",
    "listing",
    "metric_name",
    "number",
    "p_value",
    "quantity",
    "sentence",
    "subgroup_name",
    "with_noun",
]

NOT_ESTIMABLE = "not estimable"

NOTHING = "none"

_METRICS = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "auroc_adjusted": "AUROC within strata of position",
    "auroc_delong": "DeLong",
    "auroc_obuchowski": "Obuchowski",
    "auprc": "AUPRC",
    "sensitivity_at_specificity_90": "sensitivity at 90\u00a0% specificity",
    "sensitivity_at_specificity_95": "sensitivity at 95\u00a0% specificity",
    "specificity_at_sensitivity_90": "specificity at 90\u00a0% sensitivity",
    "specificity_at_sensitivity_95": "specificity at 95\u00a0% sensitivity",
    "ppv": "PPV",
    "npv": "NPV",
    "balanced_accuracy": "balanced accuracy",
    "true_positives": "TP",
    "false_positives": "FP",
    "false_negatives": "FN",
    "true_negatives": "TN",
    "brier": "Brier",
    "brier_skill": "Brier skill",
    "ece": "ECE",
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
    "leave_one_out": "leave-one-out",
    "shapley": "Shapley value",
}
"""Names in running text, if they differ from the name in the tables."""

_ENTRIES = 12


def metric_name(metric: str) -> str:
    """Returns the name of a metric in running text."""
    return _METRICS.get(metric, metric.replace("_", " "))


def number(value: float) -> str:
    """Returns three decimals, or "not estimable"."""
    if not math.isfinite(value):
        return NOT_ESTIMABLE
    return f"{value:.3f}".replace("-0.000", "0.000").replace("-", "−")


def interval(low: float, high: float) -> str:
    """Returns an interval in brackets; empty if it is not estimable."""
    return f"[{number(low)}, {number(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def with_noun(results: pd.DataFrame, task: object) -> pd.DataFrame:
    """Returns a tidy table in which a class to choose, its one target, is called what it is.

    Example:
        >>> list(with_noun(pd.DataFrame({"target": ["label", "macro"]}), "avmnist")["target"])
        ['digit', 'macro']
    """
    if set(results.get("target", ())) - {MACRO} != {CHOICE}:
        return results
    return results.replace({"target": {CHOICE: answer_noun(task)}})


def answer_noun(task: object) -> str:
    """Returns what a task chooses."""
    return {"avmnist": "digit", "nlvr2": "truth of the sentence"}.get(str(task), "answer")


def quantity(value: float) -> str:
    """Returns a count or an amount with at most four digits and a unit prefix: `812`, `12.3 k`, `3.4 M`, `1.2 T`."""
    if not math.isfinite(value):
        return ""
    if abs(value) < _PLAIN:
        return f"{value:.4g}"
    factor, prefix = next(pair for pair in _PREFIXES if abs(value) >= 0.9995 * pair[0])
    return f"{value / factor:.3g}\u00a0{prefix}"


_PLAIN = 9999.5
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: object) -> str:
    """Returns a count in groups: `1 234`; a mean over seeds may have one decimal; empty if there is no number."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return ""
    text = f"{value:,.1f}".removesuffix(".0")
    return text.replace(",", "\u00a0")


def p_value(p: float) -> str:
    """Returns a p-value with three decimals, or `p < 0.001`; empty if there is none."""
    if not math.isfinite(p):
        return ""
    return "p < 0.001" if p < _LEAST_P else f"p = {p:.3f}"


_LEAST_P = 0.001


def listing(names: Sequence[str]) -> str:
    """Returns `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def sentence(text: str) -> str:
    """Returns a note as a sentence: a full stop at its end, names at its start unchanged."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def subgroup_name(subgroup: str) -> str:
    """Returns a subgroup in words.

    Example:
        >>> subgroup_name("field_strength=1.494"), subgroup_name("site=Leiden"), subgroup_name("all")
        ('field strength: 1.494 T', 'site: Leiden', 'all')
    """
    attribute, equals, value = subgroup.partition("=")
    unit = _UNITS.get(attribute, "") if value.replace(".", "").isdigit() else ""
    return f"{attribute.replace('_', ' ')}: {value} {unit}".strip() if equals else subgroup


_UNITS = {"field_strength": "T", "width": "columns"}


def headline(evaluation: pd.DataFrame, comparisons: pd.DataFrame, unit: str, reference: str = REFERENCE) -> str:
    """Returns the result of a run in one or two plain sentences.

    Args:
        evaluation: Table of results.
        comparisons: Table of paired differences to the reference.
        unit: Unit of evaluation: `sample`, `slice`.
        reference: The rival that the others are compared with.
    """
    macro = _macro(evaluation, unit)
    macro = macro[macro["metric"].isin(["auroc", "accuracy"])].set_index("rival")
    others = macro.drop(index=[reference, IDEAL], errors="ignore").sort_values("value", ascending=False)
    targets = evaluation["target"].nunique() - 1
    if reference not in macro.index:
        best = others.index[0] if len(others) else macro.index[0]
        alone = f"There is no {reference} in this run to compare it with."
        return f"{_reached(best, macro.loc[best], unit, targets)} {alone}"
    first = _reached(reference, macro.loc[reference], unit, targets)
    if others.empty or math.isnan(others["value"].iloc[0]) or math.isnan(macro.loc[reference, "value"]):
        return first
    differences = _macro(comparisons, unit).set_index("rival")
    return f"{first} {_compared(others.index[0], others.iloc[0], differences.loc[others.index[0]])}"


def _macro(results: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Returns the headline rows: mean over seeds, on test, over all targets."""
    chosen = (results["seed"] == "mean") & (results["split"] == "test") & (results["subgroup"] == "all")
    return results[chosen & (results["unit"] == unit) & (results["target"] == MACRO)]


def _reached(rival: str, row: pd.Series, unit: str, targets: int) -> str:
    kind = metric_name(row["metric"])
    over = row["note"] or f"{targets} targets"
    metric = f"mean {kind} over {over}, per {unit}," if targets > 1 else f"{kind} per {unit}"
    if not math.isfinite(row["value"]):
        return f"For {rival} the {metric} is {NOT_ESTIMABLE}."
    estimable = interval(row["low"], row["high"])
    between = f" (95\u00a0% interval {number(row['low'])} to {number(row['high'])})" if estimable else ""
    return f"For {rival} the {metric} is {number(row['value'])}{between}."


def _compared(rival: str, row: pd.Series, difference: pd.Series) -> str:
    """Returns how the best other rival compares with the reference."""
    value, low, high = (difference[column] for column in ("value", "low", "high"))
    way = "above" if value > 0 else "below"
    first = (
        f"The best other rival on this test set, {rival}, reaches {number(row['value'])}, {number(abs(value))} {way} it"
    )
    if not interval(low, high):
        return f"{first}."
    verdict = "includes 0: no difference is detectable on this test set" if low <= 0 <= high else "excludes 0"
    paired = "the 95\u00a0% interval of the paired difference, not corrected for selecting the best,"
    return f"{first}; {paired} {number(low)} to {number(high)}, {verdict}."


def facts(values: Mapping[str, Any], leave_out: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yields the entries of a nested mapping as (name, text); long lists are counted."""
    for name, value in values.items():
        if name in leave_out:
            continue
        if isinstance(value, Mapping) and len(value) <= _ENTRIES:
            yield from ((f"{name} · {inner}", text) for inner, text in facts(value))
        elif isinstance(value, (Mapping, list, tuple)):
            short = isinstance(value, (list, tuple)) and len(value) <= _ENTRIES
            yield str(name), (", ".join(map(str, value)) or NOTHING) if short else f"{len(value)} entries"
        else:
            yield str(name), NOTHING if value is None else str(value)
