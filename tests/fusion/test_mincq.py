"""MinCq is held against an enumeration of active sets, and its constraints."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from knee_i2m2.fusion.mincq import c_bound, largest_margin, mincq

SHARES = (0.01, 0.3, 0.7, 1.0)


def drawn(seed: int, voters: int, samples: int = 30, scale: float = 1.0, offset: float = 0.0):
    """Returns votes that are weakly right, and the truth."""
    generator = np.random.default_rng(seed)
    y = generator.choice([-1, 1], samples)
    noise = generator.normal(size=(samples, voters))
    return np.clip(scale * (0.4 * y[:, None] + noise) + offset, -1, 1), y


def smallest_objective(votes: np.ndarray, y: np.ndarray, mu: float) -> float:
    """Returns min q^T M q - a^T q by trying, for every q_j, 0, 1/n and in between."""
    samples, n = votes.shape
    moments, c, a = votes.T @ votes / samples, votes.T @ y / samples, (votes.T @ votes / samples).sum(axis=1) / n
    best = np.inf
    for sides in itertools.product((0.0, 1 / n, np.nan), repeat=n):
        q = np.array(sides)
        free = np.isnan(q)
        fixed, k = np.where(free, 0, q), free.sum()
        equations = np.zeros((k + 1, k + 1))
        equations[:k, :k], equations[:k, k], equations[k, :k] = 2 * moments[free][:, free], c[free], c[free]
        right = np.append((a - 2 * moments @ fixed)[free], (mu + c.mean()) / 2 - c @ fixed)
        q = fixed.copy()
        q[free] = np.linalg.lstsq(equations, right, rcond=None)[0][:k]
        met = abs(2 * c @ q - c.mean() - mu) < 1e-7 * mu
        if met and (q > -1e-9).all() and (q < 1 / n + 1e-9).all():
            best = min(best, q @ moments @ q - a @ q)
    return best


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(
    ("voters", "scale", "offset"),
    [
        (1, 1.0, 0.0),
        (2, 0.3, 0.0),
        (3, 1.0, 0.2),
        (4, 0.3, 0.0),
        (4, 1e-3, 0.0),
        (3, 1e-2, 0.3),
        (4, 1e-5, 0.0),
        (4, 1e-4, 0.3),
    ],
)
def test_no_vote_of_that_margin_has_a_smaller_second_moment(voters, scale, offset, share) -> None:
    for seed in range(8):
        votes, y = drawn(seed, voters, scale=scale, offset=offset)
        mu = share * largest_margin(votes, y)
        q = (mincq(votes, y, mu) + 1 / voters) / 2
        moments, c = votes.T @ votes / len(y), votes.T @ y / len(y)
        assert q.min() > -1e-9 and q.max() < 1 / voters + 1e-9
        assert 2 * c @ q - c.mean() == pytest.approx(mu, rel=1e-8)
        # the objective and the second moment of the margin differ by a constant
        constant = moments.sum() / (4 * voters**2)
        reached = q @ moments @ q - moments.sum(axis=1) @ q / voters + constant
        assert reached == pytest.approx(smallest_objective(votes, y, mu) + constant, rel=1e-4)
        assert reached == pytest.approx(np.mean((votes @ (2 * q - 1 / voters)) ** 2) / 4, rel=1e-6)


def test_a_generic_solver_finds_the_same_weights() -> None:
    votes, y = drawn(0, 6)
    votes[:, 1] = -votes[:, 0]  # an opposite takes part with the opposite sign
    n, mu = 6, 0.5 * largest_margin(votes, y)
    moments, c = votes.T @ votes / len(y), votes.T @ y / len(y)
    a = moments.sum(axis=1) / n
    generic = minimize(
        lambda q: q @ moments @ q - a @ q,
        np.full(n, 0.5 / n),
        jac=lambda q: 2 * moments @ q - a,
        hess=lambda q: 2 * moments,
        method="trust-constr",
        bounds=[(0, 1 / n)] * n,
        constraints=LinearConstraint(2 * c, c.mean() + mu, c.mean() + mu),
        options={"gtol": 1e-12, "xtol": 1e-14, "maxiter": 5000},
    )
    weights = mincq(votes, y, mu)
    np.testing.assert_allclose(votes @ weights, votes @ (2 * generic.x - 1 / n), atol=1e-5)


def test_two_voters_by_hand() -> None:
    # voters that never speak together: M = diag(1/2, 1/2), c = (1/4, 1/2), so that r is proportional to c
    votes, y = np.array([[1.0, 0], [1, 0], [1, 0], [-1, 0], [0, 1], [0, 1], [0, 1], [0, 1]]), np.ones(8, int)
    assert largest_margin(votes, y) == pytest.approx(3 / 8)
    np.testing.assert_allclose(2 * mincq(votes, y, 3 / 16), [0.3, 0.6], atol=1e-8)  # .25 (.3) + .5 (.6) = 3/8
    np.testing.assert_allclose(2 * mincq(votes, y, 3 / 8), [1, 1], atol=1e-8)  # the bounds hold both
    assert c_bound(votes, y, np.array([0.15, 0.3])) == pytest.approx(1 - (3 / 16) ** 2 / (0.15**2 / 2 + 0.3**2 / 2))


@pytest.mark.parametrize("excess", [-1.0, 0.0, 1.001, 2.0, np.nan, np.inf])
def test_a_margin_out_of_reach_is_refused_with_the_largest_one(excess: float) -> None:
    votes, y = drawn(0, 3)
    most = largest_margin(votes, y)
    assert most == pytest.approx(np.mean([abs(np.mean(y * votes[:, j])) for j in range(3)]))
    with pytest.raises(ValueError, match=f"at most {most:g}"):
        mincq(votes, y, excess * most)
