from dataclasses import replace

import numpy as np
import pytest

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.effects import effects_of, verdict, verdict_rows
from knee_i2m2.evaluation.statistics.bootstrap import Bootstrapped
from knee_i2m2.evaluation.statistics.student import Difference
from knee_i2m2.training.rivals import standard_rivals
from knee_i2m2.types import Rival

KNEE = {**standard_rivals(("magnitude", "phase")), "position": Rival(("position",))}


def difference(value: float, spread: float = 0.01) -> Difference:
    return Difference(value, np.array([spread]), 40.0)


def test_an_effect_is_a_difference_of_rivals_that_differ_in_just_that() -> None:
    assert effects_of(KNEE, "i2m2") == {
        "magnitude": ("i2m2", "phase"),
        "phase": ("i2m2", "magnitude"),
        "interaction": ("i2m2", "intra"),
        "ensembling": ("inter3", "inter"),
    }


def test_controls_that_are_not_trained_by_default_change_no_effect() -> None:
    without = {name: rival for name, rival in KNEE.items() if name not in ("intra2", "inter_tuned")}
    assert len(without) == len(KNEE) - 2
    assert effects_of(without, "i2m2") == effects_of(KNEE, "i2m2")


def test_names_of_rivals_decide_nothing() -> None:
    renamed = {f"{name}!": rival for name, rival in KNEE.items()}
    assert effects_of(renamed, "i2m2!")["interaction"] == ("i2m2!", "intra!")


def test_of_three_modalities_each_is_told_against_the_expert_of_the_other_two() -> None:
    experts = {"all": ("a", "b", "c", "a+b+c"), "ab": ("a+b",), "bc": ("b+c",), "intra": ("c", "a", "b")}
    rivals = {name: Rival(names, warm=len(names) > 1) for name, names in experts.items()}
    assert effects_of(rivals, "all") == {
        "a": ("all", "bc"),
        "c": ("all", "ab"),
        "interaction": ("all", "intra"),
    }


def test_what_is_not_there_has_no_effect() -> None:
    assert effects_of({"i2m2": KNEE["i2m2"]}, "i2m2") == {}
    assert effects_of({"magnitude": KNEE["magnitude"]}, "i2m2") == {}
    assert set(effects_of({name: KNEE[name] for name in ("inter", "inter3")}, "i2m2")) == {"ensembling"}


OTHERS = {
    "another method": replace(KNEE["intra"], method="gblend"),
    "another combiner": replace(KNEE["intra"], combiner="joint"),
    "not warm": replace(KNEE["intra"], warm=False),
    "frozen": replace(KNEE["intra"], method="separate_likelihoods"),
    "the joint expert by another method": replace(KNEE["inter"], method="ogm_ge", combiner="joint"),
    "one modality by another method": replace(KNEE["phase"], method="gblend"),
    "an ensemble by another method": replace(KNEE["inter3"], method="gblend"),
    "what an older file does not say": Rival(("magnitude", "phase"), "unknown", "unknown"),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("first", [True, False])
def test_a_rival_that_is_trained_in_another_way_changes_no_effect(other: str, first: bool) -> None:
    more = {other: OTHERS[other]}
    assert effects_of({**more, **KNEE} if first else {**KNEE, **more}, "i2m2") == effects_of(KNEE, "i2m2")


@pytest.mark.parametrize("same", ["intra", "phase", "inter3", "inter"])
def test_two_rivals_that_are_the_same_are_refused_by_their_names(same: str) -> None:
    with pytest.raises(ConfigError, match=f"{same} and again"):
        effects_of({**KNEE, "again": KNEE[same]}, "i2m2")


def test_the_interaction_of_a_method_is_against_the_same_method_without_the_joint_expert() -> None:
    whole, apart = (Rival(names, "gblend", "joint") for names in (KNEE["i2m2"].experts, KNEE["intra"].experts))
    assert effects_of({**KNEE, "whole": whole, "apart": apart}, "whole")["interaction"] == ("whole", "apart")


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.05, 0.01, 0.09, "adds"),
        (0.03, 0.01, 0.05, "adds"),
        (-0.05, -0.09, -0.01, "costs"),
        (0.02, 0.01, 0.03, "below margin"),
        (0.05, -0.01, 0.11, "not detectable"),
        (0.05, 0.0, 0.1, "not detectable"),
        (np.nan, np.nan, np.nan, "not estimable"),
        (0.05, np.nan, np.nan, "not estimable"),
    ],
)
def test_an_effect_is_named_if_its_interval_excludes_0_and_it_reaches_the_margin(value, low, high, said) -> None:
    assert verdict(value, low, high) == said


def judged(*values: float) -> list[dict[str, object]]:
    return list(verdict_rows([({"target": f"target {n}"}, difference(value)) for n, value in enumerate(values)]))


def test_holm_widens_the_interval_of_the_surest_most() -> None:
    rows = judged(0.2, 0.04, 0.0)
    assert [row["verdict"] for row in rows] == ["adds", "adds", "not detectable"]
    assert rows[0]["level"] == pytest.approx(1 - 0.05 / 3)
    assert all(row["holm_low"] <= row["low"] <= row["value"] <= row["high"] <= row["holm_high"] for row in rows)
    assert [row["target"] for row in rows] == ["target 0", "target 1", "target 2"]


def test_the_more_sentences_the_wider_their_intervals() -> None:
    assert [judged(0.03, *others * [0.0])[0]["verdict"] for others in (0, 15)] == ["adds", "not detectable"]


def test_what_has_no_interval_is_no_part_of_the_family_and_keeps_its_value() -> None:
    unknown = replace(difference(0.1), contributions=np.array([np.nan]))
    first, second = verdict_rows([({}, difference(0.2)), ({}, unknown)])
    assert first["level"] == pytest.approx(0.95)
    assert (first["verdict"], second["verdict"], second["value"]) == ("adds", "not estimable", 0.1)
    assert np.isnan([second[name] for name in ("low", "high", "p", "level", "holm_low", "holm_high")]).all()


def test_of_a_resampling_the_interval_and_p_are_those_of_its_replicates() -> None:
    drawn = np.array([0.05, *np.random.default_rng(0).normal(0.05, 0.01, 999)])
    (row,) = verdict_rows([({}, Bootstrapped(drawn))])
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(drawn[1:], [0.025, 0.975])))
    assert (row["verdict"], row["p"]) == ("adds", 2 / 1000)
