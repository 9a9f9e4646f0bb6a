import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.clusters import ClusterRecord
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.evaluate import evaluate
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


def rewritten(run: Path, split: str, acl: int, meniscus: int) -> Path:
    """Returns the run with as many patients with any positive slice of a finding; the others are negative."""
    few = {"acl": acl, "meniscus": meniscus}
    for path in run.glob(f"predictions/*/*/{split}.parquet"):
        frame = pd.read_parquet(path)
        ill = frame["cluster"].str[-3:].astype(int) < frame["target"].map(few)
        predictions.write(frame.assign(truth=np.where(ill, frame["truth"], 0)), path)
    return run


def test_all_that_has_too_few_patients_is_named_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1, patients=24)
    for split, few in (("test", (4, 18)), ("val", (12, 0))):
        rewritten(run, split, *few)
    evaluation = evaluate(run, replicates=10)
    assert [note for note in evaluation.notes if "few" in note] == [
        "too few patients (clusters) for intervals, values stand alone: acl in test 4 positive; meniscus in test "
        "9 negative per volume; meniscus in test 6 negative per patient; meniscus in val 0 positive "
        "(10 positive and 10 negative ones are needed)"
    ]
    auroc = evaluation.results.query("split == 'test' and metric == 'auroc' and seed == 'mean' and subgroup == 'all'")
    acl = auroc.query("target == 'acl'")
    assert acl["value"].notna().all() and acl[["low", "high"]].isna().all(axis=None)
    assert set(acl["note"]) == {"4 positive patients, 10 needed"}
    by_unit = auroc.query("target == 'meniscus'").set_index("unit")
    assert by_unit.loc["slice", ["low", "high"]].notna().all(axis=None)  # slices of positive patients are negative, too
    assert by_unit.loc[["volume", "patient"], ["low", "high"]].isna().all(axis=None)
    effects = evaluation.effects.query("target == 'acl'")
    assert effects["value"].notna().all() and set(effects["verdict"]) == {"not estimable"}


def test_where_there_are_enough_patients_nothing_is_said(tmp_path: Path) -> None:
    run = rewritten(make_run(tmp_path, seeds=1, patients=24), "test", 12, 12)
    (note,) = (note for note in evaluate(run, replicates=10).notes if "few" in note)
    assert " in test " not in note
    assert all(f"{target} in val 0 negative per patient" in note for target in ("acl", "meniscus"))
    assert not any("few" in note for note in evaluate(rewritten(run, "val", 12, 12), replicates=10).notes)


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({}, []),
        ({"testp000": "TESTP000"}, ["cluster testp000: spelt 'TESTP000', 'testp000', joined"]),
        ({"testp000": " testp000 "}, ["cluster testp000: spelt ' testp000 ', 'testp000', joined"]),
        ({"testp000": "testp000\n"}, ["cluster testp000: spelt 'testp000', 'testp000\\n', joined"]),
        ({"testp001": "'testp001'"}, ["cluster testp001: spelt \"'testp001'\", 'testp001', joined"]),
        ({"testp000": "Testp000", "testp001": "Testp001"}, ["cluster testp000: spelt", "cluster testp001: spelt"]),
        (
            {f"testp{n:03d}": f"TESTP{n:03d}" for n in range(8)},
            [*(f"cluster testp{n:03d}: spelt" for n in range(5)), "3 more spelt in several ways, joined"],
        ),
    ],
)
def test_spellings_that_were_joined_are_named(tmp_path: Path, changes: dict[str, str], notes: list[str]) -> None:
    run = make_run(tmp_path, seeds=1)
    half = min(run.glob("predictions/*/*/test.parquet"))
    frame = pd.read_parquet(half)
    other = frame["cluster"].where(frame.index % 2 == 1, frame["cluster"].replace(changes))
    predictions.write(frame.assign(cluster=other), half)
    joined = [note for note in evaluate(run, replicates=10).notes if "joined" in note]
    assert len(joined) == len(notes) and all(map(str.startswith, joined, notes))
