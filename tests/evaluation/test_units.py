from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics.aggregation import AGGREGATORS
from knee_i2m2.evaluation.units import group_truth, grouped, log_probabilities, name_smallest_unit
from tests.evaluation.runs import index

TARGETS = ("acl", "meniscus")


def slices() -> SplitAnswers:
    random = np.random.default_rng(0)
    who = index("test", patients=4)
    truth = random.integers(-1, 2, size=(len(who), 2))
    logp = log_softmax(random.standard_normal((len(who), 2, 2)), axis=-1)
    return name_smallest_unit(SplitAnswers("sample", who, TARGETS, truth, {("i2m2", "0"): logp}))


def maximum(unit: str, answers: SplitAnswers) -> SplitAnswers:
    return grouped(answers, unit, dict.fromkeys(TARGETS, "maximum"))


def test_a_group_is_positive_if_any_slice_is_and_unknown_before_it_is_negative() -> None:
    truth = np.array([[0], [1], [-1], [0], [0], [-1], [0], [0]])
    series = np.array([0, 0, 0, 1, 1, 2, 2, 1])
    assert group_truth(truth, series, 3).tolist() == [[1], [0], [-1]]


def test_log_odds_become_probabilities_that_sum_to_one_however_large() -> None:
    log_odds = np.array([[-1000.0], [0.0], [1000.0]])
    logp = log_probabilities(log_odds)
    np.testing.assert_allclose(np.exp(logp).sum(axis=-1), 1)
    np.testing.assert_allclose(logp[..., 1] - logp[..., 0], log_odds)


@pytest.mark.parametrize(("unit", "column", "count"), [("volume", "series", 8), ("patient", "cluster", 4)])
def test_volumes_are_series_and_patients_hold_both(unit: str, column: str, count: int) -> None:
    answers = slices()
    shuffled = answers.only(np.ones(24, dtype=bool))
    order = np.random.default_rng(1).permutation(24)
    shuffled = replace(
        answers,
        index=answers.index.iloc[order].reset_index(drop=True),
        truth=answers.truth[order],
        logp={key: logp[order] for key, logp in answers.logp.items()},
    )
    groups = maximum(unit, shuffled)
    names = answers.index[column].to_numpy()
    assert len(groups.index) == count
    assert groups.index["sample"].tolist() == sorted(set(names))
    brute = [answers.log_odds(("i2m2", "0"))[names == name].max(axis=0) for name in sorted(set(names))]
    np.testing.assert_allclose(groups.log_odds(("i2m2", "0")), brute, atol=1e-12)


def test_every_target_has_its_own_aggregator() -> None:
    answers = slices()
    both = grouped(answers, "volume", {"acl": "maximum", "meniscus": "mean"})
    for place, name in enumerate(("maximum", "mean")):
        alone = grouped(answers, "volume", dict.fromkeys(TARGETS, name))
        key = ("i2m2", "0")
        np.testing.assert_array_equal(both.log_odds(key)[:, place], alone.log_odds(key)[:, place])
    assert set(AGGREGATORS) >= {"maximum", "mean"}


def test_a_subgroup_that_changes_within_a_group_is_none_of_it() -> None:
    answers = slices()
    assert maximum("volume", answers).index.columns.tolist() == ["sample", "series", "cluster", "sequence"]
    assert maximum("patient", answers).index.columns.tolist() == ["sample", "series", "cluster"]
    assert maximum("patient", answers).index["cluster"].is_unique


def test_without_series_there_are_samples() -> None:
    answers = slices()
    assert answers.unit == "slice"
    assert name_smallest_unit(replace(answers, index=answers.index.assign(series="-"))).unit == "sample"
