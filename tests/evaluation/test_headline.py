from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from knee_i2m2.evaluation.headline import areas, closed_form, differences
from knee_i2m2.evaluation.resampled_unit import ResampledUnit
from knee_i2m2.evaluation.split_answers import SplitAnswers, read_split_answers
from knee_i2m2.evaluation.statistics import delong
from knee_i2m2.evaluation.statistics.multiplicity import holm
from knee_i2m2.evaluation.statistics.operating_point import Threshold
from tests.evaluation.runs import TARGETS, make_run

_HALF = Threshold(0.0, "val")

Pairs = list[tuple[tuple[str, str], tuple[str, str]]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> SplitAnswers:
    return read_split_answers(make_run(tmp_path_factory.mktemp("run"), seeds=3), "test")


def part(answers: SplitAnswers, subgroup: str = "all") -> ResampledUnit:
    return ResampledUnit(answers, np.ones((len(answers.index), 3), dtype=int), "test", subgroup)


def row_of(rows: list[dict], rival: str, target: str, seed: str = "mean") -> dict:
    (row,) = (r for r in rows if (r["rival"], r["target"], r["seed"]) == (rival, target, seed))
    return row


def codes_of(answers: SplitAnswers) -> np.ndarray:
    return np.unique(answers.index["cluster"], return_inverse=True)[1]


def brute_difference(answers: SplitAnswers, pairs: Pairs, places: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Returns the mean difference over pairs of (rival, seed) and targets, its interval and p, patient by patient."""
    clusters = answers.index["cluster"].to_numpy()

    def mean(kept: np.ndarray) -> np.ndarray:
        apart = [
            [
                np.subtract(*(roc_auc_score(answers.truth[kept, t], answers.log_odds(key)[kept, t]) for key in pair))
                for pair in pairs
            ]
            for t in places
        ]
        return np.mean(apart, axis=1)

    whole = mean(np.ones(len(clusters), dtype=bool))
    without = np.array([mean(clusters != c) for c in np.unique(clusters)])
    u = np.sqrt(11 / 12) * (without.mean(axis=0) - without)
    freedom = 11  # every patient has positive samples, so that there is one stratum
    spread = np.linalg.norm(u.mean(axis=1))
    half = stats.t.ppf(0.975, freedom) * spread
    value = whole.mean()
    return value, value - half, value + half, 2 * stats.t.sf(abs(value) / spread, freedom)


def test_a_row_holds_the_mean_area_over_seeds_and_both_intervals(answers: SplitAnswers) -> None:
    rows = part(answers).closed_form_rows()
    assert len(rows) == 3 * 2 * 2
    for row in rows:
        place = TARGETS.index(row["target"])
        truth, seeds = answers.truth[:, place], "0" if row["rival"] == "ideal" else "012"
        scores = [answers.log_odds((row["rival"], seed))[:, place] for seed in seeds]
        assert row["value"] == pytest.approx(np.mean([roc_auc_score(truth, z) for z in scores]), abs=1e-12)
        clusters = answers.index["cluster"].to_numpy() if row["metric"] == "auroc_obuchowski" else None
        spread = np.sqrt(delong.variance(delong.mean([delong.components(truth, z) for z in scores]), clusters))
        half = stats.norm.ppf(0.975) * spread
        assert (row["low"], row["high"]) == pytest.approx((row["value"] - half, min(row["value"] + half, 1)), abs=1e-9)
        assert (row["seed"], row["split"], row["unit"], row["subgroup"]) == ("mean", "test", "sample", "all")
        assert (row["n"], row["positives"], row["clusters"]) == (72, truth.sum(), 12)


def test_the_headline_is_the_jackknife_of_the_mean_over_seeds_and_targets(answers: SplitAnswers) -> None:
    rows, clusters = part(answers).headline_rows(), answers.index["cluster"].to_numpy()

    def value(kept: np.ndarray, places: tuple[int, ...], seeds: str) -> float:
        asked = [(answers.truth[kept, t], answers.log_odds(("i2m2", s))[kept, t]) for t in places for s in seeds]
        return float(np.mean([roc_auc_score(*one) for one in asked]))

    for target, places in (("acl", (0,)), ("meniscus", (1,)), ("macro", (0, 1))):
        for seed in ("mean", "1"):
            seeds = "012" if seed == "mean" else seed
            whole = value(np.ones(72, dtype=bool), places, seeds)
            without = np.array([value(clusters != c, places, seeds) for c in np.unique(clusters)])
            moved = stats.logistic.ppf(without) - stats.logistic.ppf(whole)
            half = stats.t.ppf(0.975, 11) * np.sqrt(11 / 12 * ((moved - moved.mean()) ** 2).sum())
            ends = stats.logistic.cdf(stats.logistic.ppf(whole) + np.array([-half, half]))
            row = row_of(rows, "i2m2", target, seed)
            assert (row["value"], row["low"], row["high"]) == pytest.approx((whole, *ends), abs=1e-9)


def test_where_every_sample_is_its_own_cluster_both_closed_forms_are_one(answers: SplitAnswers) -> None:
    rows = [*closed_form(replace(answers, index=answers.index.assign(cluster=answers.index["sample"])))]
    both = [
        [(r["low"], r["high"]) for r in rows if r["metric"] == name] for name in ("auroc_delong", "auroc_obuchowski")
    ]
    np.testing.assert_allclose(*both, atol=1e-12)


def few(answers: SplitAnswers, kept: int, side: int, targets: list[bool]) -> SplitAnswers:
    """Returns answers of which a class is left in so many patients, for some targets."""
    inside = (answers.index["cluster"] < f"testp{kept:03d}").to_numpy()[:, None] | ~np.array(targets)
    return replace(answers, truth=np.where(inside | (answers.truth != side), answers.truth, 1 - side))


@pytest.mark.parametrize("side", [1, 0])
@pytest.mark.parametrize("kept", [9, 3, 1])
def test_of_few_patients_of_either_class_values_stand_without_intervals(answers: SplitAnswers, kept, side) -> None:
    some = part(few(answers, kept, side, [True, False]))
    rows = some.headline_rows() + some.closed_form_rows() + some.difference_rows("i2m2")
    measured = some.measure_rows({(key, t): _HALF for key in answers.logp for t in TARGETS}, None)
    for row in rows + measured:
        if row["target"] == "acl":
            assert np.isnan([row["low"], row["high"]]).all(), row
            assert row["note"] == f"{kept} {('negative', 'positive')[side]} patients, 10 needed"
    acl = [row for row in rows if row["target"] == "acl"]
    assert np.isfinite([row["value"] for row in acl]).all() and len(acl) > 10
    assert {row["note"] for row in rows if row["target"] == "macro"} == {"1 of 2 targets"}
    other, macro = (row_of(some.headline_rows(), "i2m2", target) for target in ("meniscus", "macro"))
    assert (other["value"], other["low"], other["note"]) == (macro["value"], pytest.approx(macro["low"]), "")
    tested = row_of(some.difference_rows("i2m2"), "magnitude", "acl")
    assert np.isnan([tested["p"], tested["p_holm"]]).all()


def test_where_no_target_has_enough_patients_the_mean_is_over_all_and_has_no_interval(answers: SplitAnswers) -> None:
    rows = part(few(answers, 5, 1, [True, True])).headline_rows()
    acl, meniscus, macro = (row_of(rows, "i2m2", target) for target in (*TARGETS, "macro"))
    assert macro["value"] == pytest.approx((acl["value"] + meniscus["value"]) / 2)
    assert np.isnan([macro["low"], macro["high"]]).all()
    assert macro["note"] == "2 of 2 targets, none with an interval"


def test_differences_are_of_the_mean_over_pairs_of_seeds_and_holm_is_over_rivals_and_targets(answers) -> None:
    rows = part(answers).difference_rows("i2m2")
    partners, tested = {"magnitude": "012", "ideal": "000"}, []  # the one ideal is paired with every seed
    for rival, seeds in partners.items():
        pairs = [((rival, theirs), ("i2m2", ours)) for theirs, ours in zip(seeds, "012", strict=True)]
        for target, places in (("acl", (0,)), ("meniscus", (1,)), ("macro", (0, 1))):
            row = row_of(rows, rival, target)
            *interval, p = brute_difference(answers, pairs, places)
            assert [row[name] for name in ("value", "low", "high")] == pytest.approx(interval, abs=1e-9)
            if target != "macro":
                assert row["p"] == pytest.approx(p, abs=1e-9)
                tested.append(row)
    assert [row["p_holm"] for row in tested] == pytest.approx(holm(np.array([row["p"] for row in tested])).tolist())


def test_differences_are_of_the_seeds_that_both_have(answers: SplitAnswers) -> None:
    kept = {key: logp for key, logp in answers.logp.items() if key != ("magnitude", "1")}
    rows = part(replace(answers, logp=kept)).difference_rows("i2m2")
    pairs = [(("magnitude", seed), ("i2m2", seed)) for seed in "02"]
    assert row_of(rows, "magnitude", "acl")["p"] == pytest.approx(brute_difference(answers, pairs, (0,))[3], abs=1e-9)
    assert [row["seed"] for row in rows if row["rival"] == "magnitude"] == [*["0"] * 3, *["2"] * 3, *["mean"] * 3]


def test_single_seeds_the_mean_over_targets_and_subgroups_have_no_p(answers: SplitAnswers) -> None:
    rows = part(answers).difference_rows("i2m2")
    assert "p" not in row_of(rows, "magnitude", "acl", "0") and "p" not in row_of(rows, "magnitude", "macro")
    assert sum("p" in row for row in rows) == 2 * 2  # rivals and targets
    assert not any("p" in row for row in part(answers, "sequence=PD").difference_rows("i2m2"))


def test_more_than_two_classes_have_the_p_of_their_resampling(answers: SplitAnswers) -> None:
    three = {key: np.pad(logp, [(0, 0), (0, 0), (0, 1)], constant_values=-50.0) for key, logp in answers.logp.items()}
    weights = np.random.default_rng(0).integers(3, size=(72, 200))
    unit = ResampledUnit(replace(answers, logp=three, opinions={}), weights, "test")
    for row in unit.difference_rows("i2m2"):
        if "p" in row:
            assert (row["p"] < 0.05) == (row["low"] > 0 or row["high"] < 0)


def test_two_runs_are_compared_in_the_mean_over_the_seeds_of_each(answers: SplitAnswers) -> None:
    found = areas(answers, codes_of(answers))
    pairs = [(("magnitude", "1"), ("i2m2", "0")), (("magnitude", "1"), ("magnitude", "2"))]
    first, second = [found["i2m2", "0"], found["magnitude", "2"]], [found["magnitude", "1"]]
    for place, one in enumerate(differences(second, first)[:2]):
        value, _, _, p = brute_difference(answers, pairs, (place,))
        assert (one.value, one.p) == pytest.approx((value, p), abs=1e-9)
        assert differences(first, second)[place].p == pytest.approx(one.p, abs=1e-12)
        assert differences(first, first)[place].p == 1
