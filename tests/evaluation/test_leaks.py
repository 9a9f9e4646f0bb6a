import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.clusters import ClusterRecord
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.evaluation.leaks import not_estimable_notes
from knee_i2m2.evaluation.split_answers import read_split_answers
from tests.evaluation.runs import index, make_run


def rewrite(run: Path, split: str, **columns) -> None:
    for path in run.glob(f"predictions/*/*/{split}.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(frame.assign(**{name: change(frame) for name, change in columns.items()}), path)


def leaked(run: Path, patients: int) -> Path:
    """Returns the run with patients of val in test."""
    both = {f"testp{n:03d}": f"valp{n:03d}" for n in range(patients)}
    rewrite(run, "test", cluster=lambda f: f["cluster"].replace(both))
    return run


def test_a_patient_in_val_and_test_stops_the_evaluation_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"valp000, valp001 are in more than one split.*--allow-leaks"):
        evaluate(leaked(make_run(tmp_path, seeds=1), 2), replicates=10)
    assert not list(tmp_path.glob("*.csv"))


def test_of_many_leaking_patients_some_are_named_and_all_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"valp004 and 3 more are"):
        evaluate(leaked(make_run(tmp_path, seeds=1), 8), replicates=10)


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("spelling", ["{}", " {}", "{} ", "\t{}"])
def test_a_patient_of_train_stops_it_too_however_it_is_spelt(tmp_path: Path, split: str, spelling: str) -> None:
    run = make_run(tmp_path, seeds=1)
    asked = pd.concat([index(s).assign(split=s) for s in ("train", "val", "test")])
    planted = index(split).head(1).assign(split="train", cluster=spelling.format(f"{split.upper()}p000"))
    ClusterRecord.of(pd.concat([asked, planted])).write(run)
    with pytest.raises(DataError, match=f"{split}p000 is in more than one split"):
        evaluate(run, replicates=10)


def test_predictions_of_other_patients_than_the_runs_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    rewrite(run, "test", cluster=lambda f: f["cluster"].replace({"testp000": "stranger"}))
    with pytest.raises(DataError, match="did not put there: stranger"):
        evaluate(run, replicates=10)


def test_without_a_record_of_train_the_evaluation_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    (run / "clusters.json").unlink()
    assert any("whether train holds clusters" in note for note in evaluate(run, replicates=10).notes)
    assert not json.loads((run / "evaluation.json").read_text())["train_known"]


def test_a_leak_that_is_allowed_is_written_down(tmp_path: Path) -> None:
    run = leaked(make_run(tmp_path, seeds=1), 1)
    evaluate(run, replicates=10, allow_leaks=True)
    assert json.loads((run / "evaluation.json").read_text())["leaks"] == ["valp000"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_of_one_patient_no_interval_can_come(tmp_path: Path, split: str) -> None:
    run = make_run(tmp_path, seeds=1)
    rewrite(run, split, cluster=lambda _: "only")
    with pytest.raises(DataError, match=rf"{split} holds one cluster \(patient\) only, only"):
        evaluate(run, replicates=10)


def test_what_is_not_estimable_is_said_with_its_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    for path in run.glob("predictions/*/*/test.parquet"):
        frame = pd.read_parquet(path)
        few = frame["cluster"].isin([f"testp{n:03d}" for n in range(9)])
        truth = np.where(frame["target"] == "acl", np.where(few, frame["truth"], 0), 1)
        predictions.write(frame.assign(truth=truth), path)
    notes = list(not_estimable_notes(read_split_answers(run, "test"), "test"))
    assert notes == [
        "acl per sample in test is not estimable: 9 clusters (patients) are positive, 10 are needed",
        "meniscus per sample in test is not estimable: none of the samples is negative",
    ]
    evaluation = evaluate(run, replicates=10)
    slices = evaluation.results.query("unit == 'slice' and split == 'test' and metric == 'auroc'")
    assert slices["value"].isna().all()
    assert any("acl per slice in test" in note for note in evaluation.notes)
