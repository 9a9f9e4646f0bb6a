import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from knee_i2m2 import predictions
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.evaluation.tidy import COMPARED, EVALUATED, read_results
from tests.evaluation.runs import TARGETS, index, make_run, prediction_table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def results(run: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return evaluate(run, replicates=200)


def picked(frame: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    wanted = {"split": "test", "unit": "slice", "subgroup": "all", **wanted}
    return frame[np.logical_and.reduce([frame[column] == value for column, value in wanted.items()])]


def rewrite(path: Path, change) -> None:
    frame = pd.read_parquet(path)
    predictions.write(change(frame), path)


def test_the_values_are_those_of_sklearn(run: Path, results) -> None:
    frame = pd.read_parquet(run / "predictions/i2m2/1/test.parquet").query("target == 'acl'")
    row = picked(results[0], rival="i2m2", seed="1", target="acl", metric="auroc").squeeze()
    assert row["value"] == pytest.approx(roc_auc_score(frame["truth"], frame["logp_1"] - frame["logp_0"]), abs=1e-12)
    assert (row["n"], row["positives"], row["clusters"]) == (72, frame["truth"].sum(), 12)
    assert row["low"] < row["value"] < row["high"]


def test_the_headline_is_the_mean_over_seeds_and_macro_over_targets(results) -> None:
    i2m2 = picked(results[0], rival="i2m2", metric="auroc").pivot(index="target", columns="seed", values="value")
    np.testing.assert_allclose(i2m2["mean"], i2m2[["0", "1"]].mean(axis=1), atol=1e-12)
    assert i2m2.loc["macro", "mean"] == pytest.approx(i2m2.loc[list(TARGETS), "mean"].mean())


def test_the_volume_has_the_maximum_of_its_slices(run: Path, results) -> None:
    frame = pd.read_parquet(run / "predictions/i2m2/0/val.parquet").query("target == 'acl'")
    frame["score"] = frame["logp_1"] - frame["logp_0"]
    volumes = frame.groupby("series")[["truth", "score"]].max()
    row = picked(results[0], rival="i2m2", seed="0", target="acl", split="val", unit="volume").squeeze()
    if volumes["truth"].nunique() == 2:
        assert row["value"] == pytest.approx(roc_auc_score(volumes["truth"], volumes["score"]), abs=1e-12)
    assert row["n"] == 24


def test_differences_are_paired(results) -> None:
    evaluation, comparisons = results
    row = picked(comparisons, rival="magnitude", seed="mean", target="macro").squeeze()
    values = picked(evaluation, seed="mean", target="macro", metric="auroc").set_index("rival")
    assert row["against"] == "i2m2"
    assert row["value"] == pytest.approx(values.loc["magnitude", "value"] - values.loc["i2m2", "value"])
    unpaired = values.loc[["magnitude", "i2m2"]].eval("high - low").sum()
    assert row["high"] - row["low"] < unpaired
    assert "i2m2" not in set(comparisons["rival"])


def test_the_one_ideal_is_paired_with_every_seed(results) -> None:
    evaluation, comparisons = results
    assert set(picked(comparisons, rival="ideal", target="acl")["seed"]) == {"0", "1", "mean"}
    efficiency = evaluation[evaluation["metric"] == "efficiency"]
    assert set(efficiency["rival"]) == {"magnitude", "i2m2"}
    assert set(efficiency["unit"]) == {"slice"}
    assert set(picked(efficiency, rival="i2m2", target="acl")["seed"]) == {"0", "1", "mean"}


def test_subgroups_have_the_headline_only(results) -> None:
    some = results[0].query("subgroup == 'sequence=PD'")
    assert set(some["seed"]) == {"mean"}
    assert (picked(some, rival="i2m2", target="acl", subgroup="sequence=PD")["n"] == 36).all()
    assert set(results[0]["subgroup"]) == {"all", "sequence=PD", "sequence=PDFS"}


def test_the_files_hold_what_is_returned_and_repeat_to_the_byte(run: Path, results) -> None:
    for frame, name, columns in zip(results, ("evaluation", "comparisons"), (EVALUATED, COMPARED), strict=True):
        assert frame.columns.tolist() == columns
        read = read_results(run / f"{name}.csv", columns)
        np.testing.assert_allclose(read["value"], frame["value"], rtol=1e-12)
    before = (run / "evaluation.csv").read_bytes()
    evaluate(run, replicates=200)
    assert (run / "evaluation.csv").read_bytes() == before


def test_one_class_is_not_estimable_and_left_out_of_macro(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        rewrite(path, lambda f: f.assign(truth=f["truth"].where(f["target"] != "acl", 0)))
    evaluation, comparisons = evaluate(run, replicates=50)
    of = picked(evaluation, rival="i2m2", seed="mean", metric="auroc").set_index("target")
    assert of.loc["acl", ["value", "low", "high"]].isna().all()
    assert of.loc["macro", "value"] == of.loc["meniscus", "value"]
    assert picked(comparisons, target="acl")["value"].isna().all()
    assert (read_results(run / "evaluation.csv", EVALUATED).query("target == 'acl'")["value"].isna()).all()


def test_ten_classes_without_series_have_an_accuracy_per_sample(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split in ("val", "test"):
        asked = index(split)[["sample", "cluster"]].assign(series="-")[["sample", "series", "cluster"]]
        truth = random.integers(10, size=(len(asked), 1))
        table = prediction_table(asked, truth, ("magnitude",), random, targets=("label",), classes=10)
        predictions.write(table, tmp_path / "predictions/image/0" / f"{split}.parquet")
    evaluation, comparisons = evaluate(tmp_path, replicates=50)
    row = evaluation.query("seed == 'mean' and target == 'label' and split == 'test'").squeeze()
    frame = table.sort_values("sample")
    answer = frame[[f"logp_{c}" for c in range(10)]].to_numpy().argmax(axis=1)
    assert (row["unit"], row["metric"]) == ("sample", "accuracy")
    assert row["value"] == pytest.approx(accuracy_score(frame["truth"], answer))
    assert comparisons.empty


def test_rivals_need_not_be_written_in_one_order(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    before, _ = evaluate(run, replicates=20)
    rewrite(run / "predictions/magnitude/0/test.parquet", lambda f: f.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(evaluate(run, replicates=20)[0], before)


def test_a_run_without_predictions_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no predictions"):
        evaluate(tmp_path)


def test_a_rival_without_its_test_file_is_named(tmp_path: Path) -> None:
    (make_run(tmp_path, seeds=1) / "predictions/magnitude/0/test.parquet").unlink()
    with pytest.raises(DataError, match=r"magnitude.*there is no prediction file"):
        evaluate(tmp_path)
    assert not (tmp_path / "evaluation.csv").exists()


def test_a_rival_with_other_samples_is_named_with_one_of_them(tmp_path: Path) -> None:
    path = make_run(tmp_path, seeds=1) / "predictions/magnitude/0/test.parquet"
    rewrite(path, lambda f: f[f["sample"] != "test003:1"])
    with pytest.raises(DataError, match=r"magnitude and i2m2 .*test003:1"):
        evaluate(tmp_path)


@pytest.mark.parametrize("column", ["truth", "cluster"])
def test_rivals_that_disagree_about_a_sample_are_named(tmp_path: Path, column: str) -> None:
    path = make_run(tmp_path, seeds=1) / "predictions/magnitude/0/test.parquet"
    other = {"truth": lambda f: 1 - f["truth"], "cluster": lambda f: "x" + f["cluster"]}[column]
    rewrite(path, lambda f: f.assign(**{column: other(f)}))
    with pytest.raises(DataError, match=f"magnitude and i2m2 hold another {column} for test000:0"):
        evaluate(tmp_path)


def test_rivals_with_other_targets_are_named(tmp_path: Path) -> None:
    path = make_run(tmp_path, seeds=1) / "predictions/magnitude/0/test.parquet"
    rewrite(path, lambda f: f.assign(target=f["target"].replace("acl", "pcl")))
    with pytest.raises(DataError, match="different questions"):
        evaluate(tmp_path)


def test_the_mean_difference_is_over_the_seeds_that_both_have(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "predictions", tmp_path / "predictions")
    shutil.rmtree(tmp_path / "predictions" / "magnitude" / "1")
    _, comparisons = evaluate(tmp_path, replicates=50)
    for target in (*TARGETS, "macro"):
        rows = picked(comparisons, rival="magnitude", target=target).set_index("seed")
        assert set(rows.index) == {"0", "mean"}
        assert rows.loc["mean", "value"] == rows.loc["0", "value"]


@pytest.mark.parametrize("options", [{"replicates": 0}, {"replicates": -1}, {"seed": -1}])
def test_options_that_give_no_interval_are_refused_and_leave_the_tables_alone(
    run: Path, results, options: dict
) -> None:
    before = (run / "evaluation.csv").read_bytes()
    with pytest.raises(ConfigError, match=r"give|needs"):
        evaluate(run, **options)
    assert (run / "evaluation.csv").read_bytes() == before
