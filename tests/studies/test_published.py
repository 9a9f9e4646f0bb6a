"""A published row of every study is recomputed; the slow tests run whole phantoms again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2.evaluation.statistics.adjusted import adjusted_auroc, strata
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.bootstrap import clustered_interval
from knee_i2m2.evaluation.statistics.simulation import Design
from pipelines.studies import coverage
from pipelines.studies.study import RESULTS

ROOT = Path(__file__).parents[2]
TARGETS = {"abnormal", "meniscus", "acl", "cartilage"}


def published(name: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"{name}.csv")


def row(table: pd.DataFrame, **values: object) -> pd.Series:
    """Returns the one row that has these values."""
    (index,) = np.flatnonzero((table[list(values)] == pd.Series(values)).all(axis=1))
    return table.iloc[index]


def difference(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.subtract(*(auroc(truth, score, weights) for score in scores.T))


def test_every_study_is_a_script_that_make_help_names() -> None:
    scripts = {path.stem for path in (ROOT / "pipelines" / "studies").glob("*.py")} - {"study"}
    named = {word.rstrip(":") for word in (ROOT / "Makefile").read_text().split() if word.startswith("study-")}
    assert scripts and named - {"study-%"} == {f"study-{name}" for name in scripts}


def test_a_cell_of_the_coverage_is_recomputed_within_three_standard_errors() -> None:
    expected = row(published("coverage"), patients=50, positive=0.2, auroc=0.95)
    found = coverage.shares(Design(0.95, 50, 0.2), 500)
    errors = {name: 3 * np.sqrt(expected[name] * (1 - expected[name]) / 500) for name in found}
    assert all(abs(found[name] - expected[name]) <= error for name, error in errors.items()), found


def test_published_intervals_hold_the_truth_and_verdicts_claim_little_that_is_not_there() -> None:
    table = published("coverage")
    noise = np.sqrt(0.05 * 0.95 / table["datasets"])
    for name in ("area", "difference"):
        assert (table[name] > 0.93 - noise).all() and (table[name] < 0.97 + noise).all()
    assert (table["any_claim"] <= 0.06 + noise).all()
    assert table["area_independent"].max() < 0.75 < 0.86 < table["area_before"].min()  # slices are not independent
    assert (table["any_claim"] <= table["any_claim_before"]).all()


def test_a_row_of_the_position_study_is_recomputed() -> None:
    counts = published("position_scores").melt(["position", "log_odds"], ["negatives", "positives"])
    slices = counts.loc[counts.index.repeat(counts["value"])]
    truth, score = (slices["variable"] == "positives").astype(int).to_numpy(), slices["log_odds"].to_numpy()
    expected = row(published("position"), seed=0, rival="position", target="acl")
    assert auroc(truth, score) == pytest.approx(expected["auroc"], abs=1e-4)
    assert adjusted_auroc(truth, score, strata(slices["position"].to_numpy())) == pytest.approx(
        expected["auroc_adjusted"], abs=1e-4
    )


def test_published_positions_look_like_skill_until_they_are_adjusted_for() -> None:
    table = published("position").set_index("rival")
    position, ideal = table.loc["position"], table.loc["ideal"]
    assert len(position) == len(ideal) == 12 and set(position["target"]) == TARGETS
    assert (position["auroc"] > 0.8).all() and (abs(position["auroc_adjusted"] - 0.5) <= 0.05).all()
    assert (abs(ideal["auroc_adjusted"] - ideal["auroc"]) <= 0.02).all()


def test_rows_of_the_demo_are_recomputed_from_its_scores() -> None:
    scores = published("demo_scores")
    truth, pair = scores["truth"].to_numpy(), scores[["i2m2", "intra"]].to_numpy()
    for rival, score in zip(("i2m2", "intra"), pair.T, strict=True):
        expected = row(published("demo"), seed=0, rival=rival, target="cartilage")
        estimate = clustered_interval(auroc, truth, score, scores["cluster"].to_numpy())
        assert estimate.value == pytest.approx(expected["value"], abs=1e-4)
        assert estimate[1:] == pytest.approx(expected[["low", "high"]].to_list(), abs=0.01)  # 1000 other replicates
    expected = row(published("demo_effects"), seed=0, effect="interaction", target="cartilage")
    estimate = clustered_interval(difference, truth, pair, scores["cluster"].to_numpy())
    assert estimate.value == pytest.approx(expected["value"], abs=2e-4)
    assert expected["holm_low"] - 0.01 < estimate.low < estimate.high < expected["holm_high"] + 0.01
    assert expected["verdict"] == "adds"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_published_effects_are_those_that_were_planted(seed: int) -> None:
    named = published("demo_effects").query("seed == @seed and verdict == 'adds' and effect != 'ensembling'")
    planted = {"abnormal": ("magnitude", "phase"), "meniscus": ("phase",), "acl": ("magnitude",)}
    planted["cartilage"] = ("magnitude", "phase", "interaction")
    assert {target: tuple(rows["effect"]) for target, rows in named.groupby("target")} == planted
