import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knee_i2m2.evaluation.statistics.bootstrap import bootstrap_p, percentile_interval
from knee_i2m2.evaluation.statistics.multiplicity import holm, holm_levels


def brute_holm(p: list[float], alpha: float) -> list[bool]:
    """Returns which are rejected, by the procedure as Holm wrote it: step by step until one is not."""
    rejected, left = [False] * len(p), sorted(range(len(p)), key=p.__getitem__)
    while left and p[left[0]] <= alpha / len(left):
        rejected[left.pop(0)] = True
    return rejected


def test_adjusted_p_values_are_those_of_a_textbook() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])  # .01 and .005 are rejected at .05
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(
        holm(np.array([0.01, 0.013, 0.014, 0.19, 0.35, 0.5, 0.63, 0.67, 0.75, 0.81])), [0.1, 0.117, 0.117, *[1] * 7]
    )


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.sampled_from([0.01, 0.05, 0.2]))
def test_what_is_rejected_is_what_the_procedure_rejects(thousandths: list[int], alpha: float) -> None:
    p = [k / 301 for k in thousandths]  # never exactly on a step
    assert (holm(np.array(p)) <= alpha).tolist() == brute_holm(p, alpha)


def test_adjusted_p_values_do_not_depend_on_the_order_and_never_fall() -> None:
    p = np.random.default_rng(0).random(20) / 20
    order = np.random.default_rng(1).permutation(20)
    np.testing.assert_array_equal(holm(p)[order], holm(p[order]))
    np.testing.assert_array_equal(holm_levels(p)[order], holm_levels(p[order]))
    assert (np.diff(holm(np.sort(p))) >= 0).all() and (holm(p) >= p).all()


def test_what_is_not_estimable_is_no_comparison() -> None:
    some, nan = np.array([0.03, np.nan, 0.01, np.nan]), np.full(2, np.nan)
    np.testing.assert_array_equal(holm(some), [0.03, np.nan, 0.02, np.nan])
    np.testing.assert_allclose(holm_levels(some), [0.95, np.nan, 0.975, np.nan])
    assert np.isnan(holm(nan)).all() and np.isnan(holm_levels(nan)).all() and len(holm(np.empty(0))) == 0


def test_one_comparison_needs_no_correction() -> None:
    assert holm(np.array([0.02])) == pytest.approx([0.02])
    assert holm_levels(np.array([0.02])) == holm_levels(np.array([0.9])) == pytest.approx([0.95])


def test_levels_follow_the_steps_until_the_procedure_stops() -> None:
    steps = 1 - 0.05 / np.array([4, 3, 2, 2])
    np.testing.assert_allclose(holm_levels(np.array([0.001, 0.002, 0.03, 0.04])), steps)  # the last is not tested
    np.testing.assert_allclose(holm_levels(np.array([0.5, 0.4, 0.3, 0.2])), 1 - 0.05 / 4)
    np.testing.assert_allclose(holm_levels(np.array([0.001, 0.001, 0.001, 0.001])), 1 - 0.05 / 4)  # equals are equal


def test_an_interval_at_its_level_excludes_nothing_just_where_holm_rejects() -> None:
    verdicts = []
    for seed in range(300):
        random = np.random.default_rng(seed)
        centres = random.choice([0, 2.5, 4], size=4)[:, None]
        draws = centres + random.standard_normal((4, 1)) + random.standard_normal((4, 801))
        p = np.array([bootstrap_p(draw) for draw in draws])
        ends = [percentile_interval(draw[1:], float(level)) for draw, level in zip(draws, holm_levels(p), strict=True)]
        excluded = [low > 0 or high < 0 for low, high in ends]
        assert excluded == (holm(p) <= 0.05).tolist()
        verdicts += excluded
    assert 0.2 < np.mean(verdicts) < 0.8  # both verdicts occur
