from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from knee_i2m2.evaluation.statistics.aggregation import AGGREGATORS, choose, maximum, mean, noisy_or, top_k_mean

EVERY = pytest.mark.parametrize("name", AGGREGATORS)


def drawn(seed: int, groups: int = 7, slices: int = 30, levels: float = 3) -> tuple[np.ndarray, np.ndarray]:
    """Returns log-odds with ties of two targets, and groups of uneven size in no order."""
    random = np.random.default_rng(seed)
    codes = random.permutation(np.concatenate([np.arange(groups), random.integers(groups, size=slices - groups)]))
    return np.round(random.normal(0, 2, size=(slices, 2)) * levels) / levels, codes


def brute(join, log_odds: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Returns what `join` makes of the slices of each group and target, one by one."""
    return np.array([[join(z) for z in log_odds[codes == group].T] for group in range(codes.max() + 1)])


def one_minus_none(z: np.ndarray) -> float:
    """Returns the log-odds of 1 - prod (1 - p), as it is written."""
    none = np.prod(1 - expit(z))
    return np.log(1 - none) - np.log(none)


def exactly(z: list[float]) -> float:
    """Returns the same with a thousand digits."""
    with localcontext(Context(prec=1000)):
        odds = Decimal(1)
        for one in z:
            odds *= 1 + Decimal(one).exp()
        return float((odds - 1).ln())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 1000]))
def test_groups_are_joined_as_a_loop_over_them_joins(seed: int, levels: int) -> None:
    log_odds, codes = drawn(seed, levels=levels)
    loops = {
        maximum: max,
        mean: np.mean,
        top_k_mean: lambda z: np.mean(sorted(z)[-3:]),
        noisy_or: one_minus_none,
    }
    for join, loop in loops.items():
        np.testing.assert_allclose(join(log_odds, codes, 7), brute(loop, log_odds, codes), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-900, 900) | st.floats(-40, 2), min_size=1, max_size=6))
def test_the_noisy_or_is_exact_where_probabilities_are_next_to_nothing_or_to_one(z: list[float]) -> None:
    joined = noisy_or(np.array(z)[:, None], np.zeros(len(z), dtype=int), 1).item()
    assert joined == pytest.approx(exactly(z), rel=1e-12, abs=1e-12)


def test_slices_that_say_the_same_multiply_the_odds_or_the_doubts() -> None:
    groups = np.zeros(8, dtype=int)
    for z in (-2000.0, -745.0, -710.0, -50.0):  # the sum of eight odds
        assert noisy_or(np.full((8, 1), z), groups, 1).item() == pytest.approx(z + np.log(8), rel=1e-14)
    for z in (50.0, 2000.0):  # the product of eight doubts
        assert noisy_or(np.full((8, 1), z), groups, 1).item() == pytest.approx(8 * z, rel=1e-14)


def test_it_is_at_least_the_most_suspicious_slice() -> None:
    log_odds, codes = drawn(0)
    assert (noisy_or(log_odds, codes, 7) >= maximum(log_odds, codes, 7) - 1e-12).all()


@EVERY
def test_the_order_of_slices_is_nothing_and_targets_do_not_meet(name: str) -> None:
    log_odds, codes = drawn(1)
    joined = AGGREGATORS[name](log_odds, codes, 7)
    order, renamed = (np.random.default_rng(2).permutation(n) for n in (30, 7))
    np.testing.assert_allclose(AGGREGATORS[name](log_odds[order], codes[order], 7), joined, atol=1e-12)
    np.testing.assert_allclose(AGGREGATORS[name](log_odds, renamed[codes], 7)[renamed], joined, atol=1e-12)
    np.testing.assert_array_equal(AGGREGATORS[name](log_odds[:, :1], codes, 7), joined[:, :1])


@EVERY
def test_a_slice_alone_speaks_for_its_group(name: str) -> None:
    z = np.array([[-1000.0], [-30.0], [0.0], [1e-3], [0.5], [30.0], [1000.0]])
    np.testing.assert_allclose(AGGREGATORS[name](z, np.arange(7)[::-1], 7), z[::-1], rtol=1e-12, atol=1e-12)


@EVERY
def test_a_more_suspicious_slice_never_makes_its_group_less_so(name: str) -> None:
    log_odds, codes = drawn(3)
    before = AGGREGATORS[name](log_odds, codes, 7)
    for place in range(30):
        raised = log_odds.copy()
        raised[place] += 1.5
        after = AGGREGATORS[name](raised, codes, 7)
        assert (after >= before - 1e-12).all()
        np.testing.assert_allclose(np.delete(after, codes[place], 0), np.delete(before, codes[place], 0), atol=1e-12)


def test_only_the_three_highest_are_averaged_and_all_of_fewer() -> None:
    z, groups = np.array([[5.0], [1.0], [3.0], [3.0], [-90.0], [2.0], [4.0]]), np.array([1, 1, 1, 1, 1, 0, 0])
    assert top_k_mean(z, groups, 2).ravel().tolist() == pytest.approx([3, 11 / 3])


def asked(seed: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Returns truth of 20 groups and two targets, log-odds of three rivals, and the groups of 80 slices."""
    random = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(20), random.integers(20, size=60)])
    truth = random.integers(2, size=(20, 2))
    truth[:2] = [[0, 1], [1, 0]]
    rare = truth[codes] * (random.random((80, 2)) < random.random(2))  # not every slice shows it
    return truth, [1.5 * rare + random.standard_normal((80, 2)) for _ in range(3)], codes


def test_the_aggregator_of_the_largest_mean_area_is_chosen_for_each_target() -> None:
    names = []
    for seed in range(10):
        truth, scores, codes = asked(seed)
        areas = [
            [
                np.mean([roc_auc_score(y, join(s, codes, 20)[:, t]) for s in scores]).round(12)
                for t, y in enumerate(truth.T)
            ]
            for join in AGGREGATORS.values()
        ]
        expected = [list(AGGREGATORS)[list(column).index(max(column))] for column in zip(*areas, strict=True)]
        assert choose(truth, scores, codes) == expected
        names += expected
    assert set(names) == set(AGGREGATORS)  # every one is chosen some time


def test_of_those_that_tie_the_first_is_chosen() -> None:
    truth, scores, _ = asked(0)
    alone = [score[:20] for score in scores]
    assert choose(truth, alone, np.arange(20)) == ["maximum", "maximum"]  # a slice a group: all say the same
    log_odds, groups = np.array([[3.0], [-9.0], [1.0], [1.0]]), np.array([0, 0, 1, 1])
    assert choose(np.array([[0], [1]]), [log_odds], groups) == ["mean"]  # as good as the mean of three, and before it


def test_rounding_decides_nothing() -> None:
    """The first and the second reach areas of .3, .2, .1 and of .1, .2, .3, whose sums differ in the last bit."""
    groups, truth = np.repeat(np.arange(11), 2), (np.arange(11) == 10).astype(int)[:, None]
    scores = []
    for highest, middle in ((3, 1), (2, 2), (1, 3)):  # how many of ten negatives the positive surpasses
        middles = np.append(np.arange(10), middle - 0.5)
        apart = np.append(np.full(10, 100), 100 + highest - middle)
        scores.append(np.stack([middles - apart, middles + apart], axis=1).reshape(-1, 1))
    assert choose(truth, scores, groups) == ["maximum"]


def test_groups_of_unknown_truth_have_no_say() -> None:
    truth, scores, codes = asked(1)
    half = truth.copy()
    half[10:] = -1
    known = codes < 10
    assert choose(half, scores, codes) == choose(truth[:10], [score[known] for score in scores], codes[known])


def test_where_validation_tells_nothing_the_first_is_taken() -> None:
    truth, scores, codes = asked(2)
    one_class = np.stack([np.ones(20, dtype=int), truth[:, 1]], axis=1)
    assert choose(one_class, scores, codes) == ["maximum", choose(truth, scores, codes)[1]]
    assert choose(truth, [], codes) == ["maximum", "maximum"]
