import numpy as np
import pytest

from knee_i2m2.evaluation.contribution import covariance_shares, expert_shares
from tests.evaluation.runs import index, prediction_table

random = np.random.default_rng(0)


def test_shares_sum_to_one_and_the_constant_has_none() -> None:
    shares = covariance_shares(
        {"a": random.standard_normal(50), "b": random.standard_normal(50), "c": np.full(50, 3.0)}
    )
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["c"] == pytest.approx(0)


def test_shares_are_the_covariances_with_the_product() -> None:
    a, b = random.standard_normal(50), 2 * random.standard_normal(50)
    covariance = np.cov(np.stack([a, a + b]))
    assert covariance_shares({"a": a, "b": b})["a"] == pytest.approx(covariance[0, 1] / covariance[1, 1])


def test_an_expert_that_pulls_against_the_others_has_a_negative_share() -> None:
    a = random.standard_normal(50)
    assert covariance_shares({"a": 3 * a, "b": -a}) == pytest.approx({"a": 1.5, "b": -0.5})


def test_a_product_that_never_moves_is_not_estimable() -> None:
    assert np.isnan(list(covariance_shares({"a": np.zeros(5), "b": np.ones(5)}).values())).all()


def test_a_table_gives_every_expert_a_share_of_every_target() -> None:
    asked = index("test")
    truth = random.integers(2, size=(len(asked), 2))
    shares = expert_shares(prediction_table(asked, truth, ("magnitude", "phase"), random))
    assert shares.groupby("target")["share"].sum().tolist() == pytest.approx([1, 1])
    assert shares["expert"].tolist() == ["magnitude", "phase"] * 2


def test_shares_of_ten_classes_are_refused() -> None:
    asked = index("test")
    truth = random.integers(10, size=(len(asked), 2))
    with pytest.raises(ValueError, match="two classes"):
        expert_shares(prediction_table(asked, truth, ("magnitude",), random, classes=10))
