import numpy as np
import pytest

from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.simulation import Design, simulate


def test_scores_have_the_areas_asked_for() -> None:
    design = Design(0.8, 2000, 0.35, gap=0.05, targets=1)
    one = simulate(design, np.random.default_rng(0))
    areas = [auroc(one.truth[0], score) for score in one.scores[0]]
    assert areas == pytest.approx(design.areas.tolist(), abs=0.015)
    assert design.areas == pytest.approx([0.8, 0.75, 0.75])


def test_noise_is_shared_by_slices_of_a_volume_and_of_a_patient_and_by_rivals() -> None:
    one = simulate(Design(0.5, 4000, 0.2, targets=1, rivals=2), np.random.default_rng(0))
    first, second = one.scores[0].reshape(2, 4000, 2, 30)
    assert first.std() == pytest.approx(1, abs=0.02)

    def together(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a, b)[0, 1])

    assert together(first[:, 0, 0], first[:, 0, 1]) == pytest.approx(0.4, abs=0.05)  # of a volume
    assert together(first[:, 0, 0], first[:, 1, 0]) == pytest.approx(0.3, abs=0.05)  # of a patient
    assert together(first.ravel(), second.ravel()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("share", [0.2, 0.35, 0.65])
def test_the_share_of_patients_is_positive_with_1_to_12_slices_a_volume(share: float) -> None:
    one = simulate(Design(0.8, 50, share), np.random.default_rng(0))
    positives = one.truth.reshape(4, 50, 2, 30).sum(axis=-1)
    ill = positives.any(axis=-1)
    assert ill.sum(axis=1).tolist() == [round(50 * share)] * 4
    assert positives[ill].min() >= 1 and positives.max() <= 12
    assert np.bincount(one.patient).tolist() == [60] * 50


def test_the_same_seed_gives_the_same_data() -> None:
    design = Design(0.75, 10, 0.2)
    first, again, other = (simulate(design, np.random.default_rng(seed)).scores for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
