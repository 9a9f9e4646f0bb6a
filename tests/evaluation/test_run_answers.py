from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from knee_i2m2 import predictions
from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.recalibration import Recalibration
from knee_i2m2.evaluation.run_answers import run_answers
from knee_i2m2.evaluation.split_answers import read_split_answers
from knee_i2m2.evaluation.statistics.aggregation import AGGREGATORS
from knee_i2m2.evaluation.statistics.calibration import calibration_line
from tests.evaluation.runs import EXPERTS, TARGETS, index, make_run, prediction_table

LEVELS = {"volume": "series", "patient": "cluster"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose slices show what their patient has half the time, so that patients of both classes are there."""
    run = make_run(tmp_path_factory.mktemp("run"), patients=20)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        healthy = frame["cluster"].str[-1].astype(int) % 2 == 0
        predictions.write(frame.assign(truth=frame["truth"].where(~healthy, 0)), path)
    return run


def copied(run: Path, to: Path, which: str, change) -> Path:
    """Returns a copy of the run in which the prediction tables of a pattern are changed."""
    chosen = set(run.glob(which))
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(change(frame) if path in chosen else frame, to / path.relative_to(run))
    return to


def flipped(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the answers for their contrary."""
    pairs = {c: c[:-1] + str(1 - int(c[-1])) for c in frame if c.startswith("log") and c[-2:] in ("_0", "_1")}
    return frame.assign(**{c: frame[other] for c, other in pairs.items()})


def samples_of(run: Path, classes: int = 2) -> Path:
    """Writes predictions about samples that form no series."""
    random = np.random.default_rng(0)
    for split in ("val", "test"):
        asked = index(split)[["sample", "series", "cluster"]].assign(series="-")
        truth = random.integers(classes, size=(len(asked), 1))
        table = prediction_table(asked, truth, ("magnitude",), random, ("acl" if classes == 2 else "label",), classes)
        predictions.write(table, run / "predictions/magnitude/0" / f"{split}.parquet")
    return run


def test_slices_are_judged_as_they_are_and_volumes_and_patients_after_them(run: Path) -> None:
    found = run_answers(run)
    for split in ("val", "test"):
        units = getattr(found, split)
        assert [(one.unit, len(one.index)) for one in units] == [("slice", 120), ("volume", 40), ("patient", 20)]
        said = read_split_answers(run, split)
        for key in said.logp:
            np.testing.assert_array_equal(units[0].logp[key], said.logp[key])
    assert found.fitted == []


def test_what_joins_slices_is_the_best_on_val_over_all_rivals_and_seeds_but_the_ideal(run: Path) -> None:
    slices = read_split_answers(run, "val")
    chosen = run_answers(run).aggregators
    assert set(chosen) == set(LEVELS)
    for unit, column in LEVELS.items():
        names, codes = np.unique(slices.index[column], return_inverse=True)
        for place, target in enumerate(TARGETS):
            truth = [slices.truth[codes == k, place].max() for k in range(len(names))]
            scores = [slices.log_odds(key)[:, [place]] for key in slices.logp if key[0] != "ideal"]
            joined = {name: [join(z, codes, len(names)) for z in scores] for name, join in AGGREGATORS.items()}
            reached = {name: np.mean([roc_auc_score(truth, z) for z in each]) for name, each in joined.items()}
            assert reached[chosen[unit][target]] == pytest.approx(max(reached.values()), abs=1e-12)


def test_volumes_and_patients_say_what_val_has_chosen_on_both_splits(run: Path) -> None:
    found = run_answers(run)
    for slices, *groups in (found.val, found.test):
        for group in groups:
            codes = np.unique(slices.index[LEVELS[group.unit]], return_inverse=True)[1]
            for place, target in enumerate(TARGETS):
                join = AGGREGATORS[found.aggregators[group.unit][target]]
                for key in slices.logp:
                    expected = join(slices.log_odds(key)[:, [place]], codes, len(group.index))[:, 0]
                    np.testing.assert_allclose(group.log_odds(key)[:, place], expected, atol=1e-12)


def test_neither_the_ideal_nor_test_has_a_say_in_what_joins_slices(run: Path, tmp_path: Path) -> None:
    def chosen(name: str, which: str) -> Mapping[str, Mapping[str, str]]:
        return run_answers(copied(run, tmp_path / name, which, flipped)).aggregators

    before = run_answers(run).aggregators
    assert chosen("ideal", "predictions/ideal/*/*.parquet") == chosen("test", "predictions/*/*/test.parquet") == before
    assert chosen("val", "predictions/*[2e]/*/val.parquet") != before  # while rivals on val have


@pytest.mark.parametrize("calibration", ["temperature", "weights"])
def test_groups_of_calibrated_slices_are_calibrated_again(run: Path, calibration: str) -> None:
    found = run_answers(run, Recalibration(calibration))
    units = ("slice", "volume", "patient")
    noted = [(note["unit"], note["rival"], note["seed"], note["target"]) for note in found.fitted]
    rivals = [(rival, seed) for rival in ("i2m2", "magnitude") for seed in "01"]
    assert noted == [(unit, *key, target) for unit in units for key in rivals for target in TARGETS]
    assert {"temperature" in note for note in found.fitted if note["unit"] != "slice"} == {True}
    for answers in found.val[:2]:
        for key in rivals:
            z = answers.log_odds(key)[:, 0]
            slope, intercept = calibration_line(answers.truth[:, 0], z, np.ones((len(z), 1)))
            assert (slope.item(), intercept.item()) == pytest.approx((1, 0), abs=2e-3)


def test_a_prior_is_taken_out_of_slices_alone(run: Path) -> None:
    found = run_answers(run, Recalibration(prior_correction=("i2m2",)))
    assert {(note["unit"], note["rival"]) for note in found.fitted} == {("slice", "i2m2")}
    shift = found.fitted[0]["prior_shift"]
    before, after = (one.test[0].log_odds(("i2m2", "0"))[:, 0] for one in (run_answers(run), found))
    np.testing.assert_allclose(after, before + shift, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 10])
def test_samples_that_form_no_series_are_all_there_is(tmp_path: Path, classes: int) -> None:
    found = run_answers(samples_of(tmp_path, classes))
    assert [one.unit for one in (*found.val, *found.test)] == ["sample", "sample"]
    assert found.aggregators == {}


def test_samples_of_two_classes_are_recalibrated_too(tmp_path: Path) -> None:
    found = run_answers(samples_of(tmp_path), Recalibration("temperature"))
    assert [(note["unit"], note["target"]) for note in found.fitted] == [("sample", "acl")]


def test_choices_of_a_class_are_not_recalibrated(tmp_path: Path) -> None:
    run = samples_of(tmp_path, classes=10)
    for recalibration in (Recalibration("temperature"), Recalibration(prior_correction=("magnitude",))):
        with pytest.raises(ConfigError, match="are for findings, there or not"):
            run_answers(run, recalibration)


def test_a_misspelt_rival_is_answered_with_the_one_that_was_meant(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no rival i2m; did you mean i2m2\?"):
        run_answers(run, Recalibration(prior_correction=("i2m",)))


def test_weights_and_a_prior_that_they_would_overwrite_are_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match="--prior-correction would change nothing; leave one of them out"):
        run_answers(run, Recalibration("weights", ("i2m2",)))


@pytest.mark.parametrize("asked", [Recalibration("weights"), Recalibration(prior_correction=("i2m2",))])
def test_predictions_without_experts_have_none_to_weigh(tmp_path: Path, asked: Recalibration) -> None:
    run = make_run(tmp_path, {"i2m2": EXPERTS["i2m2"]}, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        experts = [c for c in frame if c.startswith("logit_") and "bias" not in c]
        predictions.write(frame.drop(columns=experts), path)
    with pytest.raises(ConfigError, match="the predictions of i2m2 hold no experts' logits"):
        run_answers(run, asked)


def test_aggregators_that_were_chosen_elsewhere_are_used(run: Path) -> None:
    wanted = {unit: dict.fromkeys(TARGETS, "mean") for unit in LEVELS}
    assert run_answers(run, aggregators=wanted).aggregators == wanted
