from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_curve

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation import measures
from knee_i2m2.evaluation.split_answers import SplitAnswers, read_split_answers
from knee_i2m2.evaluation.statistics.adjusted import adjusted_auroc, strata
from knee_i2m2.evaluation.statistics.auroc import auroc
from knee_i2m2.evaluation.statistics.bootstrap import cluster_weights
from knee_i2m2.evaluation.statistics.operating_point import Threshold
from tests.evaluation.runs import TARGETS, make_run

KEYS = [("i2m2", "0"), ("i2m2", "1"), ("ideal", "0"), ("magnitude", "0"), ("magnitude", "1")]
THRESHOLDS = {(key, target): Threshold(0.1 * k, "val") for k, key in enumerate(KEYS) for target in TARGETS}
ONCE, TWICE = np.ones((72, 1), dtype=int), np.ones((72, 2), dtype=int)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> SplitAnswers:
    return read_split_answers(make_run(tmp_path_factory.mktemp("run")), "test")


def drawn(answers: SplitAnswers, replicates: int) -> np.ndarray:
    clusters = np.unique(answers.index["cluster"], return_inverse=True)[1]
    return cluster_weights(12, replicates, np.random.default_rng(0))[clusters]


def everything(answers: SplitAnswers, weights: np.ndarray) -> measures.Measured:
    found = measures.ranking(answers, weights) | measures.adjusted(answers, weights)
    return found | measures.at_thresholds(answers, weights, THRESHOLDS, "test") | measures.calibration(answers, weights)


def of_samples(answers: SplitAnswers, key: tuple[str, str], place: int, weight: np.ndarray) -> dict[str, float]:
    """Returns what sklearn measures of samples that stand there as often as they count."""
    truth, z = (np.repeat(x[:, place], weight) for x in (answers.truth, answers.log_odds(key)))
    table = confusion_matrix(truth, z > THRESHOLDS[key, TARGETS[place]].value).ravel()
    false, true, _ = roc_curve(truth, z, drop_intermediate=False)
    return {
        "auprc": average_precision_score(truth, z),
        "prevalence": truth.mean(),
        "brier": brier_score_loss(truth, expit(z)),
        **{f"sensitivity_at_specificity_{s}": true[1 - false >= s / 100 - 1e-9].max() for s in (90, 95)},
        **{f"specificity_at_sensitivity_{s}": 1 - false[true >= s / 100 - 1e-9].min() for s in (90, 95)},
        "threshold": THRESHOLDS[key, TARGETS[place]].value,
        **dict(zip(("true_negatives", "false_positives", "false_negatives", "true_positives"), table, strict=True)),
    }


def test_every_rival_seed_and_target_is_measured_as_sklearn_measures_each_replicate(answers: SplitAnswers) -> None:
    weights = drawn(answers, 5)
    found = everything(answers, weights)
    for key in KEYS:
        for place in range(2):
            for column, weight in enumerate(weights.T):
                for name, expected in of_samples(answers, key, place, weight).items():
                    if (name, key) != ("brier", ("ideal", "0")):
                        assert found[name][key][place, column] == pytest.approx(expected, abs=1e-12)


def test_every_measure_has_a_row_a_target_and_a_column_a_replicate(answers: SplitAnswers) -> None:
    found = everything(answers, drawn(answers, 5))
    assert len(found) == 6 + 1 + 10 + 5
    for name, per in found.items():
        assert {one.shape for one in per.values()} == {(2, 6)}, name
        assert not np.isnan([one[:, 0] for one in per.values()]).any(), name


def test_the_ideal_knows_no_prior_and_is_not_asked_for_probabilities(answers: SplitAnswers) -> None:
    for per in measures.calibration(answers, ONCE).values():
        assert list(per) == [key for key in KEYS if key[0] != "ideal"]
    for per in measures.ranking(answers, ONCE).values():
        assert list(per) == KEYS


def test_within_strata_position_is_held_and_without_positions_nothing_is(answers: SplitAnswers) -> None:
    place = strata(answers.index["position"].to_numpy())
    for key, rows in measures.adjusted(answers, ONCE)["auroc_adjusted"].items():
        expected = [adjusted_auroc(y, z, place) for y, z in zip(answers.truth.T, answers.log_odds(key).T, strict=True)]
        np.testing.assert_allclose(rows[:, 0], expected, atol=1e-12)
        plain = [auroc(y, z) for y, z in zip(answers.truth.T, answers.log_odds(key).T, strict=True)]
        assert not np.allclose(rows[:, 0], plain)
    assert measures.adjusted(replace(answers, index=answers.index.drop(columns="position")), ONCE) == {}


def test_thresholds_are_refused_on_their_own_split(answers: SplitAnswers) -> None:
    with pytest.raises(ConfigError, match="fitted on val cannot be judged on val"):
        measures.at_thresholds(answers, ONCE, THRESHOLDS, "val")


def test_a_threshold_that_val_could_not_tell_leaves_its_target_empty(answers: SplitAnswers) -> None:
    unknown = THRESHOLDS | {(key, "acl"): Threshold(float("nan"), "val") for key in KEYS}
    for per in measures.at_thresholds(answers, ONCE, unknown, "test").values():
        assert [np.isnan(rows[:, 0]).tolist() for rows in per.values()] == [[True, False]] * 5


@pytest.mark.parametrize("side", [1, 0])
@pytest.mark.parametrize(("least", "few"), [(9, True), (10, False)])
def test_with_fewer_than_ten_clusters_of_a_class_values_have_no_replicates(answers, least, few, side) -> None:
    clusters = np.unique(answers.index["cluster"], return_inverse=True)[1]
    acl = np.where(clusters < least, np.arange(72) % 3 == 0, 0)  # positive, or negative, in just so many
    some = replace(answers, truth=np.stack([acl if side else 1 - acl, answers.truth[:, 1]], axis=1))
    for name, per in everything(some, TWICE).items():
        for rows in per.values():
            assert np.isnan(rows[:, 1:]).all(axis=1).tolist() == [few, False], name
            assert np.isfinite(rows[:, 0]).all(), name
