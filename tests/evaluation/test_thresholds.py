import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from knee_i2m2.evaluation.run_answers import RunAnswers, run_answers
from knee_i2m2.evaluation.split_answers import SplitAnswers
from knee_i2m2.evaluation.statistics.operating_point import Threshold
from knee_i2m2.evaluation.thresholds import fit_thresholds, threshold_entries
from tests.evaluation.runs import TARGETS, make_run


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> RunAnswers:
    return run_answers(make_run(tmp_path_factory.mktemp("run")))


def test_every_unit_rival_seed_and_target_has_the_threshold_of_largest_balanced_accuracy_on_val(
    found: RunAnswers,
) -> None:
    thresholds = fit_thresholds(found.val)
    assert set(thresholds) == {"slice", "volume", "patient"}
    for answers in found.val[:2]:
        assert set(thresholds[answers.unit]) == {(key, target) for key in answers.logp for target in TARGETS}
        for (key, target), threshold in thresholds[answers.unit].items():
            place = TARGETS.index(target)
            truth, score = answers.truth[:, place], answers.log_odds(key)[:, place]
            best = max(
                np.mean([(score >= level)[truth == 1].mean(), (score < level)[truth == 0].mean()]) for level in score
            )
            assert balanced_accuracy_score(truth, score > threshold.value) == pytest.approx(best)
            assert threshold.fitted_on == "val"


def test_a_rival_has_its_thresholds_whoever_else_is_there(found: RunAnswers) -> None:
    alone = fit_thresholds([found.val[0].by("i2m2")])["slice"]
    together = fit_thresholds(found.val)["slice"]
    assert alone == {key: threshold for key, threshold in together.items() if key[0][0] == "i2m2"}


def test_more_than_two_classes_have_no_thresholds(found: RunAnswers) -> None:
    ten = SplitAnswers(
        "sample", pd.DataFrame(), ("label",), np.zeros((3, 1), dtype=int), {("i2m2", "0"): np.zeros((3, 1, 10))}
    )
    assert fit_thresholds([ten]) == {}
    assert set(fit_thresholds([ten, found.val[0]])) == {"slice"}


def test_the_list_says_of_each_threshold_whose_it_is_and_comes_back_from_a_file(found: RunAnswers) -> None:
    thresholds = fit_thresholds(found.val[:2])
    entries = json.loads(json.dumps(threshold_entries(thresholds), allow_nan=False))
    assert len(entries) == 2 * 5 * 2  # units; two rivals of two seeds, and the ideal; targets
    for entry in entries:
        fitted = thresholds[entry["unit"]][(entry["rival"], entry["seed"]), entry["target"]]
        assert fitted == Threshold(entry["value"], entry["fitted_on"])


def test_what_is_not_estimable_is_null_in_the_list(found: RunAnswers) -> None:
    slices = found.val[0]
    never = replace(slices, truth=slices.truth * [0, 1])
    entries = json.loads(json.dumps(threshold_entries(fit_thresholds([never])), allow_nan=False))
    assert {entry["target"] for entry in entries if entry["value"] is None} == {"acl"}
    assert sum(entry["value"] is None for entry in entries) == 5
    assert {entry["fitted_on"] for entry in entries} == {"val"}
