from itertools import permutations

import numpy as np
import pytest

from knee_i2m2.evaluation.contribution import (
    contributions,
    covariance_shares,
    leave_one_out,
    shapley,
    value_of_subsets,
)
from knee_i2m2.evaluation.split_answers import read_split_answers
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.bootstrap import cluster_weights
from tests.evaluation.runs import make_run

random = np.random.default_rng(0)
ONCE = np.ones((50, 1), dtype=np.int32)


def drawn_log_odds(experts: int, units: int = 200) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns truths and log-odds of experts of growing strength."""
    truth = random.integers(2, size=units)
    return truth, {f"e{k}": 0.4 * k * truth + random.standard_normal(units) for k in range(experts)}


def test_shares_sum_to_one_and_the_constant_has_none() -> None:
    log_odds = {"a": random.standard_normal(50), "b": random.standard_normal(50), "c": np.full(50, 3.0)}
    shares = covariance_shares(log_odds, ONCE)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["c"] == pytest.approx(0)


def test_shares_are_the_covariances_with_the_product_under_any_weights() -> None:
    a, b = random.standard_normal(50), 2 * random.standard_normal(50)
    weights = random.integers(4, size=(50, 3)).astype(np.int32)
    shares = covariance_shares({"a": a, "b": b}, weights)["a"]
    for column, share in zip(weights.T, shares, strict=True):
        covariance = np.cov(np.stack([a, a + b]), fweights=column)
        assert share == pytest.approx(covariance[0, 1] / covariance[1, 1])


def test_an_expert_that_pulls_against_the_others_has_a_negative_share() -> None:
    a = random.standard_normal(50)
    shares = covariance_shares({"a": 3 * a, "b": -a}, ONCE)
    assert (shares["a"][0], shares["b"][0]) == pytest.approx((1.5, -0.5))


def test_a_product_that_never_moves_has_no_shares() -> None:
    shares = covariance_shares({"a": np.zeros(5), "b": np.ones(5)}, ONCE[:5])
    assert np.isnan(list(shares.values())).all()


def test_subsets_are_judged_as_products_and_nobody_guesses() -> None:
    truth, log_odds = drawn_log_odds(3)
    values = value_of_subsets(truth, log_odds, np.ones((200, 1), dtype=np.int32))
    assert len(values) == 8
    assert values[frozenset()][0] == 0.5
    assert values[frozenset({"e0", "e2"})][0] == auroc(truth, log_odds["e0"] + log_odds["e2"])


def test_shapley_values_are_the_mean_gain_over_all_orders() -> None:
    truth, log_odds = drawn_log_odds(4)
    values = value_of_subsets(truth, log_odds, random.integers(3, size=(200, 5)).astype(np.int32))
    orders = list(permutations(log_odds))
    for expert, found in shapley(values).items():
        before = [frozenset(order[: order.index(expert)]) for order in orders]
        brute = np.mean([values[s | {expert}] - values[s] for s in before], axis=0)
        np.testing.assert_allclose(found, brute, atol=1e-12)


def test_shapley_values_share_out_all_that_is_gained() -> None:
    truth, log_odds = drawn_log_odds(3)
    values = value_of_subsets(truth, log_odds, np.ones((200, 1), dtype=np.int32))
    gained = values[frozenset(log_odds)] - 0.5
    np.testing.assert_allclose(sum(shapley(values).values()), gained, atol=1e-12)


def test_experts_that_say_the_same_share_equally_and_neither_is_missed() -> None:
    truth, log_odds = drawn_log_odds(2)
    twins = {"a": log_odds["e1"], "b": log_odds["e1"]}
    values = value_of_subsets(truth, twins, np.ones((200, 1), dtype=np.int32))
    assert shapley(values)["a"] == pytest.approx(shapley(values)["b"])
    assert leave_one_out(values)["a"] == 0


def test_leaving_one_out_is_a_difference_of_products() -> None:
    truth, log_odds = drawn_log_odds(3)
    values = value_of_subsets(truth, log_odds, np.ones((200, 1), dtype=np.int32))
    everybody = auroc(truth, sum(log_odds.values()))
    assert leave_one_out(values)["e2"][0] == pytest.approx(everybody - auroc(truth, log_odds["e0"] + log_odds["e1"]))


def test_contributions_are_means_over_seeds_of_every_expert_and_target(tmp_path) -> None:
    answers = read_split_answers(make_run(tmp_path, patients=20), "test")
    weights = cluster_weights(20, 10, random)[np.unique(answers.index["cluster"], return_inverse=True)[1]]
    found = {(metric, expert): drawn for metric, expert, drawn in contributions(answers, "i2m2", weights)}
    assert {metric for metric, _ in found} == {"leave_one_out", "shapley", "share"}
    assert {expert for _, expert in found} == {"magnitude", "phase", "magnitude+phase"}
    assert all(drawn.shape == (2, 11) for drawn in found.values())
    reached = np.mean(
        [[auroc(answers.truth[:, t], answers.log_odds(("i2m2", s))[:, t]) for t in (0, 1)] for s in "01"], axis=0
    )
    shared = sum(found["shapley", expert][:, 0] for expert in answers.experts["i2m2"])
    np.testing.assert_allclose(shared, reached - 0.5, atol=1e-12)
