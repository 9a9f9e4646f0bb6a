import numpy as np
import pandas as pd
import pytest

from knee_i2m2.evaluation.tidy import COMPARISON_COLUMNS, EVALUATION_COLUMNS
from knee_i2m2.report.elements.words import facts, headline, interval, number, quantity

HERE = {"seed": "mean", "split": "test", "unit": "slice", "subgroup": "all", "metric": "auroc"}


def results(columns: list[str], *rows: tuple[str, str, float, float, float]) -> pd.DataFrame:
    named = [dict(zip(("rival", "target", "value", "low", "high"), row, strict=True)) | HERE for row in rows]
    return pd.DataFrame(named, columns=columns)


EVALUATION = results(
    EVALUATION_COLUMNS,
    ("i2m2", "acl", 0.9, 0.8, 0.95),
    ("i2m2", "macro", 0.9, 0.8, 0.95),
    ("inter", "macro", 0.85, 0.8, 0.9),
    ("magnitude", "macro", 0.6, 0.5, 0.7),
    ("ideal", "macro", 0.99, 0.98, 1.0),
)


def comparisons_table(low: float, high: float) -> pd.DataFrame:
    return results(COMPARISON_COLUMNS, ("inter", "macro", -0.05, low, high), ("ideal", "macro", 0.09, 0.0, 0.1))


def test_the_headline_compares_with_the_best_other_rival_and_not_with_the_ceiling() -> None:
    words = headline(EVALUATION, comparisons_table(-0.08, -0.02), "slice")
    assert "i2m2 the AUROC per slice is 0.900 (95\u00a0% interval 0.800 to 0.950)" in words
    assert "inter, reaches 0.850, 0.050 below it" in words
    assert words.endswith("−0.080 to −0.020, excludes 0.")
    assert "ideal" not in words


def test_the_headline_says_when_rivals_are_not_told_apart() -> None:
    assert "no difference is detectable on this test set" in headline(
        EVALUATION, comparisons_table(-0.08, 0.02), "slice"
    )


def test_the_headline_does_without_the_reference_or_an_estimate() -> None:
    without = EVALUATION[EVALUATION["rival"] != "i2m2"]
    assert "There is no i2m2" in headline(without, comparisons_table(0, 0), "slice")
    unknown = EVALUATION.assign(value=np.nan, low=np.nan, high=np.nan)
    assert headline(unknown, comparisons_table(0, 0), "slice") == "For i2m2 the AUROC per slice is not estimable."


def test_numbers_are_not_estimable_in_words() -> None:
    assert (number(0.12345), number(-0.5), number(-0.0001), number(np.nan)) == (
        "0.123",
        "−0.500",
        "0.000",
        "not estimable",
    )
    assert (interval(0.1, 0.2), interval(np.nan, np.nan)) == ("[0.100, 0.200]", "")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (812.0, "812"),
        (9999.0, "9999"),
        (9999.6, "10 k"),
        (999_990.0, "1 M"),
        (12_345_678.0, "12.3 M"),
        (1.2e12, "1.2 T"),
    ],
)
def test_quantities_have_prefixes(amount: float, text: str) -> None:
    assert quantity(amount).replace("\u00a0", " ") == text
    assert quantity(np.nan) == ""


def test_facts_flatten_what_is_short_and_count_what_is_long() -> None:
    told = dict(facts({"task": "knee", "split": {"kind": "patient", "ids": list(range(99))}, "none": None}, ("task",)))
    assert told == {"split · kind": "patient", "split · ids": "99 entries", "none": "none"}
