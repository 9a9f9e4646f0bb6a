from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from knee_i2m2.evaluation.closed_form import closed_form, paired_p, with_p_values
from knee_i2m2.evaluation.resampled_unit import ResampledUnit
from knee_i2m2.evaluation.split_answers import SplitAnswers, read_split_answers
from knee_i2m2.evaluation.statistics import delong
from knee_i2m2.evaluation.statistics.multiplicity import holm
from tests.evaluation.runs import TARGETS, make_run


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> SplitAnswers:
    return read_split_answers(make_run(tmp_path_factory.mktemp("run"), seeds=3), "test")


def part(answers: SplitAnswers, subgroup: str = "all") -> ResampledUnit:
    return ResampledUnit(answers, np.ones((len(answers.index), 3), dtype=int), "test", subgroup)


def compared_rows(answers: SplitAnswers, subgroup: str = "all") -> list[dict]:
    some = part(answers, subgroup)
    return with_p_values(some, some.difference_rows("i2m2"), "i2m2")


def p_of(rows: list[dict], rival: str, target: str, seed: str = "mean") -> dict[str, float]:
    (row,) = (r for r in rows if (r["rival"], r["target"], r["seed"]) == (rival, target, seed))
    return {name: row[name] for name in ("p", "p_holm") if name in row}


def brute_p(answers: SplitAnswers, pairs: list[tuple[tuple[str, str], tuple[str, str]]], place: int) -> float:
    """Returns p of the mean difference over pairs of (rival, seed), from all pairs of samples, cluster by cluster."""
    truth, clusters = answers.truth[:, place], answers.index["cluster"].to_numpy()
    won = np.zeros((truth.sum(), (1 - truth).sum()))
    for sign, side in ((1, 0), (-1, 1)):
        for z in (answers.log_odds(pair[side])[:, place] for pair in pairs):
            apart = z[truth == 1][:, None] - z[truth == 0]
            won += sign * ((apart > 0) + 0.5 * (apart == 0)) / len(pairs)
    mean, (m, n) = won.mean(), won.shape
    names = np.unique(clusters)
    of, by = ([clusters[truth == side] == c for c in names] for side in (1, 0))
    x = np.array([(won[a].mean(axis=1) - mean).sum() for a in of])
    y = np.array([(won[:, b].mean(axis=0) - mean).sum() for b in by])
    k, i, j = len(names), sum(a.any() for a in of), sum(b.any() for b in by)
    variance = i / (i - 1) * x @ x / m**2 + j / (j - 1) * y @ y / n**2 + 2 * k / (k - 1) * x @ y / (m * n)
    return 2 * stats.norm.sf(abs(mean) / np.sqrt(variance))


def test_a_row_holds_the_mean_area_over_seeds_and_both_intervals(answers: SplitAnswers) -> None:
    rows = closed_form(part(answers))
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


def test_where_every_sample_is_its_own_cluster_both_intervals_are_one(answers: SplitAnswers) -> None:
    apart = replace(answers, index=answers.index.assign(cluster=answers.index["sample"]))
    rows = closed_form(part(apart))
    both = [
        [(r["low"], r["high"]) for r in rows if r["metric"] == name] for name in ("auroc_delong", "auroc_obuchowski")
    ]
    np.testing.assert_allclose(*both, atol=1e-12)


def test_of_few_positive_clusters_nothing_is_told(answers: SplitAnswers) -> None:
    few = (answers.index["cluster"] < "testp009").to_numpy()
    some = replace(answers, truth=answers.truth * np.stack([few, np.ones(72, dtype=int)], axis=1))
    for row in closed_form(part(some)):
        assert np.isnan([row["value"], row["low"], row["high"]]).tolist() == [row["target"] == "acl"] * 3
    rows = compared_rows(some)
    assert np.isnan(list(p_of(rows, "magnitude", "acl").values())).all()
    other = p_of(rows, "magnitude", "meniscus")
    assert other["p_holm"] == other["p"] < 1  # one comparison is left
    assert np.isnan(paired_p(some, some, "i2m2", 0)) and paired_p(some, some, "i2m2", 1) == 1


def test_p_is_that_of_the_mean_difference_from_all_pairs_and_holm_is_over_targets(answers: SplitAnswers) -> None:
    rows = compared_rows(answers)
    partners = {"magnitude": "012", "ideal": "000"}  # the one ideal is paired with every seed
    for rival, seeds in partners.items():
        pairs = [((rival, theirs), ("i2m2", ours)) for theirs, ours in zip(seeds, "012", strict=True)]
        p = [brute_p(answers, pairs, place) for place in range(2)]
        found = [p_of(rows, rival, target) for target in TARGETS]
        assert [one["p"] for one in found] == pytest.approx(p, abs=1e-9)
        assert [one["p_holm"] for one in found] == pytest.approx(holm(np.array(p)).tolist(), abs=1e-9)


def test_p_is_of_the_seeds_that_both_have(answers: SplitAnswers) -> None:
    kept = {key: said for key, said in answers.logp.items() if key != ("magnitude", "1")}
    pairs = [(("magnitude", seed), ("i2m2", seed)) for seed in "02"]
    found = p_of(compared_rows(replace(answers, logp=kept)), "magnitude", "acl")["p"]
    assert found == pytest.approx(brute_p(answers, pairs, 0), abs=1e-9)


def test_single_seeds_the_mean_over_targets_and_subgroups_have_no_p(answers: SplitAnswers) -> None:
    rows = compared_rows(answers)
    assert p_of(rows, "magnitude", "acl", "0") == p_of(rows, "magnitude", "macro") == {}
    assert sum("p" in row for row in rows) == 2 * 2  # rivals and targets
    assert not any("p" in row for row in compared_rows(answers, "sequence=PD"))


def test_all_else_in_a_row_stays_as_it_is(answers: SplitAnswers) -> None:
    before = part(answers).difference_rows("i2m2")
    after = [{name: row[name] for name in row if name not in ("p", "p_holm")} for row in compared_rows(answers)]
    assert repr(after) == repr(before)


def test_more_than_two_classes_have_no_p(answers: SplitAnswers) -> None:
    three = {key: np.pad(said, [(0, 0), (0, 0), (0, 1)], constant_values=-50.0) for key, said in answers.logp.items()}
    rows = compared_rows(replace(answers, logp=three, opinions={}))
    assert len(rows) > 0 and not any("p" in row for row in rows)


def test_two_runs_are_compared_in_the_mean_over_the_seeds_of_each(answers: SplitAnswers) -> None:
    first = replace(
        answers, logp={("i2m2", "0"): answers.logp["i2m2", "0"], ("i2m2", "7"): answers.logp["magnitude", "2"]}
    )
    second = replace(answers, logp={("i2m2", "5"): answers.logp["magnitude", "1"]})
    names = [(("magnitude", "1"), ("i2m2", "0")), (("magnitude", "1"), ("magnitude", "2"))]
    for place in range(2):
        p = paired_p(second, first, "i2m2", place)
        assert p == pytest.approx(brute_p(answers, names, place), abs=1e-9)
        assert p == pytest.approx(paired_p(first, second, "i2m2", place), abs=1e-12)
        assert paired_p(first, first, "i2m2", place) == 1
