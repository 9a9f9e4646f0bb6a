from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from knee_i2m2 import predictions
from knee_i2m2.evaluation.recalibration import (
    AS_TRAINED,
    Recalibration,
    Step,
    recalibrate,
    steps,
    temperature,
    weight_opinions,
    weights,
)
from knee_i2m2.evaluation.split_answers import SplitAnswers, read_split_answers
from knee_i2m2.evaluation.statistics.calibration import calibration_line
from tests.evaluation.runs import TARGETS, make_run

KEYS = [("i2m2", "0"), ("i2m2", "1"), ("magnitude", "0"), ("magnitude", "1")]
IDEAL = ("ideal", "0")
(PRIOR,) = steps(Recalibration(prior_correction=("i2m2",)))
STEPS = pytest.mark.parametrize("step", [temperature, weights, PRIOR])
Splits = tuple[SplitAnswers, SplitAnswers]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    run = make_run(tmp_path_factory.mktemp("run"))
    return read_split_answers(run, "val"), read_split_answers(run, "test")


def regression(truth: np.ndarray, scores: list[np.ndarray]) -> LogisticRegression:
    return LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(np.stack(scores, axis=1), truth)


def test_nothing_is_done_that_is_not_asked_for() -> None:
    assert not AS_TRAINED and steps(AS_TRAINED) == []
    assert Recalibration("temperature") and steps(Recalibration("temperature")) == [temperature]
    assert Recalibration("weights") and steps(Recalibration("weights")) == [weights]
    assert Recalibration(prior_correction=("i2m2",))
    assert steps(Recalibration("weights", ("i2m2",)))[1:] == [weights]  # the prior comes first


def test_a_temperature_is_the_regression_of_val_and_applied_to_both(splits: Splits) -> None:
    after = recalibrate(*splits, temperature, [])
    for key in KEYS:
        for place in range(2):
            old, new = ([split.log_odds(key)[:, place] for split in pair] for pair in (splits, after))
            line = regression(splits[0].truth[:, place], [old[0]])
            for z, expected in zip(new, old, strict=True):
                expected = line.decision_function(expected[:, None])
                np.testing.assert_allclose(z, expected, rtol=2e-3, atol=2e-3)  # but for the tiny ridge


def test_weights_are_the_regression_of_val_on_the_experts_and_applied_to_both(splits: Splits) -> None:
    notes: list[dict] = []
    after = recalibrate(*splits, weights, notes)
    for note in notes:
        key, place = (note["rival"], note["seed"]), TARGETS.index(note["target"])
        assert list(note["weights"]) == list(splits[0].opinions[key]) and min(note["weights"].values()) >= 0
        heard = [expert for expert, weight in note["weights"].items() if weight > 0]
        said = [[s.opinions[key][e][:, place] @ [-1, 1] for e in heard] for s in splits]
        line = regression(splits[0].truth[:, place], said[0])
        for split, z in zip(after, said, strict=True):
            expected = line.decision_function(np.stack(z, axis=1))
            np.testing.assert_allclose(split.log_odds(key)[:, place], expected, rtol=2e-3, atol=2e-3)


def test_a_prior_is_taken_out_of_the_rivals_named_once_less_than_they_have_experts(splits: Splits) -> None:
    val, test = replace(splits[0], truth=np.where(np.arange(72)[:, None] < 50, splits[0].truth, -1)), splits[1]
    after = recalibrate(val, test, PRIOR, [])
    shift = -2 * logit(splits[0].truth[:50].mean(axis=0))  # three experts; a prevalence a target, of what is known
    for seed in "01":
        for old, new in zip((val, test), after, strict=True):
            for rival, by in (("i2m2", shift), ("magnitude", 0)):
                np.testing.assert_allclose(new.log_odds((rival, seed)), old.log_odds((rival, seed)) + by, atol=1e-12)


def test_a_prior_of_one_class_is_not_taken_out(splits: Splits) -> None:
    val = replace(splits[0], truth=np.zeros((72, 2), dtype=int))
    notes: list[dict] = []
    after = recalibrate(val, splits[1], PRIOR, notes)
    assert [note["prior_shift"] for note in notes] == [0] * 4
    np.testing.assert_allclose(after[1].log_odds(KEYS[0]), splits[1].log_odds(KEYS[0]), atol=1e-12)


def test_without_a_class_on_val_a_temperature_changes_nothing(splits: Splits) -> None:
    val = replace(splits[0], truth=splits[0].truth * [0, 1])
    after = recalibrate(val, splits[1], temperature, [])[1].log_odds(KEYS[0])
    before = splits[1].log_odds(KEYS[0])
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-12)
    assert not np.allclose(after[:, 1], before[:, 1])


@pytest.mark.parametrize("step", [temperature, weights])
def test_val_is_calibrated_after_it(splits: Splits, step: Step) -> None:
    after = recalibrate(*splits, step, [])[0]
    for key in KEYS:
        for truth, z in zip(after.truth.T, after.log_odds(key).T, strict=True):
            slope, intercept = calibration_line(truth, z, np.ones((72, 1)))
            assert (slope.item(), intercept.item()) == pytest.approx((1, 0), abs=1e-3)


@STEPS
def test_what_is_true_on_test_is_nothing_to_it(splits: Splits, step: Step) -> None:
    val, test = splits
    once, again = [], []
    before, after = (
        recalibrate(val, test, step, once),
        recalibrate(val, replace(test, truth=1 - test.truth), step, again),
    )
    assert once == again != []
    for key in KEYS:
        np.testing.assert_array_equal(before[1].logp[key], after[1].logp[key])


@STEPS
def test_answers_stay_probabilities_and_all_else_stays_as_it_is(splits: Splits, step: Step) -> None:
    before = [{key: said.copy() for key, said in split.logp.items()} for split in splits]
    after = recalibrate(*splits, step, [])
    for old, new, said in zip(splits, after, before, strict=True):
        assert list(new.logp) == list(old.logp)
        for key in old.logp:
            np.testing.assert_allclose(np.exp(new.logp[key]).sum(axis=-1), 1)
            np.testing.assert_array_equal(old.logp[key], said[key])  # what came is not written over
        assert not np.array_equal(new.logp["i2m2", "0"], old.logp["i2m2", "0"])
        np.testing.assert_array_equal(new.logp[IDEAL], old.logp[IDEAL])
        assert new.truth is old.truth and new.index is old.index and new.opinions is old.opinions


@pytest.mark.parametrize(("step", "rivals"), [(temperature, KEYS), (weights, KEYS), (PRIOR, KEYS[:2])])
def test_every_number_is_noted_with_whose_it_is(splits: Splits, step: Step, rivals: list) -> None:
    notes: list[dict] = []
    recalibrate(*splits, step, notes)
    whose = [(note["unit"], note["rival"], note["seed"], note["target"]) for note in notes]
    assert whose == [("sample", *key, target) for key in rivals for target in TARGETS]
    assert {note["fitted_on"] for note in notes} == {"val"}


def test_weights_undo_a_prior_that_was_taken_out_before(splits: Splits) -> None:
    once, twice = recalibrate(*splits, weights, []), recalibrate(*recalibrate(*splits, PRIOR, []), weights, [])
    for key in KEYS:
        np.testing.assert_array_equal(once[1].logp[key], twice[1].logp[key])  # fitted to the experts, with an intercept


def test_without_a_class_on_val_weights_change_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    for path in run.glob("predictions/i2m2/0/*.parquet"):
        frame = pd.read_parquet(path)
        z = frame["logp_1"] - frame["logp_0"] - 2
        said = {"logp_1": -np.logaddexp(0, -z), "logp_0": -np.logaddexp(0, z)}
        predictions.write(frame.assign(logit_bias_1=-2.0, **said), path)
    val, test = (read_split_answers(run, split) for split in ("val", "test"))
    val = replace(val, truth=val.truth * [0, 1])
    after = recalibrate(val, test, weights, [])[1].log_odds(("i2m2", "0"))
    np.testing.assert_allclose(after[:, 0], test.log_odds(("i2m2", "0"))[:, 0], atol=1e-12)


def test_without_a_known_truth_on_val_no_prior_is_taken_out(splits: Splits) -> None:
    val, test = splits
    unknown = replace(val, truth=np.stack([np.full(len(val.truth), -1), val.truth[:, 1]], axis=1))
    notes: list[dict] = []
    after = recalibrate(unknown, test, PRIOR, notes)[1]
    assert {note["target"] for note in notes} == {TARGETS[1]}
    np.testing.assert_allclose(after.log_odds(KEYS[0])[:, 0], test.log_odds(KEYS[0])[:, 0], atol=1e-12)


def test_weights_are_seen_in_what_experts_put_in(splits: Splits) -> None:
    notes: list[dict] = []
    after = weight_opinions(recalibrate(*splits, weights, notes)[1], notes)
    for note in notes:
        key, place = (note["rival"], note["seed"]), TARGETS.index(note["target"])
        parts = [z[:, place, 1] - z[:, place, 0] for z in after.opinions[key].values()]
        np.testing.assert_allclose(np.sum(parts, axis=0) + note["intercept"], after.log_odds(key)[:, place], atol=1e-9)
