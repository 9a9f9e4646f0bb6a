import numpy as np
import pytest
from scipy.stats import norm

from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.simulation import Binormal, coverage, simulate


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_scores_have_the_area_and_the_correlation_asked_for(correlation: float) -> None:
    design = Binormal(0.8, correlation, patients=40_000, slices=2)
    truth, score, patient = simulate(design, np.random.default_rng(0))
    assert auroc(truth, score) == pytest.approx(0.8, abs=0.006)
    noise = (score - np.sqrt(2) * norm.ppf(0.8) * truth).reshape(-1, 2)
    assert np.corrcoef(noise.T)[0, 1] == pytest.approx(correlation, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert np.bincount(patient).tolist() == [2] * 40_000


def test_the_ill_have_positive_and_negative_slices_and_the_others_only_negative_ones() -> None:
    design = Binormal(0.8, 0.2, patients=5000, slices=6, ill=0.4, positive=0.5)
    positives = simulate(design, np.random.default_rng(0)).truth.reshape(-1, 6).sum(axis=1)
    assert np.mean(positives > 0) == pytest.approx(0.4 * (1 - 0.5**6), abs=0.02)
    assert positives[positives > 0].mean() == pytest.approx(3 / (1 - 0.5**6), abs=0.05)


def test_the_same_seed_gives_the_same_coverage() -> None:
    design = Binormal(0.75, 0.2, patients=30)
    assert coverage(design, datasets=20, replicates=50) == coverage(design, datasets=20, replicates=50)
    assert simulate(design, np.random.default_rng(0)).score[0] != simulate(design, np.random.default_rng(1)).score[0]
