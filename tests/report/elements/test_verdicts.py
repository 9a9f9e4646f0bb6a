import numpy as np
import pandas as pd
import pytest

from knee_i2m2.evaluation.tidy import EFFECT_COLUMNS
from knee_i2m2.report.elements.verdicts import Verdict, criterion, dependence, phrase, sentences, verdicts

ADDS = (0.05, 0.01, 0.09, "adds")
COSTS = (-0.05, -0.09, -0.01, "costs")
BELOW = (0.02, 0.01, 0.03, "below margin")
BELOW_0 = (-0.02, -0.03, -0.01, "below margin")
UNDETECTABLE = (0.05, -0.01, 0.11, "not detectable")
NOT_ESTIMABLE = (np.nan, np.nan, np.nan, "not estimable")

Told = tuple[float, float, float, str]


def effects(told: dict[str, dict[str, Told]], unit: str = "slice") -> pd.DataFrame:
    """Returns rows of effects.csv: target -> effect -> value, Holm's interval and verdict."""
    rows = [
        {
            **{"effect": effect, "rival": "i2m2", "against": f"without {effect}", "split": "test", "unit": unit},
            **{"target": target, "low": -9.0, "high": 9.0, "p": 0.5, "level": 0.975},
            **dict(zip(("value", "holm_low", "holm_high", "verdict"), row, strict=True)),
        }
        for target, found in told.items()
        for effect, row in found.items()
    ]
    return pd.DataFrame(rows, columns=EFFECT_COLUMNS)


NOTHING = "shows no dependence that is detectable on this test set"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        # an interaction makes each of its modalities indispensable, so that it alone is named
        (
            {"magnitude": "adds", "phase": "adds", "interaction": "adds"},
            "depends on the interaction of magnitude and phase",
        ),
        ({"a": "costs", "b": "adds", "c": "adds", "interaction": "adds"}, "depends on the interaction of a, b and c"),
        ({"interaction": "adds"}, "depends on the interaction of its modalities"),
        ({"magnitude": "not detectable", "phase": "adds", "interaction": "not detectable"}, "depends on phase"),
        (
            {"magnitude": "adds", "phase": "adds", "interaction": "not detectable"},
            "depends on magnitude and on phase; an interaction is not detectable",
        ),
        (
            {"magnitude": "adds", "phase": "adds", "interaction": "not estimable"},
            "depends on magnitude and on phase; whether they interact was not measured",
        ),
        ({"magnitude": "adds", "phase": "costs"}, "depends on magnitude"),
        (
            {"magnitude": "adds", "phase": "adds", "interaction": "below margin"},
            "depends on magnitude and on phase, each by itself",
        ),
        (
            {"magnitude": "adds", "phase": "adds"},
            "depends on magnitude and on phase; whether they interact was not measured",
        ),
        (
            {"a": "adds", "b": "adds", "x": "below margin", "c": "adds", "interaction": "costs"},
            "depends on a, on b and on c, each by itself",
        ),
        ({"magnitude": "not detectable", "phase": "below margin", "interaction": "costs"}, NOTHING),
        ({"magnitude": "costs", "phase": "not estimable"}, NOTHING),
        ({"ensembling": "adds"}, NOTHING),  # more copies are no dependence
        ({"magnitude": "not detectable", "ensembling": "adds"}, NOTHING),
        ({}, NOTHING),
    ],
)
def test_a_target_depends_on_what_adds(found: dict[str, str], told: str) -> None:
    assert dependence(found) == told


@pytest.mark.parametrize(
    ("row", "margin", "told"),
    [
        (ADDS, None, "phase adds 0.050 [0.010, 0.090]"),
        (COSTS, 0.03, "phase costs 0.050 [0.010, 0.090]"),  # a cost is told as a positive number
        (BELOW, 0.03, "phase is 0.020 [0.010, 0.030], below the margin of 0.03"),
        (BELOW, None, "phase is 0.020 [0.010, 0.030], below the margin"),
        (BELOW_0, 0.03, "phase is −0.020 [−0.030, −0.010], below the margin of 0.03"),
        (UNDETECTABLE, 0.03, "phase not detectable"),
        (NOT_ESTIMABLE, 0.03, "phase not estimable"),
    ],
)
def test_an_effect_is_told_with_its_corrected_interval(row: Told, margin: float | None, told: str) -> None:
    (one,) = effects({"acl": {"phase": row}}).to_dict("records")
    assert phrase(one, margin) == told


def test_a_sentence_tells_the_dependence_and_then_every_effect() -> None:
    table = effects({"acl": {"magnitude": UNDETECTABLE, "phase": ADDS, "interaction": BELOW, "ensembling": COSTS}})
    assert sentences(table, "slice", 0.03) == {
        "acl": "acl depends on phase: magnitude not detectable, phase adds 0.050 [0.010, 0.090], interaction is 0.020 "
        "[0.010, 0.030], below the margin of 0.03; in addition, ensembling costs 0.050 [0.010, 0.090]."
    }


def test_every_target_has_its_sentence_whatever_it_is_called() -> None:
    told = {"meniscus": {"phase": ADDS}, "bone | [x]: 3 %": {"phase": UNDETECTABLE}, "acl": {"magnitude": ADDS}}
    found = sentences(effects(told), "slice")
    assert list(found) == list(told)  # in the order of the table
    assert found["meniscus"] == "meniscus depends on phase: phase adds 0.050 [0.010, 0.090]."
    assert found["bone | [x]: 3 %"] == f"bone | [x]: 3 % {NOTHING}: phase not detectable."
    assert found["acl"].startswith("acl depends on magnitude: magnitude adds")


def test_what_is_not_estimable_is_said_once() -> None:
    table = effects({"acl": {"magnitude": NOT_ESTIMABLE, "phase": NOT_ESTIMABLE}, "mcl": {"phase": ADDS}})
    first, second = verdicts(table, "slice")
    assert first == Verdict("acl", "is not estimable")
    assert first.sentence == "acl is not estimable."
    assert second.text == "depends on phase"


def test_one_effect_that_is_not_estimable_hides_no_other() -> None:
    (found,) = verdicts(effects({"acl": {"magnitude": NOT_ESTIMABLE, "phase": ADDS}}), "slice")
    assert found.text == "depends on phase"
    assert found.effects == ("magnitude not estimable", "phase adds 0.050 [0.010, 0.090]")


def test_ensembling_stands_beside_the_dependence() -> None:
    (found,) = verdicts(effects({"acl": {"ensembling": ADDS}}), "slice")
    assert (found.effects, found.ensembling) == ((), ("ensembling adds 0.050 [0.010, 0.090]",))
    assert found.sentence == f"acl {NOTHING}: in addition, ensembling adds 0.050 [0.010, 0.090]."


def test_verdicts_are_about_one_unit_and_there_may_be_none() -> None:
    both = pd.concat([effects({"acl": {"phase": ADDS}}), effects({"acl": {"phase": UNDETECTABLE}}, "volume")])
    assert sentences(both, "slice") == {"acl": "acl depends on phase: phase adds 0.050 [0.010, 0.090]."}
    assert sentences(both, "volume") == {"acl": f"acl {NOTHING}: phase not detectable."}
    assert sentences(both, "patient") == {}
    assert verdicts(effects({}), "slice") == []


def test_the_criterion_names_the_margin_and_the_rivals_of_each_effect_once() -> None:
    words = criterion(0.05, effects({"acl": {"phase": ADDS, "ensembling": ADDS}, "mcl": {"phase": COSTS}}), "accuracy")
    assert "difference of two rivals' accuracy" in words
    assert "reaches the margin of 0.05" in words
    assert words.endswith("Here phase is i2m2 − without phase; ensembling is i2m2 − without ensembling.")
