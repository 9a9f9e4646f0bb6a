import numpy as np
import pytest
from scipy.stats import norm

from knee_i2m2.evaluation.statistics.detectability import CEILING, detectability, efficiency


def test_detectability_of_two_gaussians_is_their_distance() -> None:
    for distance in (0.5, 1.0, 3.0):
        assert detectability(norm.cdf(np.array([distance / np.sqrt(2)]))) == pytest.approx([distance])


def test_efficiency_is_the_ratio_of_squared_detectabilities() -> None:
    rival, ideal = norm.cdf(np.array([1.0, 2.0]) / np.sqrt(2)), norm.cdf(np.array([2.0, 2.0]) / np.sqrt(2))
    assert efficiency(rival, ideal) == pytest.approx([0.25, 1.0])


def test_a_blind_rival_has_no_efficiency() -> None:
    assert efficiency(np.array([0.5, 0.2]), np.array([0.9, 0.9])).tolist() == [0, 0]


def test_a_perfect_rival_is_not_estimable_rather_than_infinite() -> None:
    assert np.isnan(efficiency(np.array([1.0]), np.array([0.99]))).all()


def test_a_perfect_a_blind_or_an_unknown_ideal_is_not_estimable() -> None:
    ideal = np.array([1.0, CEILING + 1e-6, 0.5, 0.3, np.nan])
    assert np.isnan(efficiency(np.full(5, 0.8), ideal)).all()
    assert np.isnan(efficiency(np.array([np.nan]), np.array([0.9]))).all()
    assert efficiency(np.array([0.8]), np.array([CEILING]))[0] > 0
