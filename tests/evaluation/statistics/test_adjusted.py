import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from knee_i2m2.evaluation.statistics.adjusted import adjusted_auroc, strata
from knee_i2m2.evaluation.statistics.auroc import auroc

random = np.random.default_rng(0)
TRUTH = random.integers(2, size=300)
TIED = random.integers(6, size=300) + TRUTH
PLACE = strata(random.random(300))


def brute(truth: np.ndarray, score: np.ndarray, place: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Returns the mean of sklearn's AUROC of every stratum that has both classes, weighted by its positives."""
    weight = np.ones(len(truth)) if weight is None else weight
    areas, positives = [], []
    for stratum in np.unique(place[place >= 0]):
        here = (place == stratum) & (truth >= 0) & (weight > 0)
        if len(np.unique(truth[here])) == 2:
            areas.append(roc_auc_score(truth[here], score[here], sample_weight=weight[here]))
            positives.append(weight[here & (truth == 1)].sum())
    return float(np.average(areas, weights=positives)) if areas else float("nan")


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 6, 10_000]), st.sampled_from([1, 5, 40]))
def test_it_equals_sklearn_stratum_by_stratum(seed: int, levels: int, count: int) -> None:
    random = np.random.default_rng(seed)
    truth, score = random.integers(-1, 2, size=60), random.integers(levels, size=60)
    place, weight = random.integers(-1, count, size=60), random.random(60) * random.integers(2, size=60)
    ours, theirs = adjusted_auroc(truth, score, place), brute(truth, score, place)
    assert ours == pytest.approx(theirs, abs=1e-12, nan_ok=True)
    weighted = adjusted_auroc(truth, score, place, weight)
    assert weighted == pytest.approx(brute(truth, score, place, weight), abs=1e-12, nan_ok=True)


def test_every_column_of_weights_is_a_replicate_of_its_own() -> None:
    weights = random.multinomial(100, np.full(100, 1 / 100), size=70).T  # more than one block
    some = TRUTH[:100], TIED[:100], PLACE[:100]
    looped = [brute(*some, w.astype(float)) for w in weights.T]
    np.testing.assert_allclose(adjusted_auroc(*some, weights), looped, atol=1e-12)


def test_one_stratum_is_the_plain_area() -> None:
    assert adjusted_auroc(TRUTH, TIED, np.full(300, 7)) == pytest.approx(auroc(TRUTH, TIED), abs=1e-12)


def test_the_covariate_alone_tells_nothing_within_its_strata() -> None:
    place = random.integers(20, size=5000)
    truth = (random.random(5000) < place / 20).astype(int)
    assert auroc(truth, place) > 0.8
    assert adjusted_auroc(truth, place, place) == 0.5


def test_a_shift_of_a_whole_stratum_changes_nothing() -> None:
    shifted = TIED + 100 * random.permutation(40)[PLACE]
    assert adjusted_auroc(TRUTH, shifted, PLACE) == pytest.approx(adjusted_auroc(TRUTH, TIED, PLACE), abs=1e-12)


def test_positives_without_an_opponent_are_left_out() -> None:
    truth, score, place = np.array([0, 1, 1, 1]), np.array([1, 2, 0, 0]), np.array([0, 0, 0, 1])
    assert adjusted_auroc(truth, score, place) == 0.5  # the last has no negative beside it
    assert adjusted_auroc(truth, score, place, np.array([1, 1, 0, 1])) == 1.0


def test_no_stratum_with_both_classes_is_not_estimable() -> None:
    assert np.isnan(adjusted_auroc(np.array([0, 1]), np.arange(2), np.array([0, 1])))
    assert np.isnan(adjusted_auroc(np.array([0, 1]), np.arange(2), np.array([-1, -1])))
    assert np.isnan(adjusted_auroc(np.array([0, 1]), np.arange(2), np.array([3, 3]), np.array([0, 1])))
    assert np.isnan(adjusted_auroc(np.ones(3, dtype=int), np.arange(3), np.zeros(3, dtype=int)))
    assert np.isnan(adjusted_auroc(np.empty(0, dtype=int), np.empty(0), np.empty(0, dtype=int)))


def test_small_integers_do_not_overflow() -> None:
    truth, place = np.tile([0, 1], 50_000), np.repeat(np.arange(100), 1000).astype(np.int8)
    weights = np.full((100_000, 1), 3, dtype=np.int8)
    assert adjusted_auroc(truth, truth, place, weights) == pytest.approx([1.0])


def test_only_the_order_of_scores_matters_and_not_that_of_samples() -> None:
    order = random.permutation(300)
    expected = pytest.approx(adjusted_auroc(TRUTH, TIED, PLACE), abs=1e-12)
    assert adjusted_auroc(TRUTH, np.exp(TIED / 3), PLACE) == expected
    assert adjusted_auroc(TRUTH[order], TIED[order], PLACE[order]) == expected


def test_strata_are_equally_wide_and_an_unknown_position_has_none() -> None:
    assert strata(np.array([0.0, 0.024, 0.025, 0.5, 1.0, np.nan])).tolist() == [0, 0, 1, 20, 39, -1]
    assert strata(np.array([-0.1, 1.3]), 4).tolist() == [0, 3]
