from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.evaluation.recalibration import Recalibration
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.elements.words import metric_name as named
from knee_i2m2.report.tables.operating import calibration_table, measures_frame, operating_table, ranking_table
from tests.evaluation.runs import TARGETS, make_run, make_ten_classes
from tests.report.shown import cells, shows, text, written

COUNTS = {"TP": "true_positives", "FP": "false_positives", "FN": "false_negatives", "TN": "true_negatives"}
RATES = ("sensitivity", "specificity", "ppv", "npv", "balanced_accuracy")
RANKING = ("auroc", "auprc", "prevalence", "sensitivity_at_specificity_95", "specificity_at_sensitivity_90")
CALIBRATION = ("brier", "brier_skill", "ece", "calibration_slope", "calibration_intercept")


@pytest.fixture(scope="module")
def rows(evaluated_run: Path) -> pd.DataFrame:
    """The rows of evaluation.csv about the reference."""
    return written(evaluated_run, rival="i2m2").set_index(["unit", "target", "metric"])


@pytest.fixture(scope="module")
def recalibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    run = make_run(tmp_path_factory.mktemp("recalibrated"))
    evaluate(run, 200, 0, Recalibration("temperature"))
    return run, read_record(run)


@pytest.mark.parametrize("unit", ["slice", "volume"])
def test_rates_and_counts_at_the_threshold_of_val_are_those_of_the_evaluation(
    record: Record, rows: pd.DataFrame, unit: str
) -> None:
    table = operating_table(record, unit)
    assert (table.name, table.title, table.corner) == (f"operating_{unit}", f"per {unit}, i2m2", "target")
    assert table.columns == (*map(named, RATES), *COUNTS, "threshold")
    found = cells(table)
    assert list(found) == list(TARGETS)  # a threshold over targets means nothing
    for target in TARGETS:
        assert all(shows(found[target][named(rate)], rows.loc[unit, target, rate]) for rate in RATES)
        for short, count in COUNTS.items():
            mean = rows.loc[(unit, target, count), "value"]
            assert found[target][short].value == f"{mean:.1f}".removesuffix(".0")
            assert found[target][short].interval == ""
        threshold = found[target]["threshold"]
        assert (threshold.value, threshold.note) == (text(rows.loc[(unit, target, "threshold"), "value"]), "log-odds")


def test_the_four_counts_are_all_units(record: Record) -> None:
    for row in cells(operating_table(record, "slice")).values():
        assert sum(float(row[count].value) for count in COUNTS) == 72


@pytest.mark.parametrize("unit", ["slice", "volume"])
def test_ranking_is_that_of_the_evaluation_with_the_mean_over_targets(
    record: Record, rows: pd.DataFrame, unit: str
) -> None:
    found = cells(ranking_table(record, unit))
    assert list(found) == [*TARGETS, "macro"]
    for target, row in found.items():
        assert all(shows(row[named(metric)], rows.loc[unit, target, metric]) for metric in RANKING)


def test_calibration_as_trained_stands_once(record: Record, rows: pd.DataFrame) -> None:
    table = calibration_table(record, "slice")
    assert table.columns == tuple(map(named, CALIBRATION))
    found = cells(table)
    assert list(found) == [*TARGETS, "macro"]
    for target, row in found.items():
        assert all(shows(row[named(metric)], rows.loc["slice", target, metric]) for metric in CALIBRATION)


def test_a_recalibrated_run_shows_before_and_after(
    recalibrated: tuple[Path, Record], record: Record, rows: pd.DataFrame
) -> None:
    run, after = recalibrated
    table = calibration_table(after, "slice")
    assert table.columns == tuple(map(named, CALIBRATION))
    found = cells(table)
    assert list(found) == [f"{target}, {when}" for target in (*TARGETS, "macro") for when in ("before", "after")]
    trained = cells(calibration_table(record, "slice"))  # the same predictions, as they are
    now = written(run, rival="i2m2").set_index(["unit", "target", "metric"])
    for target in (*TARGETS, "macro"):
        assert found[f"{target}, before"] == trained[target]
        assert all(
            shows(found[f"{target}, after"][named(metric)], now.loc["slice", target, metric]) for metric in CALIBRATION
        )
    assert found["acl, after"] != found["acl, before"]


def test_what_is_not_estimable_is_said_in_words_and_never_zero(record: Record, rows: pd.DataFrame) -> None:
    assert rows.loc[("patient", "acl", "auroc"), ["value", "low", "high"]].isna().all()  # every patient is positive
    acl = cells(ranking_table(record, "patient"))["acl"]
    assert (acl["AUROC"].value, acl["AUROC"].interval, acl["AUROC"].missing) == ("not estimable", "", True)
    assert acl["prevalence"].value == "1.000"
    assert cells(operating_table(record, "patient"))["acl"]["specificity"].missing


def test_a_target_with_too_few_positives_has_neither_counts_nor_threshold(tmp_path: Path) -> None:
    run = make_run(tmp_path, rivals={"i2m2": ("magnitude",)}, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(frame.assign(truth=frame["truth"].where(frame["target"] != "acl", 0)), path)
    evaluate(run, replicates=5)
    record = read_record(run)
    operating, calibration = (cells(of(record, "slice"))["acl"] for of in (operating_table, calibration_table))
    assert all((one.value, one.interval) == ("not estimable", "") for one in operating.values())
    assert all(one.interval == "" for one in calibration.values())  # calibration needs one class only
    assert calibration["slope"].value == "not estimable"
    measures = measures_frame(record).set_index(["unit", "target"])
    assert measures.loc[("slice", "acl"), ["auroc", "sensitivity", "threshold"]].isna().all()  # empty, but there


def test_one_target_has_no_mean_beside_it(tmp_path: Path) -> None:
    run = make_run(tmp_path, rivals={"i2m2": ("magnitude",)}, seeds=1, targets=("acl",))
    evaluate(run, replicates=5)
    record = read_record(run)
    assert list(cells(ranking_table(record, "slice"))) == ["acl"]
    assert list(cells(calibration_table(record, "slice"))) == ["acl"]


def test_the_ideal_observer_knows_no_prior_and_has_no_calibration(tmp_path: Path) -> None:
    run = make_run(tmp_path, rivals={"ideal": ("ideal",)})
    evaluate(run, replicates=5)
    record = read_record(run)
    assert calibration_table(record, "slice") is None
    assert operating_table(record, "slice") is not None


def test_every_measure_of_every_rival_is_that_of_the_evaluation(evaluated_run: Path, record: Record) -> None:
    wide = measures_frame(record).set_index(["rival", "unit", "target"])
    long = written(evaluated_run)
    assert set(wide.columns) == set(long["metric"])
    assert set(wide.index) == set(long.set_index(["rival", "unit", "target"]).index)
    assert not wide.index.has_duplicates
    for row in long.to_dict("records"):
        value = wide.loc[(row["rival"], row["unit"], row["target"]), row["metric"]]
        np.testing.assert_allclose(value, row["value"], rtol=1e-12)  # NaN is NaN


def test_ten_classes_have_an_accuracy_and_no_operating_point(tmp_path: Path) -> None:
    evaluate(make_ten_classes(tmp_path), replicates=5)
    record = read_record(tmp_path)
    assert [f(record, "sample") for f in (operating_table, ranking_table, calibration_table)] == [None] * 3
    assert measures_frame(record).columns.tolist() == ["rival", "unit", "target", "accuracy", "entropy"]
