import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    roc_auc_score,
)

from knee_i2m2 import predictions
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.evaluation.recalibration import Recalibration
from knee_i2m2.evaluation.statistics.aggregation import AGGREGATORS
from knee_i2m2.evaluation.statistics.multiplicity import holm
from knee_i2m2.evaluation.tidy import (
    COMPARISON_COLUMNS,
    CONTRIBUTION_COLUMNS,
    EFFECT_COLUMNS,
    EVALUATION_COLUMNS,
    read_results,
)
from knee_i2m2.report.page import write_report
from knee_i2m2.training.rivals import standard_rivals
from tests.evaluation.runs import TARGETS, index, make_run, prediction_table


@pytest.fixture(scope="module")
def run(evaluated_run: Path) -> Path:
    return evaluated_run


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


def test_volumes_and_patients_are_joined_as_val_has_chosen(run: Path, results) -> None:
    chosen = json.loads((run / "evaluation.json").read_text())["aggregators"]
    assert set(chosen) == {"volume", "patient"}
    for unit, column, n in (("volume", "series", 24), ("patient", "cluster", 12)):
        frame = pd.read_parquet(run / "predictions/i2m2/0/test.parquet").query("target == 'acl'")
        groups = np.unique(frame[column], return_inverse=True)[1]
        join = AGGREGATORS[chosen[unit]["acl"]]
        score = join((frame["logp_1"] - frame["logp_0"]).to_numpy()[:, None], groups, n)[:, 0]
        truth = frame.groupby(column)["truth"].max().to_numpy()
        row = picked(results[0], rival="i2m2", seed="0", target="acl", unit=unit, metric="auroc").squeeze()
        assert row["n"] == n
        if len(set(truth)) == 2:
            assert row["value"] == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


def test_all_measures_stand_beside_the_auroc_on_test(run: Path, results) -> None:
    frame = pd.read_parquet(run / "predictions/i2m2/1/test.parquet").query("target == 'acl'")
    truth, score = frame["truth"], frame["logp_1"] - frame["logp_0"]
    of = picked(results[0], rival="i2m2", seed="1", target="acl").set_index("metric")["value"]
    assert of["auprc"] == pytest.approx(average_precision_score(truth, score), abs=1e-12)
    assert of["prevalence"] == pytest.approx(truth.mean())
    assert of["brier"] == pytest.approx(brier_score_loss(truth, np.exp(frame["logp_1"])), abs=1e-12)
    fitted = json.loads((run / "evaluation.json").read_text())["thresholds"]
    wanted = {"unit": "slice", "rival": "i2m2", "seed": "1", "target": "acl"}
    (threshold,) = (t for t in fitted if wanted.items() <= t.items())
    assert threshold["fitted_on"] == "val"
    table = confusion_matrix(truth, score > threshold["value"]).ravel()
    names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    assert [of[name] for name in names] == table.tolist()
    assert of["balanced_accuracy"] == pytest.approx((of["sensitivity"] + of["specificity"]) / 2)


def test_no_measure_but_the_headline_is_of_val(results) -> None:
    assert set(results.results.query("split == 'val'")["metric"]) == {"auroc"}


def test_the_spread_over_seeds_is_a_column_of_its_own(results) -> None:
    rows = picked(results[0], rival="i2m2", target="acl", metric="auroc").set_index("seed")
    assert rows.loc["mean", "seed_sd"] == pytest.approx(rows.loc[["0", "1"], "value"].std(ddof=1))
    assert rows.loc[["0", "1"], "seed_sd"].isna().all()
    assert picked(results[0], rival="ideal", target="acl", metric="auroc")["seed_sd"].isna().all()


def test_the_closed_forms_stand_beside_the_bootstrap(results) -> None:
    rows = picked(results[0], rival="i2m2", seed="mean", target="acl").set_index("metric")
    for metric in ("auroc_delong", "auroc_obuchowski"):
        assert rows.loc[metric, "value"] == pytest.approx(rows.loc["auroc", "value"], abs=1e-12)
        assert rows.loc[metric, "low"] < rows.loc[metric, "value"] < rows.loc[metric, "high"]


def test_p_is_of_the_mean_and_holm_over_rivals_and_targets(results) -> None:
    rows = picked(results.comparisons, seed="mean")
    tested = rows[rows["target"] != "macro"]
    np.testing.assert_allclose(tested["p_holm"], holm(tested["p"].to_numpy()))
    assert rows.loc[rows["target"] == "macro", ["p", "p_holm"]].isna().all(axis=None)
    assert picked(results.comparisons, rival="magnitude", seed="0")["p"].isna().all()


def test_a_subgroup_is_contrasted_with_the_others(results) -> None:
    auroc = results[0].query(
        "split == 'test' and unit == 'slice' and rival == 'i2m2' and target == 'acl' and seed == 'mean'"
    )
    value = auroc.query("metric == 'auroc'").set_index("subgroup")["value"]
    contrast = auroc.query("metric == 'auroc_contrast'").set_index("subgroup")["value"]
    assert contrast["sequence=PD"] == pytest.approx(value["sequence=PD"] - value["sequence=PDFS"])
    assert contrast["sequence=PDFS"] == pytest.approx(-contrast["sequence=PD"])


def test_contributions_and_effects_are_of_the_reference(results) -> None:
    assert set(results.contributions["rival"]) == {"i2m2"}
    assert set(results.contributions["metric"]) == {"leave_one_out", "shapley", "share"}
    assert set(results.effects["effect"]) == {"phase"}
    assert set(results.effects["against"]) == {"magnitude"}
    assert set(results.effects["target"]) == set(TARGETS)


def test_repeating_every_slice_narrows_no_interval(run: Path, results, tmp_path: Path) -> None:
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        again = [frame.assign(sample=frame["sample"] + f"#{copy}") for copy in range(5)]
        predictions.write(pd.concat(again, ignore_index=True), tmp_path / path.relative_to(run))
    once, fivefold = (
        picked(e.results, rival="i2m2", seed="mean", target="acl").set_index("metric").eval("high - low")
        for e in (results, evaluate(tmp_path, replicates=200))
    )
    for metric in ("auroc", "brier", "auprc", "sensitivity"):
        assert fivefold[metric] == pytest.approx(once[metric], rel=0.02)
    assert fivefold["auroc_obuchowski"] == pytest.approx(once["auroc_obuchowski"], rel=0.02)
    assert fivefold["auroc_delong"] < 0.5 * once["auroc_delong"]


@pytest.mark.parametrize("calibration", ["temperature", "weights"])
def test_recalibration_is_fitted_on_val_and_shown_beside_what_was(tmp_path: Path, calibration: str) -> None:
    make_run(tmp_path, patients=100)
    sharp = {p: pd.read_parquet(p) for p in tmp_path.glob("predictions/i2m2/*/*.parquet")}
    for path, frame in sharp.items():  # far surer than it should be
        logits = [c for c in frame if c.startswith("logit_")]
        frame[logits] *= 30
        total = np.stack([sum(frame[c] for c in logits if c.endswith(f"_{k}")) for k in (0, 1)], axis=1)
        frame[["logp_0", "logp_1"]] = log_softmax(total, axis=1)
        predictions.write(frame, path)
    found = evaluate(tmp_path, 50, 0, Recalibration(calibration)).results
    of = picked(found, rival="i2m2", seed="mean", target="acl").set_index("metric")["value"]
    assert of["brier"] < of["brier_before"]
    assert of["ece"] < of["ece_before"]
    assert abs(of["calibration_slope"] - 1) < abs(of["calibration_slope_before"] - 1)
    kept = json.loads((tmp_path / "evaluation.json").read_text())
    assert kept["calibration"] == calibration
    assert {entry["rival"] for entry in kept["fitted"]} == {"i2m2", "magnitude"}
    if calibration == "temperature":  # it changes no order
        before = picked(evaluate(tmp_path, 50).results, rival="i2m2", seed="mean", target="acl", metric="auroc")
        assert of["auroc"] == pytest.approx(before["value"].item(), abs=1e-12)


def test_nothing_is_fitted_on_test(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    evaluate(run, 20, 0, Recalibration("weights"))
    before = json.loads((run / "evaluation.json").read_text())
    for path in run.glob("predictions/*/*/test.parquet"):
        rewrite(path, lambda f: f.assign(truth=1 - f["truth"]))
    evaluate(run, 20, 0, Recalibration("weights"))
    after = json.loads((run / "evaluation.json").read_text())
    assert all(after[what] == before[what] for what in ("thresholds", "aggregators", "fitted"))


def test_the_prior_that_a_product_counts_too_often_is_taken_out_of_the_rivals_named(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    found = evaluate(run, 20, 0, Recalibration(prior_correction=("i2m2",))).results
    prevalence = pd.read_parquet(run / "predictions/i2m2/0/val.parquet").query("target == 'acl'")["truth"].mean()
    kept = json.loads((run / "evaluation.json").read_text())
    (entry,) = (f for f in kept["fitted"] if (f["unit"], f["seed"], f["target"]) == ("slice", "0", "acl"))
    assert entry["rival"] == "i2m2"
    assert entry["prior_shift"] == pytest.approx(-2 * np.log(prevalence / (1 - prevalence)))
    rows = picked(found, seed="mean", target="acl", metric="brier_before").set_index("rival")["value"]
    assert (
        rows["magnitude"]
        == picked(found, seed="mean", target="acl", metric="brier").set_index("rival")["value"]["magnitude"]
    )


def test_a_run_without_the_reference_is_evaluated_without_comparison(tmp_path: Path) -> None:
    found = evaluate(make_run(tmp_path, {"magnitude": ("magnitude",), "ideal": ("ideal",)}), replicates=10)
    assert set(found.results["rival"]) == {"magnitude", "ideal"}
    assert found.comparisons.empty
    assert found.contributions.empty
    assert found.effects.empty


def test_a_prior_correction_of_an_unknown_rival_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"no rival frozen"):
        evaluate(run, 20, 0, Recalibration(prior_correction=("frozen",)))


def test_differences_are_paired(results) -> None:
    evaluation, comparisons, *_ = results
    row = picked(comparisons, rival="magnitude", seed="mean", target="macro").squeeze()
    values = picked(evaluation, seed="mean", target="macro", metric="auroc").set_index("rival")
    assert row["against"] == "i2m2"
    assert row["value"] == pytest.approx(values.loc["magnitude", "value"] - values.loc["i2m2", "value"])
    unpaired = values.loc[["magnitude", "i2m2"]].eval("high - low").sum()
    assert row["high"] - row["low"] < unpaired
    assert "i2m2" not in set(comparisons["rival"])


def test_the_one_ideal_is_paired_with_every_seed(results) -> None:
    evaluation, comparisons, *_ = results
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
    names = {
        "evaluation": EVALUATION_COLUMNS,
        "comparisons": COMPARISON_COLUMNS,
        "contributions": CONTRIBUTION_COLUMNS,
        "effects": EFFECT_COLUMNS,
    }
    for frame, (name, columns) in zip(results, names.items(), strict=False):
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
    evaluation, comparisons, *_ = evaluate(run, replicates=50)
    of = picked(evaluation, rival="i2m2", seed="mean", metric="auroc").set_index("target")
    assert of.loc["acl", ["value", "low", "high"]].isna().all()
    assert of.loc["macro", "value"] == of.loc["meniscus", "value"]
    assert picked(comparisons, target="acl")["value"].isna().all()
    written = read_results(run / "evaluation.csv", EVALUATION_COLUMNS).query("target == 'acl'")
    assert written["low"].isna().all() and written.query("metric == 'auroc'")["value"].isna().all()
    assert set(written.dropna(subset="value")["metric"]) == {"prevalence", "brier", "ece"}  # which need one class only


def test_ten_classes_without_series_have_an_accuracy_per_sample(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split in ("val", "test"):
        asked = index(split)[["sample", "cluster"]].assign(series="-")[["sample", "series", "cluster"]]
        truth = random.integers(10, size=(len(asked), 1))
        table = prediction_table(asked, truth, ("magnitude",), random, targets=("label",), classes=10)
        predictions.write(table, tmp_path / "predictions/image/0" / f"{split}.parquet")
    evaluation, comparisons, *_ = evaluate(tmp_path, replicates=50)
    row = evaluation.query(
        "seed == 'mean' and target == 'label' and split == 'test' and metric == 'accuracy'"
    ).squeeze()
    frame = table.sort_values("sample")
    answer = frame[[f"logp_{c}" for c in range(10)]].to_numpy().argmax(axis=1)
    assert (row["unit"], row["metric"]) == ("sample", "accuracy")
    assert row["value"] == pytest.approx(accuracy_score(frame["truth"], answer))
    assert comparisons.empty


def test_rivals_need_not_be_written_in_one_order(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    before = evaluate(run, replicates=20).results
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
    comparisons = evaluate(tmp_path, replicates=50).comparisons
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


def test_the_ideal_alone_is_evaluated(tmp_path: Path) -> None:
    found = evaluate(make_run(tmp_path, {"ideal": ("ideal",)}), replicates=10)
    assert set(found.results["rival"]) == {"ideal"}


def test_another_reference_is_what_rivals_are_compared_with_in_tables_and_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    evaluation = evaluate(run, replicates=50, reference="magnitude")
    assert set(evaluation.comparisons["against"]) == {"magnitude"}
    page = write_report(run).read_text()
    assert "Differences to magnitude" in page
    assert "Differences to i2m2" not in page
    with pytest.raises(ConfigError, match=r"--reference magnitud is no rival of .*did you mean magnitude"):
        evaluate(run, replicates=50, reference="magnitud")


def test_a_rival_with_intra_s_experts_and_another_method_leaves_every_verdict_as_it_was(tmp_path: Path) -> None:
    rivals = standard_rivals(("magnitude", "phase"))
    run = make_run(tmp_path / "run", {name: rivals[name].experts for name in ("phase", "magnitude", "intra", "i2m2")})
    before = evaluate(run, replicates=50).effects
    identity = replace(rivals["intra"], method="gblend", combiner="joint")
    for split in ("val", "test"):
        table = predictions.read(run / "predictions" / "phase" / "0" / f"{split}.parquet")
        other = table.rename(columns=lambda name: name.replace("logit_phase", "logit_magnitude"))
        other = other.assign(logit_phase_0=0.0, logit_phase_1=0.0)
        other.attrs["identity"] = asdict(identity)
        predictions.write(other, run / "predictions" / "a_first" / "0" / f"{split}.parquet")
    pd.testing.assert_frame_equal(evaluate(run, replicates=50).effects, before)


def test_files_that_do_not_say_what_their_rival_is_are_named_and_no_effect_is_guessed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"phase": ("phase",), "i2m2": ("magnitude", "phase", "magnitude+phase")}, seeds=1)
    for path in run.glob("predictions/phase/*/*.parquet"):
        table = predictions.read(path)
        del table.attrs["identity"]
        predictions.write(table, path)
    evaluation = evaluate(run, replicates=20)
    assert evaluation.effects.empty
    assert any("prediction files of phase do not say" in note for note in evaluation.notes)
